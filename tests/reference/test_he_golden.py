"""Keys and ciphertexts that were stored stay readable, byte for byte: SEAL's format and ours.

The files are SEAL's own, made by `golden/make_he_golden.py` with the TenSEAL release that
`constraints.txt` names. A failure here after an upgrade means that sites with the old and the new
release do not understand each other.
"""

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard

from veiltune_privacy.he.ckks import PublicContext, SecretContext
from veiltune_privacy.he.parameters import CipherParameters
from veiltune_privacy.he.seal_format import CiphertextFormat, version_of
from veiltune_privacy.he.wire import split_upload, upload_rows

GOLDEN = Path(__file__).parent / "golden"
MAKER = runpy.run_path(str(GOLDEN / "make_he_golden.py"))
SLOTS = MAKER["known_slots"]()
BOTH = pytest.mark.parametrize("parameters", [MAKER["CKKS"], MAKER["BFV"]], ids=["ckks", "bfv"])


def stored(parameters: CipherParameters) -> dict[str, Any]:
    with np.load(GOLDEN / f"he_{parameters.scheme}.npz") as file:
        return dict(file)


def stored_format(parameters: CipherParameters) -> CiphertextFormat:
    ckks = parameters.scheme == "ckks"
    return CiphertextFormat(
        version=(4, 3),
        parameters_id=stored(parameters)["parameters_id"].tobytes(),
        transformed=ckks,
        degree=2048,
        scale=parameters.scale if ckks else 1.0,
    )


@BOTH
def test_a_stored_upload_decrypts_to_what_was_put_in(parameters: CipherParameters) -> None:
    golden = stored(parameters)
    context = SecretContext(parameters, golden["key"].tobytes())
    c0, seeds = split_upload(golden["rows"], parameters.degree, parameters.word_bytes)
    np.testing.assert_array_equal(context.decrypt_seeded(c0, seeds[:, None]), SLOTS)
    np.testing.assert_array_equal(context.decrypt(c0, golden["c1"]), SLOTS)


@BOTH
def test_a_stored_seed_expands_as_it_did(parameters: CipherParameters) -> None:
    golden = stored(parameters)
    _, seeds = split_upload(golden["rows"], parameters.degree, parameters.word_bytes)
    c1 = PublicContext(parameters).expand_sum(seeds[:, None])
    np.testing.assert_array_equal(c1, golden["c1"])


@BOTH
def test_seals_own_object_is_read_into_the_stored_row(parameters: CipherParameters) -> None:
    golden = stored(parameters)
    saved = golden["saved"].tobytes()
    assert version_of(saved) == (4, 3)
    c0, seed = stored_format(parameters).read_seeded(saved)
    rows = upload_rows(c0[None], seed[None], parameters.word_bytes)
    assert rows.tobytes() == golden["rows"].tobytes()


@BOTH
def test_what_is_written_for_seal_is_what_seal_would_write(parameters: CipherParameters) -> None:
    """Uncompressed, where SEAL compresses; so the bodies are compared."""
    saved = stored(parameters)["saved"].tobytes()
    layout = stored_format(parameters)
    c0, seed = layout.read_seeded(saved)
    body = zstandard.ZstdDecompressor().decompress(saved[16:])
    assert layout.write_seeded(c0, seed)[16:] == body


@BOTH
def test_this_release_has_the_stored_parameters_id(parameters: CipherParameters) -> None:
    """SEAL's hash of degree, modulus and scheme: another prime would change it."""
    context = SecretContext(parameters, stored(parameters)["key"].tobytes())
    assert context._format == stored_format(parameters)

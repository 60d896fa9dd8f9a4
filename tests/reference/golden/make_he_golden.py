"""Writes what SEAL made with the TenSEAL release of constraints.txt: a key and one ciphertext each.

    python tests/reference/golden/make_he_golden.py

The files differ from one run to the next, since keys and seeds are fresh. Write them anew only when
the wire format is meant to change, and say so in the changelog.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tenseal import sealapi as seal

from veiltune_privacy.he.ckks import PublicContext, SecretContext, new_secret_key
from veiltune_privacy.he.packing import Packing
from veiltune_privacy.he.parameters import CipherParameters
from veiltune_privacy.he.scratch import Scratch
from veiltune_privacy.he.wire import upload_rows

FOLDER = Path(__file__).parent
PACKING = Packing(levels=127, max_sites=3, digits_per_slot=2)
CKKS = CipherParameters(
    scheme="ckks", degree=2048, modulus_bits=54, plain_bits=None, packing=PACKING, digits=4096
)
BFV = CipherParameters(
    scheme="bfv", degree=2048, modulus_bits=48, plain_bits=21, packing=PACKING, digits=4096
)


def known_slots() -> NDArray[np.float64]:
    """The plaintext, `(1, 2048)`: a walk through the slots' whole range, both ends included."""
    width = 2 * PACKING.slot_limit + 1
    slots = np.arange(2048) * 7919 % width - PACKING.slot_limit
    slots[-1] = PACKING.slot_limit
    return (slots[None] / PACKING.max_sites).round()


def main() -> None:
    """Both files are in this folder."""
    for parameters in (CKKS, BFV):
        key = new_secret_key(parameters)
        context = SecretContext(parameters, key)
        plain = seal.Plaintext()
        context._encode(known_slots()[0], plain)
        with Scratch() as scratch:
            context._encryptor.encrypt_symmetric(plain).save(scratch.path)
            saved = scratch.read()
        c0, seed = context._format.read_seeded(saved)
        np.savez(
            FOLDER / f"he_{parameters.scheme}.npz",
            key=np.frombuffer(key, np.uint8),
            saved=np.frombuffer(saved, np.uint8),
            parameters_id=np.frombuffer(context._format.parameters_id, np.uint8),
            rows=upload_rows(c0[None], seed[None], parameters.word_bytes),
            c1=PublicContext(parameters).expand_sum(seed[None, None]),
        )


if __name__ == "__main__":
    main()

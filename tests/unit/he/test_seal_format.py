"""SEAL's wire layout is written and read without SEAL; what is not in that layout is refused."""

import struct
from dataclasses import replace

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from veiltune.errors import RunError
from veiltune_privacy.he.seal_format import HEADER, CiphertextFormat, version_of

FORMAT = CiphertextFormat(
    version=(4, 3), parameters_id=bytes(range(32)), transformed=True, degree=8, scale=2.5
)


def words(seed: int) -> NDArray[np.uint64]:
    return np.random.default_rng(seed).integers(0, 2**60, FORMAT.degree, np.uint64)


def seed_bytes(seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, 64, np.uint8)


def compressed(message: bytes) -> bytes:
    """The object as SEAL saves it by default: mode 2, and a Zstandard frame for a body."""
    body = zstandard.ZstdCompressor().compress(message[HEADER.size :])
    return HEADER.pack(0xA15E, 16, 4, 3, 2, 0, HEADER.size + len(body)) + body


@given(st.integers(0, 2**32), st.booleans())
def test_a_seeded_ciphertext_comes_back_as_it_went(number: int, packed: bool) -> None:
    message = FORMAT.write_seeded(words(number), seed_bytes(number))
    c0, seed = FORMAT.read_seeded(compressed(message) if packed else message)
    np.testing.assert_array_equal(c0, words(number))
    np.testing.assert_array_equal(seed, seed_bytes(number))


@given(st.integers(0, 2**32), st.booleans())
def test_a_full_ciphertext_comes_back_as_it_went(number: int, packed: bool) -> None:
    message = FORMAT.write_full(words(number), words(number + 1))
    c0, c1 = FORMAT.read_full(compressed(message) if packed else message)
    np.testing.assert_array_equal(c0, words(number))
    np.testing.assert_array_equal(c1, words(number + 1))


def test_the_layout_is_what_the_documentation_says() -> None:
    """Offsets counted by hand: 16 header, 73 metadata, 16 header, 8 count, words, 81 seed."""
    message = FORMAT.write_seeded(words(1), seed_bytes(2))
    total = 16 + 73 + 16 + 8 + 8 * FORMAT.degree + 81
    assert len(message) == total
    assert message[:16] == b"\x5e\xa1\x10\x04\x03\x00\x00\x00" + struct.pack("<Q", total)
    assert message[16:48] == bytes(range(32))
    assert message[48] == 1
    assert struct.unpack_from("<QQQdQ", message, 49) == (2, FORMAT.degree, 1, 2.5, 1)
    assert struct.unpack_from("<QQ", message, 97) == (24 + 8 * FORMAT.degree, FORMAT.degree)
    assert message[113 : 113 + 64] == words(1).astype("<u8").tobytes()
    inner = b"\x5e\xa1\x10\x04\x03\x00\x00\x00"
    assert message[177:194] == inner + struct.pack("<QB", 81, 1)
    assert message[-64:] == seed_bytes(2).tobytes()


def test_a_ciphertext_of_other_metadata_is_refused() -> None:
    others = [
        replace(FORMAT, version=(4, 1)),
        replace(FORMAT, parameters_id=bytes(32)),
        replace(FORMAT, transformed=False),
        replace(FORMAT, degree=16),
        replace(FORMAT, scale=2.0),
    ]
    message = FORMAT.write_full(words(1), words(2))
    for other in others:
        with pytest.raises(RunError, match="expected .* got "):
            other.read_full(message)


def test_every_changed_byte_around_the_coefficients_is_refused() -> None:
    """A change before the words or in the seed's header cannot pass for the same ciphertext."""
    message = FORMAT.write_seeded(words(3), seed_bytes(4))
    unread = {6, 7}  # reserved, in the outer header
    for place in [*range(113), *range(177, 177 + 17)]:
        if place in unread:
            continue
        changed = bytearray(message)
        changed[place] ^= 0x40
        with pytest.raises(RunError):
            FORMAT.read_seeded(bytes(changed))


def test_a_cut_object_is_refused() -> None:
    message = FORMAT.write_full(words(1), words(2))
    for size in range(len(message)):
        with pytest.raises(RunError):
            FORMAT.read_full(message[:size])


def test_a_seeded_ciphertext_is_no_full_one() -> None:
    with pytest.raises(RunError):
        FORMAT.read_full(FORMAT.write_seeded(words(1), seed_bytes(1)))
    with pytest.raises(RunError):
        FORMAT.read_seeded(FORMAT.write_full(words(1), words(2)))


def test_a_broken_frame_and_another_compression_are_refused() -> None:
    message = compressed(FORMAT.write_full(words(1), words(2)))
    broken = message[:16] + b"\0" * (len(message) - 16)
    with pytest.raises(RunError, match="Zstandard frame"):
        FORMAT.read_full(broken)
    with pytest.raises(RunError, match="mode 1"):
        FORMAT.read_full(message[:5] + b"\x01" + message[6:])


def test_the_version_is_read_from_any_object() -> None:
    assert version_of(FORMAT.write_full(words(1), words(2))) == (4, 3)

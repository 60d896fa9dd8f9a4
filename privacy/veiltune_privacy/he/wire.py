"""Rows of bytes: one row a ciphertext, each coefficient cut to the bytes that its modulus fills.

    upload      c0 words | seed
    seeds       sum of c0 words | one seed a site
    full        sum of c0 words | sum of c1 words

Words are little-endian, coefficient by coefficient. Nothing here needs a key or SEAL: who adds
uploads needs the modulus only.
"""

import numpy as np
from numpy.typing import NDArray

from veiltune.errors import PayloadError
from veiltune_privacy.he.parameters import SEED_BYTES

Rows = NDArray[np.uint8]
Words = NDArray[np.uint64]


def upload_rows(c0: Words, seeds: NDArray[np.uint8], word_bytes: int) -> Rows:
    """One site's ciphertexts, `(ciphertexts, degree * word_bytes + 64)`.

    c0 is `(ciphertexts, degree)` and below 256 ** word_bytes, seeds are `(ciphertexts, 64)`.
    """
    return seeds_rows(c0, seeds[:, None, :], word_bytes)


def split_upload(rows: Rows, degree: int, word_bytes: int) -> tuple[Words, NDArray[np.uint8]]:
    """c0 `(ciphertexts, degree)` and seeds `(ciphertexts, 64)` of one site's rows.

    Raises:
        PayloadError: the rows have another size.
    """
    c0, seeds = split_seeds(rows, degree, word_bytes, sites=1)
    return c0, seeds[:, 0]


def seeds_rows(c0: Words, seeds: NDArray[np.uint8], word_bytes: int) -> Rows:
    """A sum with the seeds `(ciphertexts, sites, 64)` of all its addends."""
    count, degree = c0.shape
    rows = np.empty((count, degree * word_bytes + seeds.shape[1] * SEED_BYTES), np.uint8)
    _put_words(rows[:, : degree * word_bytes], c0, word_bytes)
    rows[:, degree * word_bytes :] = seeds.reshape(count, seeds.shape[1] * SEED_BYTES)
    return rows


def split_seeds(
    rows: Rows, degree: int, word_bytes: int, sites: int
) -> tuple[Words, NDArray[np.uint8]]:
    """c0 `(ciphertexts, degree)` and seeds `(ciphertexts, sites, 64)`.

    Raises:
        PayloadError: the rows have another size.
    """
    _check_width(rows, degree * word_bytes + sites * SEED_BYTES)
    words, seeds = rows[:, : degree * word_bytes], rows[:, degree * word_bytes :]
    return _take_words(words, word_bytes), seeds.reshape(len(rows), sites, SEED_BYTES)


def full_rows(c0: Words, c1: Words, word_bytes: int) -> Rows:
    """A sum as both its polynomials, `(ciphertexts, 2 * degree * word_bytes)`."""
    count, degree = c0.shape
    rows = np.empty((count, 2 * degree * word_bytes), np.uint8)
    _put_words(rows[:, : degree * word_bytes], c0, word_bytes)
    _put_words(rows[:, degree * word_bytes :], c1, word_bytes)
    return rows


def split_full(rows: Rows, degree: int, word_bytes: int) -> tuple[Words, Words]:
    """c0 and c1, each `(ciphertexts, degree)`.

    Raises:
        PayloadError: the rows have another size.
    """
    _check_width(rows, 2 * degree * word_bytes)
    middle = degree * word_bytes
    return _take_words(rows[:, :middle], word_bytes), _take_words(rows[:, middle:], word_bytes)


def add_modulo(total: Words, addend: Words, modulus: int) -> None:
    """`total` is `total + addend` modulo `modulus`, in place.

    Both are below the modulus, which is at most 2 ** 60, so that no sum overflows.
    """
    total += addend
    # Below the modulus the difference wraps around to something large, so the smaller one is right.
    np.minimum(total, total - np.uint64(modulus), out=total)


def check_below(words: Words, modulus: int) -> None:
    """Every word is below `modulus`, as SEAL's coefficients are.

    Raises:
        PayloadError: one is not.
    """
    largest = int(words.max(initial=0))
    if largest >= modulus:
        raise PayloadError(
            f"every coefficient must be below {modulus}, got {largest}; it is no ciphertext under "
            f"these parameters"
        )


def _check_width(rows: Rows, expected: int) -> None:
    if rows.ndim != 2 or rows.shape[1] != expected:
        raise PayloadError(
            f"expected ciphertexts of {expected} bytes, got an array of shape {rows.shape}; it was "
            f"made with other parameters"
        )


def _put_words(rows: Rows, words: Words, word_bytes: int) -> None:
    octets = words.astype("<u8", copy=False)[:, :, None].view(np.uint8)
    for place in range(word_bytes):  # a few long copies, not many short ones
        rows[:, place::word_bytes] = octets[:, :, place]


def _take_words(rows: Rows, word_bytes: int) -> Words:
    octets = np.zeros((len(rows), rows.shape[1] // word_bytes, 8), np.uint8)
    for place in range(word_bytes):
        octets[:, :, place] = rows[:, place::word_bytes]
    return octets.view("<u8")[:, :, 0].astype(np.uint64, copy=False)

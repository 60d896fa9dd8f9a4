"""Rows of bytes hold words and seeds without loss, and addition modulo q needs nothing else."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from veiltune.errors import PayloadError
from veiltune_privacy.he.wire import (
    add_modulo,
    check_below,
    full_rows,
    seeds_rows,
    split_full,
    split_seeds,
    split_upload,
    upload_rows,
)

COUNTS = st.integers(0, 3)
DEGREES = st.sampled_from([1, 2, 16])
WIDTHS = st.integers(3, 8)
NUMBERS = st.integers(0, 2**32)


def words(rng: np.random.Generator, count: int, degree: int, width: int) -> NDArray[np.uint64]:
    return rng.integers(0, 256**width - 1, (count, degree), np.uint64, endpoint=True)


@given(NUMBERS, COUNTS, DEGREES, WIDTHS)
def test_an_upload_comes_back_as_it_went(number: int, count: int, degree: int, width: int) -> None:
    rng = np.random.default_rng(number)
    c0 = words(rng, count, degree, width)
    seeds = rng.integers(0, 256, (count, 64), np.uint8)
    rows = upload_rows(c0, seeds, width)
    assert rows.shape == (count, degree * width + 64) and rows.dtype == np.uint8
    got_c0, got_seeds = split_upload(rows, degree, width)
    np.testing.assert_array_equal(got_c0, c0)
    np.testing.assert_array_equal(got_seeds, seeds)


@given(NUMBERS, COUNTS, DEGREES, WIDTHS, st.integers(1, 4))
def test_sums_come_back_as_they_went(
    number: int, count: int, degree: int, width: int, sites: int
) -> None:
    rng = np.random.default_rng(number)
    c0, c1 = words(rng, count, degree, width), words(rng, count, degree, width)
    seeds = rng.integers(0, 256, (count, sites, 64), np.uint8)

    rows = seeds_rows(c0, seeds, width)
    assert rows.shape == (count, degree * width + sites * 64)
    got_c0, got_seeds = split_seeds(rows, degree, width, sites)
    np.testing.assert_array_equal(got_c0, c0)
    np.testing.assert_array_equal(got_seeds, seeds)

    rows = full_rows(c0, c1, width)
    assert rows.shape == (count, 2 * degree * width)
    got_c0, got_c1 = split_full(rows, degree, width)
    np.testing.assert_array_equal(got_c0, c0)
    np.testing.assert_array_equal(got_c1, c1)


def test_rows_are_little_endian_words_and_then_the_seed() -> None:
    c0 = np.array([[0x0102030405, 0x060708090A]], np.uint64)
    seeds = np.arange(64, dtype=np.uint8)[None]
    row = upload_rows(c0, seeds, word_bytes=5)[0]
    assert row.tobytes() == b"\5\4\3\2\1" + b"\x0a\x09\x08\x07\x06" + bytes(range(64))


def test_rows_of_another_size_are_refused() -> None:
    rows = np.zeros((2, 8 * 7 + 64), np.uint8)
    for wrong in (rows[:, 1:], rows[0], rows.reshape(2, -1, 1)):
        with pytest.raises(PayloadError, match="expected ciphertexts of 120 bytes"):
            split_upload(wrong, 8, 7)
    with pytest.raises(PayloadError, match="expected ciphertexts of 184 bytes"):
        split_seeds(rows, 8, 7, sites=2)
    with pytest.raises(PayloadError, match="expected ciphertexts of 112 bytes"):
        split_full(rows, 8, 7)


def test_split_words_may_be_added_to() -> None:
    """A server adds into the first upload's words, which must not be the payload's own bytes."""
    rows = upload_rows(np.ones((1, 4), np.uint64), np.zeros((1, 64), np.uint8), 8)
    before = rows.copy()
    c0, _ = split_upload(rows, 4, 8)
    add_modulo(c0, np.full((1, 4), 5, np.uint64), 7)
    np.testing.assert_array_equal(c0, np.full((1, 4), 6, np.uint64))
    np.testing.assert_array_equal(rows, before)


@given(st.data(), st.integers(2, 2**60))
def test_addition_is_that_of_the_integers_modulo_q(data: st.DataObject, modulus: int) -> None:
    residues = st.lists(st.integers(0, modulus - 1), min_size=4, max_size=4)
    left, right = data.draw(residues), data.draw(residues)
    total = np.array([left], np.uint64)
    add_modulo(total, np.array([right], np.uint64), modulus)
    assert total[0].tolist() == [(a + b) % modulus for a, b in zip(left, right, strict=True)]


@pytest.mark.parametrize("modulus", [2, 2**36 + 1, 2**60 - 1, 2**60])
def test_addition_is_right_at_its_edges(modulus: int) -> None:
    edges = sorted({0, 1, modulus // 2, modulus - 2, modulus - 1})
    pairs = [(a, b) for a in edges for b in edges]
    total = np.array([a for a, _ in pairs], np.uint64)
    add_modulo(total, np.array([b for _, b in pairs], np.uint64), modulus)
    assert total.tolist() == [(a + b) % modulus for a, b in pairs]


def test_a_word_that_is_not_below_the_modulus_is_refused() -> None:
    check_below(np.array([[0, 96]], np.uint64), 97)
    check_below(np.empty((0, 4), np.uint64), 97)
    for word in (97, 2**64 - 1):
        with pytest.raises(PayloadError, match=f"below 97, got {word}"):
            check_below(np.array([[0, word]], np.uint64), 97)

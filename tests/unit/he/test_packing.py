"""Sums of packed slots are sums of digits, for every number of sites there is room for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from veiltune.errors import PayloadError
from veiltune_privacy.he.packing import FLOAT64_BITS, Packing

DEGREE = 16
FITTING = [
    (levels, sites, digits)
    for levels in (1, 127, 2047, 32767)
    for sites in (1, 3, 10, 100)
    for digits in range(1, 12)
    if digits * np.log2(2 * sites * levels + 1) < FLOAT64_BITS
]


@given(
    shape=st.sampled_from(FITTING),
    digits=st.integers(1, 200),
    kind=st.sampled_from(["random", "highest", "lowest", "alternating"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_sum_of_slots_holds_the_sum_of_digits(
    shape: tuple[int, int, int], digits: int, kind: str, seed: int
) -> None:
    levels, sites, per_slot = shape
    packing = Packing(levels=levels, max_sites=sites, digits_per_slot=per_slot)
    draw = np.random.default_rng(seed)
    rows = {
        "random": draw.integers(-levels, levels + 1, (sites, digits)),
        "highest": np.full((sites, digits), levels),
        "lowest": np.full((sites, digits), -levels),
        "alternating": np.tile(levels * (-1) ** np.arange(digits), (sites, 1)),
    }[kind].astype(np.int32)
    slots = sum(packing.pack(row, DEGREE) for row in rows)
    assert isinstance(slots, np.ndarray)
    assert slots.shape == (-(-digits // (per_slot * DEGREE)), DEGREE)
    assert np.abs(slots).max() <= packing.slot_limit < 2**FLOAT64_BITS
    assert np.array_equal(packing.unpack(slots, digits), rows.astype(np.int64).sum(0))


def test_where_a_digit_lies_does_not_depend_on_what_follows() -> None:
    """So an update may be packed in pieces of whole ciphertexts."""
    packing = Packing(levels=127, max_sites=3, digits_per_slot=2)
    digits = np.arange(-100, 100, dtype=np.int32)
    whole = packing.pack(digits, DEGREE)
    pieces = [packing.pack(digits[at : at + 32], DEGREE) for at in range(0, len(digits), 32)]
    assert np.array_equal(whole, np.concatenate(pieces))
    first = packing.pack(np.array([5] + [0] * 15 + [7] + [0] * 15, np.int32), DEGREE)
    assert first[0, 0] == 5 + 7 * packing.radix


def test_a_slot_beyond_every_sum_is_refused() -> None:
    packing = Packing(levels=127, max_sites=3, digits_per_slot=2)
    slots = np.full((1, DEGREE), float(packing.slot_limit))
    assert set(packing.unpack(slots, 5)) == {3 * 127}
    with pytest.raises(PayloadError, match="malformed"):
        packing.unpack(slots + 1, 5)
    with pytest.raises(PayloadError, match="malformed"):
        packing.unpack(-slots - 1, 5)


def test_a_digit_beyond_the_levels_is_not_packed() -> None:
    packing = Packing(levels=127, max_sites=3, digits_per_slot=2)
    for digit in (128, -128):
        with pytest.raises(AssertionError, match="beyond the levels"):
            packing.pack(np.array([0, digit], np.int32), DEGREE)


@pytest.mark.parametrize(
    ("levels", "sites", "digits"), [(0, 1, 1), (1, 0, 1), (1, 1, 0), (32767, 10, 3), (2**52, 1, 1)]
)
def test_a_packing_that_cannot_be_is_refused(levels: int, sites: int, digits: int) -> None:
    with pytest.raises(ValueError, match="got"):
        Packing(levels=levels, max_sites=sites, digits_per_slot=digits)

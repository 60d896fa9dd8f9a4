"""What an integer does not say is in the residual, and every site comes to the same ranges."""

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from veiltune.errors import RunError
from veiltune_privacy.he import quantisation
from veiltune_privacy.he.quantisation import (
    BLOCK,
    SMALLEST_RANGE,
    Quantiser,
    first_ranges,
    next_ranges,
)

BITS = st.sampled_from([8, 12, 16])
ROUNDING = st.sampled_from(["nearest", "stochastic"])
VALUES = arrays(np.float32, st.integers(1, 40), elements=st.floats(-8, 8, width=32))
FLOAT32 = 2.0**-23


def make(bits: int, rounding: str) -> Quantiser:
    return Quantiser(bits=bits, rounding="nearest" if rounding == "nearest" else "stochastic")


@given(BITS, ROUNDING, VALUES, st.floats(0.01, 100))
@example(8, "nearest", np.array([4.125, -4.125], np.float32), 4.125)  # 4.125 / step > 127
def test_integer_and_residual_make_the_value(
    bits: int, rounding: str, values: np.ndarray[tuple[int], np.dtype[np.float32]], reach: float
) -> None:
    quantiser = make(bits, rounding)
    ranges = first_ranges(len(values), reach)
    got = quantiser.quantise(values, ranges, np.random.default_rng(0))
    assert np.abs(got.digits).max() <= quantiser.levels
    said = quantiser.dequantise(got.digits.astype(np.int64), ranges)
    tolerance = FLOAT32 * (np.abs(values) + reach)
    assert (np.abs(said + got.residual - values) <= tolerance).all()
    within = np.abs(values.astype(np.float64)) <= reach
    bound = quantiser.error_bound(ranges)[0] + tolerance
    assert (np.abs(got.residual) <= bound)[within].all()
    assert got.clipped.sum() == (~within).sum()


@given(BITS, ROUNDING, st.integers(0, 2**32 - 1))
def test_with_feedback_nothing_is_lost(bits: int, rounding: str, seed: int) -> None:
    quantiser = make(bits, rounding)
    ranges = first_ranges(50, 0.1)
    draw = np.random.default_rng(seed)
    said, given_, residual = np.zeros(50), np.zeros(50), np.zeros(50, np.float32)
    for _ in range(10):
        values = draw.normal(0, 0.1, 50).astype(np.float32)  # a third is out of range
        got = quantiser.quantise(values + residual, ranges, draw)
        residual = got.residual
        said += quantiser.dequantise(got.digits.astype(np.int64), ranges)
        given_ += values
    assert np.abs(said + residual - given_).max() <= 10 * 2 * FLOAT32


def test_stochastic_rounding_has_no_bias() -> None:
    """The mean of 40,000 draws; the test raises a false alarm at 6 sigma, once in 5e8 runs."""
    quantiser = make(8, "stochastic")
    count = 40_000
    values = np.full(count, 0.3, np.float32)
    ranges = first_ranges(count, 127.0)  # steps of 1
    got = quantiser.quantise(values, ranges, np.random.default_rng(0))
    assert set(got.digits) == {0, 1}
    assert abs(got.digits.mean() - 0.3) < 6 * math.sqrt(0.3 * 0.7 / count)
    assert set(make(8, "nearest").quantise(values, ranges, None).digits) == {0}


def test_blocks_have_their_own_ranges_and_counts() -> None:
    values = np.ones(2 * BLOCK + 10, np.float32)
    ranges = np.array([0.5, 1.0, 2.0])
    for sign in (1, -1):
        got = make(16, "nearest").quantise(sign * values, ranges, None)
        assert got.clipped.tolist() == [BLOCK, 0, 0]
        assert [set(sign * got.digits[at : at + 10]) for at in (0, BLOCK, 2 * BLOCK)] == [
            {32767},
            {32767},
            {16384},
        ]


def test_the_error_bound_is_half_a_step_or_a_whole_one() -> None:
    ranges = np.array([127.0, 254.0])
    assert make(8, "nearest").error_bound(ranges).tolist() == [0.5, 1.0]
    assert make(8, "stochastic").error_bound(ranges).tolist() == [1.0, 2.0]


def test_working_in_parts_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(0, 1, 3 * BLOCK + 7).astype(np.float32)
    ranges = np.array([0.5, 1.0, 2.0, 4.0])
    quantiser = make(12, "nearest")

    def everything() -> list[bytes]:
        got = quantiser.quantise(values, ranges, None)
        sums = 3 * got.digits.astype(np.int64)
        after = next_ranges(ranges, sums, got.clipped, 3, quantiser)
        parts = (got.digits, got.residual, quantiser.dequantise(sums, ranges), after)
        return [part.tobytes() for part in parts]

    at_once = everything()
    monkeypatch.setattr(quantisation, "BLOCKS_AT_A_TIME", 1)
    assert everything() == at_once


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_refused(wrong: float) -> None:
    values = np.zeros(5, np.float32)
    values[3] = wrong
    with pytest.raises(RunError, match="1 of its 5 values"):
        make(16, "nearest").quantise(values, first_ranges(5, 1.0), None)


def test_ranges_double_where_anybody_clipped_and_shrink_where_nobody_did() -> None:
    quantiser = make(16, "nearest")
    ranges = np.array([1.0, 1.0, 1.0, 1.0])
    sums = np.zeros(4 * BLOCK, np.int64)
    sums[BLOCK] = 3 * 32767  # every one of three sites at the end of the range
    sums[2 * BLOCK] = -3 * 3000  # small: the mean is 0.0916
    clipped = np.array([0, 0, 0, 1])
    after = next_ranges(ranges, sums, clipped, 3, quantiser)
    assert after.tolist() == pytest.approx([0.5, 1.0, 4 * math.sqrt(3) * 3000 / 32767, 2.0])


def test_ranges_stay_positive() -> None:
    quantiser = make(16, "nearest")
    ranges = first_ranges(10, 0.5)
    for _ in range(200):
        ranges = next_ranges(ranges, np.zeros(10, np.int64), np.zeros(1, np.int64), 3, quantiser)
    assert ranges.tolist() == [SMALLEST_RANGE]
    assert np.isfinite(quantiser.dequantise(np.array([5]), ranges)).all()

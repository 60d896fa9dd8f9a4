import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from veiltune_analysis.statistics import mean_interval, seeds_warning

FINITE = st.floats(-1e3, 1e3)


def test_two_values_by_hand() -> None:
    """With one degree of freedom t is the tangent: tan(pi (0.975 - 1/2)); s / sqrt(2) is 1."""
    interval = mean_interval([1.0, 3.0])
    assert interval.mean == 2.0
    assert interval.half_width == pytest.approx(math.tan(math.pi * 0.475), rel=1e-9)


def test_three_values_by_hand() -> None:
    """With two degrees of freedom t = (2p - 1) / sqrt(2p(1 - p)); here s = 1."""
    t = (2 * 0.975 - 1) / math.sqrt(2 * 0.975 * 0.025)
    interval = mean_interval([1.0, 2.0, 3.0])
    assert interval.low == pytest.approx(2 - t / math.sqrt(3), rel=1e-9)
    assert interval.high == pytest.approx(2 + t / math.sqrt(3), rel=1e-9)


def test_the_interval_covers_the_mean_in_95_of_100_repetitions() -> None:
    """Simulated with normal values; a right program fails this with a chance of one in 10^6."""
    draws = np.random.default_rng(20).normal(5.0, 2.0, size=(2000, 5))
    intervals = [mean_interval(values.tolist()) for values in draws]
    covered = sum(interval.low <= 5.0 <= interval.high for interval in intervals)
    assert stats.binomtest(covered, len(draws), 0.95).pvalue > 1e-6


@pytest.mark.parametrize("values", [[], [1.0], [1.0, math.nan], [1.0, math.inf, 2.0]])
def test_there_is_no_interval_without_two_finite_values(values: list[float]) -> None:
    interval = mean_interval(values)
    assert not interval.is_known
    assert math.isnan(interval.half_width)
    assert interval.seeds == len(values)


def test_a_diverged_run_makes_the_mean_unknown_and_one_seed_keeps_its_value() -> None:
    assert math.isnan(mean_interval([1.0, math.nan]).mean)
    assert mean_interval([1.0]).mean == 1.0


def test_equal_values_have_an_interval_of_no_width() -> None:
    interval = mean_interval([0.5, 0.5, 0.5])
    assert (interval.low, interval.high) == (0.5, 0.5)


@given(st.lists(FINITE, min_size=2, max_size=8), FINITE)
def test_a_shift_moves_the_interval_and_leaves_its_width(values: list[float], by: float) -> None:
    before, after = mean_interval(values), mean_interval([value + by for value in values])
    assert after.mean == pytest.approx(before.mean + by, abs=1e-8)
    assert after.half_width == pytest.approx(before.half_width, abs=1e-8)


def test_few_seeds_are_warned_of() -> None:
    assert seeds_warning(5) is None
    assert "4 seeds" in str(seeds_warning(4))
    assert "1 seed:" in str(seeds_warning(1))

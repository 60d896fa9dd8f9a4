"""The frontier's fits and intervals against brute force, other routes of SciPy, and simulation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import optimize, stats

from veiltune_analysis.frontier import VALIDATION_LOSS, Frontier, epsilon_within, knee
from veiltune_analysis.frontier.monotone import monotone
from veiltune_analysis.frontier.parametric import Curve, fit_curve
from veiltune_analysis.frontier.price import ratio_interval
from veiltune_analysis.frontier.resampling import expanded_tail, resamples
from veiltune_analysis.statistics import compare

EPSILONS = np.array([0.5, 1.0, 2.0, 4.0, 8.0])
VALUES = st.lists(st.floats(-10, 10), min_size=1, max_size=8).map(np.array)


def frontier(values: NDArray[np.float64], reference: NDArray[np.float64]) -> Frontier:
    seeds = tuple(range(1, len(values) + 1))
    return Frontier("a", VALIDATION_LOSS, EPSILONS, seeds, values, reference)


@given(VALUES)
def test_the_monotone_fit_by_its_min_max_formula(values: NDArray[np.float64]) -> None:
    """The rising fit at i is the largest over a <= i of the smallest over b >= i of the mean of
    values a to b (Robertson, Wright and Dykstra 1988, theorem 1.4.4)."""
    n = len(values)
    brute = [
        max(min(values[a : b + 1].mean() for b in range(i, n)) for a in range(i + 1))
        for i in range(n)
    ]
    assert monotone(values, 1) == pytest.approx(brute, abs=1e-9)
    assert monotone(-values, -1) == pytest.approx([-each for each in brute], abs=1e-9)


@given(VALUES, st.lists(st.floats(0, 5), min_size=16, max_size=16))
def test_a_monotone_curve_between_two_edges_stays_between_their_fits(
    values: NDArray[np.float64], room: list[float]
) -> None:
    curve = np.sort(values)[::-1]
    n = len(curve)
    low, high = curve - room[:n], curve + room[8 : 8 + n]
    assert (monotone(low, -1) <= curve + 1e-9).all()
    assert (monotone(high, -1) >= curve - 1e-9).all()


@pytest.mark.parametrize("slope", [0.3, 0.5, 1.0, 2.0])
def test_a_planted_curve_is_found_again(slope: float) -> None:
    found = fit_curve(EPSILONS, Curve(0.4, 0.7, slope).cost(EPSILONS))
    assert (found.floor, found.scale, found.slope) == pytest.approx((0.4, 0.7, slope), rel=1e-4)


@pytest.mark.parametrize("seed", range(8))
def test_no_other_search_finds_a_better_curve(seed: int) -> None:
    """SciPy's trust-region least squares over all three parameters, from several starts."""
    rng = np.random.default_rng(seed)
    truth = Curve(0.3, 0.5, float(rng.uniform(0.3, 2.0)))
    costs = truth.cost(EPSILONS) + rng.normal(0, 0.03, 5)
    found = fit_curve(EPSILONS, costs)

    def residuals(parameters: NDArray[np.float64]) -> NDArray[np.float64]:
        floor, scale, slope = parameters
        return np.asarray(floor + scale * EPSILONS**-slope - costs)

    best = min(
        optimize.least_squares(
            residuals, [0.2, 0.5, start], bounds=([-np.inf, 0, 0.1], [np.inf, np.inf, 4.0])
        ).cost
        for start in (0.15, 0.5, 1.0, 2.0, 3.5)
    )
    ours = 0.5 * float(((found.cost(EPSILONS) - costs) ** 2).sum())
    assert ours <= best * (1 + 1e-6) + 1e-15


@pytest.mark.parametrize("seeds", [5, 6])
def test_the_enumerated_resamples_have_the_moments_of_the_bootstrap(seeds: int) -> None:
    """The resampled mean has the sample's mean, and its variance (divisor n) over n."""
    taken = resamples(seeds)
    assert taken is not None
    sample = np.random.default_rng(1).normal(size=seeds)
    means = taken.weights @ sample
    assert taken.chance.sum() == pytest.approx(1.0)
    assert taken.chance @ means == pytest.approx(sample.mean())
    variance = taken.chance @ (means - sample.mean()) ** 2
    assert variance == pytest.approx(sample.var() / seeds)


def test_the_enumerated_resamples_are_those_that_are_drawn() -> None:
    """Of 200 000 drawn means a share stays below a value that differs by less than 0.6 % from the
    enumerated probability; a right program fails this with a chance below one in 10^6."""
    taken = resamples(5)
    assert taken is not None
    sample = np.random.default_rng(2).normal(size=5)
    rng = np.random.default_rng(3)
    drawn = sample[rng.integers(0, 5, size=(200_000, 5))].mean(axis=1)
    means = taken.weights @ sample
    for value in np.quantile(means, [0.1, 0.3, 0.5, 0.7, 0.9]):
        exact = float(taken.chance[means <= value + 1e-12].sum())
        assert float((drawn <= value + 1e-12).mean()) == pytest.approx(exact, abs=0.006)


@pytest.mark.parametrize("seeds", [5, 10])
def test_the_expanded_percentiles_are_as_wide_as_students_interval(seeds: int) -> None:
    """On a normal bootstrap distribution, whose standard deviation is s sqrt((n - 1) / n) /
    sqrt(n), the expanded percentiles are t s / sqrt(n) from the mean."""
    half = -stats.norm.ppf(expanded_tail(seeds)) * math.sqrt((seeds - 1) / seeds)
    assert half == pytest.approx(stats.t.ppf(0.975, df=seeds - 1))


def test_the_ends_of_fiellers_interval_are_where_the_paired_test_has_5_percent() -> None:
    rng = np.random.default_rng(4)
    reference = rng.normal(1.0, 0.1, 6)
    values = 1.3 * reference + rng.normal(0, 0.1, 6)
    found = ratio_interval(values, reference)
    for edge in (found.low, found.high):
        exceeded = dict(enumerate((values - edge * reference).tolist()))
        assert compare(exceeded, dict.fromkeys(exceeded, 0.0)).p == pytest.approx(0.05)
    assert found.low < found.mean < found.high


def test_the_interval_of_the_epsilon_covers_it_in_95_of_100_repetitions() -> None:
    """The planted loss crosses 1.1 times the non-private loss at a tested epsilon, where nothing
    is interpolated. Simulated with normal values; a right program fails with a chance of one in
    10^6."""
    rng = np.random.default_rng(5)
    mean = 1.1 + 0.5 * np.log(2.0 / EPSILONS)
    covered, repetitions = 0, 800
    for _ in range(repetitions):
        reference = rng.normal(1.0, 0.05, 5)
        values = mean + rng.normal(0, 0.05, (5, 5))
        found = epsilon_within(frontier(values, reference), 10.0)
        assert found.low is not None and found.high is not None
        covered += found.low.epsilon <= 2.0 <= found.high.epsilon
    assert stats.binomtest(covered, repetitions, 0.95).pvalue > 1e-6


def test_the_knee_of_a_bent_line_is_its_bend() -> None:
    rng = np.random.default_rng(6)
    bent = np.array([2.0, 1.2, 0.4, 0.35, 0.3])
    found = knee(frontier(bent + rng.normal(0, 0.01, (5, 5)), np.full(5, 0.25)))
    assert (found.low, found.epsilon, found.high) == (2.0, 2.0, 2.0)


def test_a_straight_line_has_a_knee_in_at_most_5_of_100_repetitions() -> None:
    """Straight in the logarithm of epsilon, with normal noise. Bonferroni's bound is 5 %; a right
    program fails this with a chance below one in 10^6."""
    rng = np.random.default_rng(7)
    line = 1.0 - 0.1 * np.log2(EPSILONS)
    repetitions = 800
    found = sum(
        knee(frontier(line + rng.normal(0, 0.1, (5, 5)), np.full(5, 0.5))).epsilon is not None
        for _ in range(repetitions)
    )
    assert stats.binomtest(found, repetitions, 0.05, alternative="greater").pvalue > 1e-6

"""Laws that a bound on epsilon obeys, and what calibration promises."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_ndtr, ndtr

from veiltune.errors import SpecificationError
from veiltune_privacy.dp import accounting
from veiltune_privacy.dp.accounting import (
    CLOSENESS,
    RELATIVE_ERROR,
    SMALLEST_NOISE,
    Release,
    Spent,
    calibrate,
    default_delta,
    prv_epsilon,
    rdp_epsilon,
)

DELTA = 1e-5

noises = st.floats(0.5, 5)
rates = st.floats(0.01, 1)
counts = st.integers(1, 300)
deltas = st.floats(1e-7, 1e-3)
releases = st.builds(Release, noises, rates, counts)


def gaussian_epsilon(noise_multiplier: float, steps: int, delta: float) -> float:
    """The exact epsilon of steps on all examples: one Gaussian (Balle and Wang 2018, theorem 8)."""
    mean = math.sqrt(steps) / noise_multiplier

    def excess(epsilon: float) -> float:
        right = math.exp(epsilon + log_ndtr(-mean / 2 - epsilon / mean))
        return float(ndtr(mean / 2 - epsilon / mean) - right - delta)

    low, high = 0.0, 10 * mean * (mean + 10)
    while high - low > 1e-9 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    return high


# Bounds


@pytest.mark.parametrize("steps", [1, 50, 500])
@pytest.mark.parametrize("noise", [2.0, 5.0, 20.0])
def test_without_sampling_the_tight_bound_is_the_exact_epsilon(noise: float, steps: int) -> None:
    exact = gaussian_epsilon(noise, steps, DELTA)
    spent = prv_epsilon([Release(noise, 1.0, steps)], DELTA)
    assert spent.accountant == "prv"
    # The fast bound, to which the error is relative, may be a third above the exact epsilon.
    assert exact <= spent.epsilon <= exact * (1 + 3 * RELATIVE_ERROR)
    assert rdp_epsilon([Release(noise, 1.0, steps)], DELTA) >= exact


@settings(max_examples=8, deadline=None, derandomize=True)
@given(release=releases, delta=deltas)
def test_the_tight_bound_is_never_above_the_fast_one(release: Release, delta: float) -> None:
    assert prv_epsilon([release], delta).epsilon <= rdp_epsilon([release], delta)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(release=releases, delta=deltas, factor=st.floats(1.05, 3), more=st.integers(1, 100))
def test_the_fast_bound_is_monotone(
    release: Release, delta: float, factor: float, more: int
) -> None:
    """Less noise, a higher rate, more steps and a smaller delta never cost less epsilon."""
    noise, rate, steps = release.noise_multiplier, release.sample_rate, release.steps
    epsilon = rdp_epsilon([release], delta)
    worse = [
        rdp_epsilon([Release(noise / factor, rate, steps)], delta),
        rdp_epsilon([Release(noise, min(1.0, rate * factor), steps)], delta),
        rdp_epsilon([Release(noise, rate, steps + more)], delta),
        rdp_epsilon([release], delta / factor),
        rdp_epsilon([release, Release(5.0, 0.01, more)], delta),
    ]
    assert min(worse) >= epsilon * (1 - 1e-9)


@settings(max_examples=5, deadline=None, derandomize=True)
@given(release=releases, factor=st.floats(1.1, 3), more=st.integers(20, 100))
def test_the_tight_bound_is_monotone(release: Release, factor: float, more: int) -> None:
    """Up to its own error, which is relative to the fast bound."""
    noise, rate, steps = release.noise_multiplier, release.sample_rate, release.steps
    epsilon = prv_epsilon([release], DELTA).epsilon
    error = 2 * RELATIVE_ERROR * rdp_epsilon([release], DELTA) + 1e-3
    assert prv_epsilon([Release(noise / factor, rate, steps)], DELTA).epsilon >= epsilon - error
    assert prv_epsilon([Release(noise, rate, steps + more)], DELTA).epsilon >= epsilon - error


@settings(max_examples=8, deadline=None, derandomize=True)
@given(parts=st.lists(counts, min_size=1, max_size=5), noise=noises, rate=rates)
def test_how_steps_are_cut_into_rounds_does_not_matter(
    parts: list[int], noise: float, rate: float
) -> None:
    rounds = [Release(noise, rate, steps) for steps in parts]
    other = Release(3.0, 0.01, 7)
    for bound in (rdp_epsilon, prv_epsilon):
        assert bound(rounds, DELTA) == bound([Release(noise, rate, sum(parts))], DELTA)
    assert rdp_epsilon([*rounds, other], DELTA) == rdp_epsilon([other, *rounds], DELTA)


def test_nothing_released_costs_nothing() -> None:
    assert rdp_epsilon([], DELTA) == 0
    assert prv_epsilon([], DELTA) == Spent(0.0, "rdp")


@pytest.mark.parametrize(
    ("release", "delta", "reason"),
    [
        (Release(0.2, 0.05, 950), DELTA, "the noise is too small"),
        (Release(1e-3, 0.05, 1), DELTA, "the noise is too small"),
        (Release(5.0, 0.05, 1000), 1e-11, "delta is too small for so many steps"),
        (Release(500.0, 0.01, 100_000), 1e-3, "would be too large"),
    ],
)
def test_where_the_tight_accountant_cannot_answer_the_fast_bound_says_so(
    release: Release, delta: float, reason: str
) -> None:
    spent = prv_epsilon([release], delta)
    assert (spent.accountant, spent.epsilon) == ("rdp", rdp_epsilon([release], delta))
    assert reason in spent.note


def test_hardly_any_noise_is_an_infinite_loss_and_no_crash() -> None:
    assert rdp_epsilon([Release(1e-200, 0.1, 1)], DELTA) == math.inf
    assert prv_epsilon([Release(1e-200, 0.1, 1)], DELTA).epsilon == math.inf


# Calibration


@pytest.mark.parametrize(
    ("epsilon", "sample_rate", "steps"),
    [(0.5, 0.05, 200), (8.0, 0.05, 200), (8.0, 1.0, 50)],
)
def test_calibrated_noise_spends_the_target_and_not_more(
    epsilon: float, sample_rate: float, steps: int
) -> None:
    noise = calibrate(epsilon=epsilon, delta=DELTA, sample_rate=sample_rate, steps=steps)
    spent = prv_epsilon([Release(noise, sample_rate, steps)], DELTA)
    assert epsilon * (1 - CLOSENESS) <= spent.epsilon <= epsilon
    assert noise == float(f"{noise:.5g}")
    assert rdp_epsilon([Release(noise, sample_rate, steps)], DELTA) > epsilon  # it is the tight one


def test_the_search_stops_at_the_right_side_of_a_step_in_the_curve() -> None:
    """A curve just above the target up to 1.5, and well below it from there on."""

    def spent(noise: float) -> float:
        return 2.001 if noise < 1.5 else 1.5

    noise = accounting._search(spent, 2.0, (1.0, spent(1.0)), (2.0, spent(2.0)))
    assert noise == pytest.approx(1.5, rel=1e-3)
    assert spent(noise) == 1.5


def test_a_smaller_budget_needs_more_noise() -> None:
    noises = [
        calibrate(epsilon=epsilon, delta=DELTA, sample_rate=0.1, steps=40)
        for epsilon in (8.0, 4.0, 2.0)
    ]
    assert noises == sorted(noises)


def test_where_the_accountant_changes_the_target_is_still_not_passed() -> None:
    noise = calibrate(epsilon=2000.0, delta=DELTA, sample_rate=0.05, steps=200)
    spent = prv_epsilon([Release(noise, 0.05, 200)], DELTA)
    assert spent.accountant == "rdp"
    assert 1990 < spent.epsilon <= 2000


def test_calibration_never_asks_for_no_noise_at_all() -> None:
    noise = calibrate(epsilon=1e12, delta=DELTA, sample_rate=0.05, steps=10)
    assert noise == SMALLEST_NOISE


def test_a_target_that_no_noise_can_meet_is_refused_with_the_least_that_can() -> None:
    with pytest.raises(SpecificationError, match="epsilon must be at least .*no noise can meet"):
        calibrate(epsilon=1e-7, delta=DELTA, sample_rate=0.1, steps=50)


# Bad input


@pytest.mark.parametrize(
    ("noise", "rate", "steps", "fault"),
    [
        (0.0, 0.1, 1, "noise multiplier must be more than 0"),
        (-1.0, 0.1, 1, "noise multiplier must be more than 0"),
        (math.nan, 0.1, 1, "noise multiplier must be more than 0"),
        (math.inf, 0.1, 1, "noise multiplier must be more than 0 and finite"),
        (1.0, 0.0, 1, "sample rate must be more than 0"),
        (1.0, 1.1, 1, "at most 1, got 1.1; take a batch no larger"),
        (1.0, math.nan, 1, "sample rate"),
        (1.0, 0.1, 0, "steps must be at least 1"),
    ],
)
def test_a_release_out_of_range_is_refused(
    noise: float, rate: float, steps: int, fault: str
) -> None:
    with pytest.raises(SpecificationError, match=fault):
        Release(noise, rate, steps)


def test_every_fault_of_a_release_is_said() -> None:
    with pytest.raises(SpecificationError) as caught:
        Release(0.0, 0.0, 0)
    assert len(caught.value.faults) == 3


@pytest.mark.parametrize("delta", [0.0, 1.0, -1e-5, 1.5, math.nan])
def test_delta_out_of_range_is_refused(delta: float) -> None:
    for bound in (rdp_epsilon, prv_epsilon):
        with pytest.raises(SpecificationError, match="delta must be more than 0 and less than 1"):
            bound([Release(1.0, 0.1, 1)], delta)
    with pytest.raises(SpecificationError, match="delta must be"):
        calibrate(epsilon=1.0, delta=delta, sample_rate=0.1, steps=1)


@pytest.mark.parametrize("epsilon", [0.0, -1.0, math.inf, math.nan])
def test_a_target_out_of_range_is_refused(epsilon: float) -> None:
    with pytest.raises(SpecificationError, match="epsilon must be more than 0 and finite"):
        calibrate(epsilon=epsilon, delta=DELTA, sample_rate=0.1, steps=1)


# Delta


@given(st.integers(2, 10**9))
def test_delta_is_below_one_over_the_examples(examples: int) -> None:
    assert 0 < default_delta(examples) < 1 / examples
    assert default_delta(examples) <= 1e-5


def test_delta_falls_with_the_examples() -> None:
    assert default_delta(1) == default_delta(600) == 1e-5
    assert default_delta(10**6) == pytest.approx(10**-6.6)
    with pytest.raises(SpecificationError, match="at least 1 example, got 0"):
        default_delta(0)

"""Epsilon against Google's dp-accounting, which composes privacy loss distributions of its own.

Google's number is itself an upper bound, on the larger of the two directions: adding an example
and removing one. Opacus composes the removing direction alone; that this is the larger one is
checked here too, since for subsampled mechanisms at large it need not be (Lebeda et al. 2024).
"""

import math
import warnings

import numpy as np
import pytest
from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent, SelfComposedDpEvent
from dp_accounting.pld import privacy_loss_distribution
from dp_accounting.rdp import RdpAccountant
from opacus.accountants import PRVAccountant
from scipy.special import logsumexp

from veiltune_privacy.dp.accounting import (
    ORDERS,
    RELATIVE_ERROR,
    Release,
    calibrate,
    prv_epsilon,
    rdp_epsilon,
)

GRID = [
    (noise, rate, steps, delta)
    for noise in (0.5, 0.8, 1.5, 5.0)
    for rate, steps, delta in (
        (0.01, 50, 1e-5),
        (0.01, 1000, 1e-7),
        (0.05, 200, 1e-5),
        (0.05, 200, 1e-3),
        (0.05, 1000, 1e-5),
        (0.3, 50, 1e-5),
        (0.3, 200, 1e-6),
        (0.9, 20, 1e-5),
        (0.999, 20, 1e-5),
        (1.0, 100, 1e-5),
    )
]
"""Epsilon from 0.03 to 300."""


def google(
    release: Release, interval: float | None = None
) -> privacy_loss_distribution.PrivacyLossDistribution:
    """Rounded upwards to multiples of `interval`, of 1/5000 of the fast bound unless given."""
    return privacy_loss_distribution.from_gaussian_mechanism(
        release.noise_multiplier,
        sampling_prob=release.sample_rate,
        value_discretization_interval=interval or min(1e-3, rdp_epsilon([release], 1e-5) / 5000),
    ).self_compose(release.steps)


@pytest.mark.parametrize(("noise", "rate", "steps", "delta"), GRID)
def test_epsilon_is_googles(noise: float, rate: float, steps: int, delta: float) -> None:
    release = Release(noise, rate, steps)
    theirs = google(release).get_epsilon_for_delta(delta)
    ours = prv_epsilon([release], delta)
    assert ours.accountant == "prv"
    assert ours.epsilon == pytest.approx(theirs, rel=0.01)


@pytest.mark.parametrize(
    ("noise", "rate", "steps"), [(0.81, 0.0533, 200), (5.47, 0.0533, 200), (3.0, 0.3, 240)]
)
def test_epsilon_is_opacus_own_at_equal_error(noise: float, rate: float, steps: int) -> None:
    release = Release(noise, rate, steps)
    accountant = PRVAccountant()
    accountant.history = [(noise, rate, steps)]
    error = RELATIVE_ERROR * rdp_epsilon([release], 1e-5)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # Opacus warns where its best order is its last
        theirs = accountant.get_epsilon(1e-5, eps_error=error)
    assert prv_epsilon([release], 1e-5).epsilon == pytest.approx(theirs, rel=1e-5)


@pytest.mark.parametrize(("noise", "rate", "steps", "delta"), GRID)
def test_removing_an_example_is_the_worse_direction(
    noise: float, rate: float, steps: int, delta: float
) -> None:
    composed = google(Release(noise, rate, steps))
    removing = composed._pmf_remove.get_epsilon_for_delta(delta)
    adding = composed._pmf_add.get_epsilon_for_delta(delta)
    assert removing >= adding


def test_epsilon_of_jobs_with_different_noise_is_googles() -> None:
    parts = [Release(1.2, 0.05, 200), Release(2.0, 0.1, 100), Release(0.9, 0.02, 50)]
    first, second, third = (google(part, interval=1e-3) for part in parts)
    composed = first.compose(second).compose(third)
    ours = prv_epsilon(parts, 1e-5)
    assert ours.accountant == "prv"
    assert ours.epsilon == pytest.approx(composed.get_epsilon_for_delta(1e-5), rel=0.01)


@pytest.mark.parametrize(("noise", "rate", "steps", "delta"), GRID)
def test_the_fast_bound_is_the_integral(
    noise: float, rate: float, steps: int, delta: float
) -> None:
    """The moment's definition (Mironov, Talwar and Zhang 2019, section 3.1), by quadrature.

    Google's own moments are no witness at every order: where its series is slow it leaves them out.
    """
    z = np.linspace(-40 * noise, 40 * noise + 600 / noise, 20_001)
    weight = np.log(z[1] - z[0]) - z**2 / (2 * noise**2) - math.log(noise * math.sqrt(2 * math.pi))
    unsampled = math.log1p(-rate) if rate < 1 else -math.inf
    ratio = np.logaddexp(unsampled, math.log(rate) + (2 * z - 1) / (2 * noise**2))
    bounds = []
    for order in (order for order in ORDERS if order <= 64):
        moment = steps * logsumexp(weight + order * ratio) / (order - 1)
        bounds.append(moment + math.log1p(-1 / order) - math.log(delta * order) / (order - 1))
    expected = min(bounds)
    ours = rdp_epsilon([Release(noise, rate, steps)], delta)
    assert ours <= expected * (1 + 1e-6)
    if ours < expected * (1 - 1e-6):  # then a higher order was better, which Google does compute
        accountant = RdpAccountant([order for order in ORDERS if order > 64])
        event = PoissonSampledDpEvent(rate, GaussianDpEvent(noise))
        accountant.compose(SelfComposedDpEvent(event, steps))
        assert ours == pytest.approx(accountant.get_epsilon(delta), rel=1e-6)


@pytest.mark.parametrize("epsilon", [0.5, 2.0, 8.0])
def test_calibrated_noise_meets_its_target_by_googles_count(epsilon: float) -> None:
    noise = calibrate(epsilon=epsilon, delta=1e-5, sample_rate=0.0533, steps=200)
    theirs = google(Release(noise, 0.0533, 200)).get_epsilon_for_delta(1e-5)
    assert 0.99 * epsilon <= theirs <= epsilon

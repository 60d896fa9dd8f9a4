"""What epsilon a site has spent, and how much noise a target epsilon needs.

One step releases the sum of the clipped gradients of a Poisson sample, with Gaussian noise added
(Abadi et al. 2016). Steps are composed in two ways. Moments of the privacy loss (Mironov 2017;
Mironov, Talwar and Zhang 2019) are fast and 5 to 15 % too high. The distribution of the loss,
composed by Fourier transform with bounds on the error (Gopi, Lee and Wutschitz 2021), is tight.
Both numbers are upper bounds. The central limit approximation called GDP is not offered: it is
below the true epsilon where few steps are taken, and so bounds nothing.

*Guarantee*: everything here is about single training examples, under adding or removing one. It
holds if each example was in each step's sample independently with probability `sample_rate`, if
one example changes the sum by at most `clip_norm`, and if the noise had standard deviation
`noise_multiplier * clip_norm`. The parameters of the releases must not depend on private data.
"""

import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from opacus.accountants.analysis.prv import (
    Domain,
    PoissonSubsampledGaussianPRV,
    TruncatedPrivacyRandomVariable,
    compose_heterogeneous,
    discretize,
)
from opacus.accountants.analysis.rdp import compute_rdp

from veiltune.errors import SpecificationError

ORDERS = (*(1 + tenth / 10 for tenth in range(1, 100)), *range(11, 64), 80, 128, 256, 512)
"""The Renyi orders alpha at which the loss is bounded: low ones decide where epsilon is large."""
RELATIVE_ERROR = 1e-3
"""How far the tight bound may lie above the true epsilon, relative to the fast bound."""
SMALLEST_NOISE, LARGEST_NOISE = 0.05, 1e4
"""The noise multipliers that calibration considers. Less than the smallest hides nothing, since one
step's epsilon is in the hundreds; more than the largest drowns every gradient."""
CLOSENESS = 1e-3
"""Calibrated noise spends at least this close to its target, relative to it."""
# Opacus evaluates exp(t) over the whole range of the loss, which must not overflow.
_LARGEST_LOSS = 500.0
# The range of the loss below is enough for errors below one.
_LARGEST_ERROR = 0.5
# The finest mesh worth its time, about a second; coarser ones only raise the bound.
_LARGEST_MESH = 2**21


@dataclass(frozen=True)
class Release:
    """A run of equal steps, each a noisy sum over a Poisson sample.

    Raises:
        SpecificationError: a number is out of range.
    """

    noise_multiplier: float
    """Standard deviation of the noise over the clip norm."""
    sample_rate: float
    """The probability with which each example is in a step's sample."""
    steps: int

    def __post_init__(self) -> None:
        faults = []
        if not (math.isfinite(self.noise_multiplier) and self.noise_multiplier > 0):
            faults.append(
                f"the noise multiplier must be more than 0 and finite, got "
                f"{self.noise_multiplier:g}; without noise nothing is private"
            )
        if not 0 < self.sample_rate <= 1:
            faults.append(
                f"the sample rate must be more than 0 and at most 1, got {self.sample_rate:g}; "
                f"take a batch no larger than the site's examples"
            )
        if self.steps < 1:
            faults.append(f"steps must be at least 1, got {self.steps}; charge only what is run")
        if faults:
            raise SpecificationError(faults)


@dataclass(frozen=True)
class Spent:
    """An upper bound on epsilon, and how it was come by."""

    epsilon: float
    accountant: Literal["prv", "rdp"]
    """`prv`: the distribution of the privacy loss; `rdp`: its moments."""
    note: str = ""
    """A sentence where there is something to say, such as why the tight bound was not used."""


def rdp_epsilon(releases: Sequence[Release], delta: float) -> float:
    """A fast upper bound on epsilon of all `releases` together; 0 for none, perhaps infinite.

    Renyi divergences add over steps, and turn into epsilon by Balle et al. 2020, theorem 21.

    Raises:
        SpecificationError: `delta` is not between 0 and 1.
    """
    return _rdp(_merged(releases), _checked_delta(delta))


def prv_epsilon(releases: Sequence[Release], delta: float) -> Spent:
    """A tight upper bound on epsilon of all `releases` together.

    Where the tight accountant cannot answer, the fast bound is returned with a sentence that says
    so. The choice depends on the releases and delta alone.

    Raises:
        SpecificationError: `delta` is not between 0 and 1.
    """
    return _spent(_merged(releases), _checked_delta(delta))


@lru_cache(maxsize=256)
def calibrate(*, epsilon: float, delta: float, sample_rate: float, steps: int) -> float:
    """The smallest noise multiplier whose tight epsilon over `steps` is at most `epsilon`.

    What it spends is within `CLOSENESS` of the target and never above it. The result has five
    digits, is at least `SMALLEST_NOISE`, and is the same in every process with the same libraries.

    Raises:
        SpecificationError: a number is out of range, or no noise can meet the target.
    """
    if not (math.isfinite(epsilon) and epsilon > 0):
        raise SpecificationError(
            [f"epsilon must be more than 0 and finite, got {epsilon:g}; 1 to 8 is usual"]
        )

    def spent(noise: float) -> float:
        return prv_epsilon([Release(noise, sample_rate, steps)], delta).epsilon

    enough = _high_enough(epsilon, delta, sample_rate, steps)
    high = enough, spent(enough)
    if high[1] > epsilon:
        raise SpecificationError(
            [
                f"epsilon must be at least {high[1]:.3g} for {steps} steps at rate "
                f"{sample_rate:g} and delta {delta:g}, got {epsilon:g}, which no noise can meet; "
                f"raise epsilon or delta, or take fewer steps"
            ]
        )
    low, factor = high, 0.9
    while low[1] <= epsilon:
        if low[0] == SMALLEST_NOISE:
            return SMALLEST_NOISE
        high, noise = low, max(SMALLEST_NOISE, low[0] * factor)
        low, factor = (noise, spent(noise)), factor**2
    return _search(spent, epsilon, low, high)


def default_delta(examples: int) -> float:
    """A delta below one over the number of examples, and at most 1e-5.

    Raises:
        SpecificationError: there are no examples.
    """
    if examples < 1:
        raise SpecificationError([f"a site must have at least 1 example, got {examples}; add data"])
    return min(1e-5, math.exp(-1.1 * math.log(examples)))


# Calibration


def _high_enough(epsilon: float, delta: float, sample_rate: float, steps: int) -> float:
    """A noise multiplier that the fast bound allows, a little above the least such one."""

    def allowed(noise: float) -> bool:
        return rdp_epsilon([Release(noise, sample_rate, steps)], delta) <= epsilon

    low, high = SMALLEST_NOISE, SMALLEST_NOISE
    while not allowed(high):
        if high == LARGEST_NOISE:
            return high
        low, high = high, min(2 * high, LARGEST_NOISE)
    while high / low > 1.05:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if allowed(middle) else (middle, high)
    return _five_digits_up(high)


def _search(
    spent: Callable[[float], float],
    epsilon: float,
    low: tuple[float, float],
    high: tuple[float, float],
) -> float:
    """The noise that spends just `epsilon`, between two noises and what they spend."""
    # log(epsilon) is nearly linear in log(noise), so a secant comes close at once; every fourth
    # step bisects, since the curve has a step where the accountant changes.
    aim = math.log(epsilon * (1 - CLOSENESS / 2))
    attempt = 0
    while high[1] < epsilon * (1 - CLOSENESS):
        attempt += 1
        guess = math.sqrt(low[0] * high[0])
        if attempt % 4 and math.isfinite(low[1]) and high[1] > 0:
            share = (aim - math.log(high[1])) / (math.log(low[1]) - math.log(high[1]))
            guess = high[0] * (low[0] / high[0]) ** min(max(share, 0.0), 1.0)
        noise = _five_digits_up(guess)
        if not low[0] < noise < high[0]:
            noise = _five_digits_up(math.sqrt(low[0] * high[0]))
        if not low[0] < noise < high[0]:
            break  # neighbours: the curve has its step between them
        found = noise, spent(noise)
        low, high = (low, found) if found[1] <= epsilon else (found, high)
    return high[0]


# Moments


def _rdp(runs: tuple[Release, ...], delta: float) -> float:
    if not runs:
        return 0.0
    orders = np.array(ORDERS)
    moments = np.zeros(len(orders))
    for run in runs:
        moments = moments + run.steps * _moments(run.noise_multiplier, run.sample_rate)
    bounds = moments + np.log1p(-1 / orders) - (math.log(delta) + np.log(orders)) / (orders - 1)
    return max(0.0, float(bounds.min()))


@lru_cache(maxsize=1024)
def _moments(noise_multiplier: float, sample_rate: float) -> NDArray[np.float64]:
    """Renyi divergences of one step, `(orders,)`; infinite where they cannot be computed."""
    return np.array([_moment(noise_multiplier, sample_rate, order) for order in ORDERS])


def _moment(noise_multiplier: float, sample_rate: float, order: float) -> float:
    if noise_multiplier < SMALLEST_NOISE:
        # Sampling only lowers the divergence, and its sums do not converge for so little noise.
        return order / 2 / noise_multiplier / noise_multiplier
    try:
        (moment,) = np.atleast_1d(
            compute_rdp(q=sample_rate, noise_multiplier=noise_multiplier, steps=1, orders=[order])
        )
    except (ArithmeticError, ValueError):  # its sums leave the range of floating point
        return math.inf
    return math.inf if math.isnan(moment) else max(0.0, float(moment))


# The distribution of the loss


@lru_cache(maxsize=1024)
def _spent(runs: tuple[Release, ...], delta: float) -> Spent:
    fast = _rdp(runs, delta)
    if not runs:
        return Spent(fast, "rdp")
    try:
        return Spent(_prv(runs, delta, fast), "prv")
    except _NoAnswer as reason:
        return Spent(fast, "rdp", f"epsilon is the moments' bound, since {reason}")


class _NoAnswer(Exception):
    """The tight accountant cannot answer; the message is the second half of a sentence."""


def _prv(runs: tuple[Release, ...], delta: float, fast: float) -> float:
    """The tight bound; `fast` says how fine a mesh is worth its time.

    Raises:
        _NoAnswer: the releases are outside the accountant's range.
    """
    steps = sum(run.steps for run in runs)
    delta_error = delta / 1000
    # The range of the loss that has to be covered; Gopi et al. 2021, remark 5.6.
    loss = 3 + max(
        _rdp(runs, delta_error / 4),
        *(_rdp((_one_step(run),), delta_error / (8 * steps)) for run in runs),
    )
    if not loss < _LARGEST_LOSS:
        raise _NoAnswer("the noise is too small for the distribution of the loss")
    # A transform and a power of it round to about this much probability.
    if steps * np.finfo(float).eps > delta_error:
        raise _NoAnswer("delta is too small for so many steps in floating point")
    # Mesh times this is the error in epsilon; Gopi et al. 2021, section 5.
    per_mesh = math.sqrt(steps * math.log(12 / delta_error) / 2)
    error = max(RELATIVE_ERROR * fast, 2 * loss * per_mesh * len(runs) / _LARGEST_MESH)
    if error > min(_LARGEST_ERROR, 0.05 * fast):
        raise _NoAnswer("a mesh fine enough for the distribution of the loss would be too large")
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            # Where a distribution ends, Opacus takes logarithms of zero and means it; an integral
            # that does not converge shows in the mean, which discretize checks.
            warnings.simplefilter("ignore")
            domain = Domain.create_aligned(-loss, loss, error / per_mesh)
            parts = [
                TruncatedPrivacyRandomVariable(
                    PoissonSubsampledGaussianPRV(run.sample_rate, run.noise_multiplier),
                    domain.t_min,
                    domain.t_max,
                )
                for run in runs
            ]
            composed = compose_heterogeneous(
                [discretize(part, domain) for part in parts], [run.steps for run in runs]
            )
            _, _, upper = composed.compute_epsilon(delta, delta_error, error)
            epsilon = float(upper)
    except (ArithmeticError, ValueError, RuntimeError) as failure:
        raise _NoAnswer("the distribution of the loss could not be composed") from failure
    if not math.isfinite(epsilon):
        raise _NoAnswer("the distribution of the loss left the range of floating point")
    return max(0.0, epsilon)


# Details


def _merged(releases: Iterable[Release]) -> tuple[Release, ...]:
    """The same releases with equal steps counted together, in an order of their own."""
    steps: dict[tuple[float, float], int] = {}
    for release in releases:
        kind = (release.noise_multiplier, release.sample_rate)
        steps[kind] = steps.get(kind, 0) + release.steps
    return tuple(Release(*kind, count) for kind, count in sorted(steps.items()))


def _one_step(run: Release) -> Release:
    return Release(run.noise_multiplier, run.sample_rate, 1)


def _checked_delta(delta: float) -> float:
    if not 0 < delta < 1:
        raise SpecificationError(
            [
                f"delta must be more than 0 and less than 1, got {delta:g}; "
                f"take less than 1 over the number of examples"
            ]
        )
    return float(delta)


def _five_digits_up(noise: float) -> float:
    """The least number of five digits that is not below `noise`."""
    shift = 4 - math.floor(math.log10(noise))
    # Division by a power of ten rounds once, so the result is the number as a person would type it.
    return math.ceil(noise * 10**shift) / 10**shift if shift >= 0 else float(math.ceil(noise))

"""The parametric fit: value = floor + scale * epsilon ** -slope.

Noise that grants epsilon adds an excess risk that falls as a power of epsilon: 1 / epsilon for
convex and 1 / epsilon ** 2 for strongly convex losses (Bassily, Smith and Thakurta, "Private
empirical risk minimization", FOCS 2014, sections 1.1 and 5). A tuned prompt is neither, so the
slope is fitted, between 0.1 and 4. The floor is free, not the non-private loss: clipping remains
however large epsilon is, so what the floor lies above the non-private loss is a price that no
epsilon buys back. For an accuracy the curve is mirrored: floor - scale * epsilon ** -slope.

The fit is least squares on the means. Given the slope, floor and scale follow from a linear
regression, so that the search is over the slope alone (Golub and Pereyra, "The differentiation of
pseudo-inverses and nonlinear least squares problems", SIAM J. Numer. Anal. 10, 1973). Three
parameters need four epsilons. The curve is said not to fit where it leaves the t interval of the
mean at any tested epsilon, all intervals together at 95 % (Bonferroni).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.optimize import minimize_scalar

from veiltune_analysis.frontier.data import Frontier
from veiltune_analysis.frontier.resampling import resamples
from veiltune_analysis.statistics import CONFIDENCE, Interval

SLOPES = (0.1, 4.0)
LEAST_EPSILONS = 4
GRID = np.geomspace(*SLOPES, 80)


@dataclass(frozen=True)
class Curve:
    """`floor` is the cost at infinite epsilon and `scale` what epsilon 1 adds to it.

    `scale` is 0 where the means do not fall with epsilon; the slope then is NaN. Costs are losses,
    or negative accuracies.
    """

    floor: float
    scale: float
    slope: float

    def cost(self, epsilons: NDArray[np.float64]) -> NDArray[np.float64]:
        """The cost at each epsilon."""
        if self.scale == 0:
            return np.full(epsilons.shape, self.floor)
        return np.asarray(self.floor + self.scale * epsilons**-self.slope)


@dataclass(frozen=True)
class ParametricFit:
    """The curve of a frontier, 95 % intervals of its parameters, and whether it fits.

    Intervals are NaN with fewer than five seeds, from which no bootstrap is taken.
    """

    curve: Curve
    sign: int
    floor: Interval
    """In the measure's own direction: a loss or an accuracy."""
    scale: Interval
    slope: Interval
    misfit: str | None
    """Why the curve must not be used, or None."""

    def at(self, epsilons: NDArray[np.float64]) -> NDArray[np.float64]:
        """The value of the measure at each epsilon."""
        return self.sign * self.curve.cost(epsilons)


def parametric_fit(frontier: Frontier) -> ParametricFit | str:
    """The parametric fit of a frontier; where none can be made, a clause that says why."""
    if frontier.unknown:
        return frontier.unknown
    if len(frontier.epsilons) < LEAST_EPSILONS:
        return (
            f"not computed: {LEAST_EPSILONS} epsilons are the least that a curve with three "
            f"parameters can be checked on; there are {len(frontier.epsilons)}"
        )
    curve = fit_curve(frontier.epsilons, frontier.costs.mean(axis=0))
    n, sign = len(frontier.seeds), frontier.measure.sign
    ends = {name: (math.nan, math.nan) for name in ("floor", "scale", "slope")}
    taken = resamples(n)
    if taken is not None:
        curves = [fit_curve(frontier.epsilons, mean) for mean in taken.weights @ frontier.costs]
        ends = {
            name: taken.interval(np.array([getattr(each, name) for each in curves]))
            for name in ends
        }
    low, high = sorted(sign * edge for edge in ends["floor"])
    return ParametricFit(
        curve,
        sign,
        Interval(sign * curve.floor, low, high, n),
        Interval(curve.scale, *ends["scale"], n),
        Interval(curve.slope, *ends["slope"], n),
        _misfit(frontier, curve),
    )


def fit_curve(epsilons: NDArray[np.float64], costs: NDArray[np.float64]) -> Curve:
    """The curve of least squares through finite costs; both of shape (epsilons,)."""
    powers = epsilons ** -GRID[:, None]
    best = int(np.argmin(_regress(powers, costs)[2]))

    def residual(log_slope: float) -> float:
        return float(_regress(epsilons ** -math.exp(log_slope), costs)[2])

    logs = np.log(GRID)
    around = (logs[max(best - 1, 0)], logs[min(best + 1, len(logs) - 1)])
    refined = minimize_scalar(residual, bounds=around, method="bounded", options={"xatol": 1e-9})
    slope = math.exp(min((logs[best], float(refined.x)), key=residual))
    floor, scale, _ = _regress(epsilons**-slope, costs)
    if scale <= 0:
        return Curve(float(costs.mean()), 0.0, math.nan)
    return Curve(float(floor), float(scale), slope)


def _regress(
    x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Intercept, slope (not below 0) and squared error of y on each x of shape (..., epsilons)."""
    centre = x.mean(axis=-1)
    centred = x - centre[..., None]
    slope = np.maximum(centred @ y / (centred**2).sum(axis=-1), 0.0)
    intercept = y.mean() - slope * centre
    error = ((intercept[..., None] + slope[..., None] * x - y) ** 2).sum(axis=-1)
    return intercept, slope, error


def _misfit(frontier: Frontier, curve: Curve) -> str | None:
    direction = "falls" if frontier.measure.lower_is_better else "rises"
    if curve.scale == 0:
        return f"no {frontier.measure.name} that {direction} with epsilon is seen"
    n, tested = len(frontier.seeds), len(frontier.epsilons)
    if n < 2:
        return "one seed: whether it fits cannot be checked"
    quantile = stats.t.ppf(1 - (1 - CONFIDENCE) / (2 * tested), df=n - 1)
    room = quantile * stats.sem(frontier.costs, axis=0)
    gap = np.abs(curve.cost(frontier.epsilons) - frontier.costs.mean(axis=0))
    # Equal seeds leave no room at all; rounding is not a misfit.
    outside = frontier.epsilons[gap > room + 1e-9 * np.ptp(frontier.costs)]
    if outside.size:
        where = ", ".join(f"{epsilon:g}" for epsilon in outside)
        return f"does not fit: it leaves the interval of the mean at epsilon {where}"
    if not SLOPES[0] * 1.001 < curve.slope < SLOPES[1] / 1.001:
        return f"the slope is at the end of its range ({curve.slope:.3g}): it is not determined"
    return None

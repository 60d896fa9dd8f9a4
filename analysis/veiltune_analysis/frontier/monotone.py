"""The monotone fit: more privacy never helps.

Whatever can be done with a small epsilon can be done with a greater one, so the true curve never
improves as epsilon falls; the means over few seeds may. The fit is the isotonic regression of the
means (least squares among monotone curves: Robertson, Wright and Dykstra, "Order Restricted
Statistical Inference", 1988, section 1.2), linear in the logarithm of epsilon between the tested
values. The edges of the 95 % t intervals are made monotone in the same way: where the intervals
together cover a monotone curve, the edges so moved cover it too (Chernozhukov, Fernandez-Val and
Galichon, "Improving point and interval estimators of monotone functions by rearrangement",
Biometrika 96, 2009, section 2.2).
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from veiltune_analysis.frontier.data import Frontier


@dataclass(frozen=True)
class MonotoneFit:
    """A curve that never gets worse as epsilon rises, with its band; shapes (epsilons,).

    `low` and `high` are NaN where there is no interval: fewer than two seeds.
    """

    epsilons: NDArray[np.float64]
    fitted: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    def at(self, epsilon: float) -> float:
        """The fitted value at an epsilon; NaN outside the tested range."""
        if not self.epsilons[0] <= epsilon <= self.epsilons[-1]:
            return math.nan
        return float(np.interp(math.log(epsilon), np.log(self.epsilons), self.fitted))


def monotone_fit(frontier: Frontier) -> MonotoneFit | None:
    """The monotone fit of a frontier; None where a value is not a number (`Frontier.unknown`)."""
    if frontier.unknown:
        return None
    improving: Literal[-1, 1] = -1 if frontier.measure.lower_is_better else 1
    mean, low, high = frontier.edges()
    return MonotoneFit(
        frontier.epsilons,
        monotone(mean, improving),
        monotone(low, improving),
        monotone(high, improving),
    )


def monotone(values: NDArray[np.float64], direction: Literal[-1, 1]) -> NDArray[np.float64]:
    """The closest rising (1) or falling (-1) sequence; NaN everywhere where a value is NaN."""
    if not np.isfinite(values).all():
        return np.full(values.shape, math.nan)
    fitted = isotonic_regression(values, increasing=direction > 0).x
    return np.asarray(fitted, dtype=np.float64)

"""The epsilon needed to stay within x percent of what training without privacy gives.

For each seed and epsilon, g = cost - (1 + x %) of the non-private cost is what the private run
exceeds its allowance by (for an accuracy: what it falls short of (1 - x %) by). The answer is the
smallest epsilon at which the mean of g is at most zero, on its monotone fit. The interval inverts
a test (Fieller, "Some problems in interval estimation", JRSS B 16, 1954): it holds the epsilons
at which the 95 % t interval of g, its edges made monotone, contains zero. The reference's own
uncertainty is thereby within it, paired by seed.

Nothing is extrapolated: an answer outside the tested epsilons is said to be outside.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from veiltune.errors import SpecificationError
from veiltune_analysis.frontier.data import Frontier
from veiltune_analysis.frontier.monotone import monotone
from veiltune_analysis.statistics import mean_interval

Side = Literal["at", "at most", "more than"]


@dataclass(frozen=True)
class Crossing:
    """An epsilon, or the end of the tested range beyond which it lies."""

    epsilon: float
    side: Side = "at"

    def text(self) -> str:
        """For a person to read: `2.3`, or which end of the tested range it lies beyond."""
        if self.side == "at most":
            return f"at most {self.epsilon:g}, the smallest tested"
        if self.side == "more than":
            return f"more than {self.epsilon:g}, the largest tested"
        return self.short()

    def short(self) -> str:
        """The same where the end of the range need not be explained."""
        return f"{self.epsilon:.3g}" if self.side == "at" else f"{self.side} {self.epsilon:g}"


@dataclass(frozen=True)
class EpsilonWithin:
    """The answer with its 95 % interval, or why there is none."""

    percent: float
    seeds: int
    estimate: Crossing | None = None
    low: Crossing | None = None
    high: Crossing | None = None
    unknown: str | None = None

    def text(self) -> str:
        """One clause for a person to read."""
        if self.estimate is None:
            return self.unknown or "not known"
        if self.low is None or self.high is None:
            return f"{self.estimate.text()} ({self.unknown})"
        ends = dict.fromkeys((self.low.short(), self.high.short()))
        return f"{self.estimate.text()} (95 % interval: {' to '.join(ends)})"


def epsilon_within(frontier: Frontier, percent: float) -> EpsilonWithin:
    """The smallest epsilon that costs at most `percent` of the non-private value.

    | frontier | answer |
    |---|---|
    | no non-private runs, or one that is not finite or whose mean is not positive | none |
    | a value that is not finite | none |
    | one seed | an estimate without interval |
    | within already at the smallest tested epsilon | "at most" it |
    | not within at the largest | "more than" it |

    Raises:
        SpecificationError: `percent` is negative or not a number.
    """
    if not (math.isfinite(percent) and percent >= 0):
        raise SpecificationError(
            [f"expected a percentage of at least 0, got {percent}; 5 allows a loss 5 % higher"]
        )
    seeds = len(frontier.seeds)
    unknown = frontier.unknown or _no_reference(frontier)
    if unknown or frontier.reference is None:
        return EpsilonWithin(percent, seeds, unknown=unknown)
    sign = frontier.measure.sign
    allowed = frontier.reference * (1 + sign * percent / 100)
    excess = [mean_interval(list(g)) for g in (sign * (frontier.values - allowed[:, None])).T]
    estimate = _crossing(frontier.epsilons, np.array([each.mean for each in excess]))
    if seeds < 2:
        return EpsilonWithin(percent, seeds, estimate, unknown="one seed: no interval")
    return EpsilonWithin(
        percent,
        seeds,
        estimate,
        _crossing(frontier.epsilons, np.array([each.low for each in excess])),
        _crossing(frontier.epsilons, np.array([each.high for each in excess])),
    )


def _no_reference(frontier: Frontier) -> str | None:
    if frontier.reference is None:
        return "not computed: the arm has no run without differential privacy"
    if not np.isfinite(frontier.reference).all():
        return "not computed: a run without differential privacy diverged or was not measured"
    if frontier.reference.mean() <= 0:
        return "not computed: a percentage of a value that is not positive says nothing"
    return None


def _crossing(epsilons: NDArray[np.float64], excess: NDArray[np.float64]) -> Crossing:
    """Where the falling fit of `excess`, linear in log epsilon, first is at most zero."""
    fitted = monotone(excess, -1)
    if fitted[0] <= 0:
        return Crossing(float(epsilons[0]), "at most")
    if fitted[-1] > 0:
        return Crossing(float(epsilons[-1]), "more than")
    right = int(np.flatnonzero(fitted <= 0)[0])
    above, below = fitted[right - 1], fitted[right]
    share = above / (above - below)
    start, end = np.log(epsilons[right - 1]), np.log(epsilons[right])
    return Crossing(float(np.exp(start + share * (end - start))))

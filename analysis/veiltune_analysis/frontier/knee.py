"""The knee: the epsilon beyond which more privacy loss buys little.

On the monotone fit, scaled to the unit square with the logarithm of epsilon across and the cost
upwards, it is the tested epsilon that lies farthest below the chord from the first point to the
last (Satopaa et al., "Finding a 'kneedle' in a haystack", ICDCS workshops 2011, section II). The
fit is linear between tested epsilons, so the knee is always one of them, and never the first or
last; of equals it is the smallest.

Noise bends every curve a little. A knee is reported only where the bend is real: at some tested
epsilon the distance of the seeds' own curves below their own chords is above zero, by a one-sided
t test over seeds at 5 % for all epsilons together (Bonferroni). A line has no knee.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from veiltune_analysis.frontier.data import Frontier
from veiltune_analysis.frontier.monotone import monotone
from veiltune_analysis.frontier.resampling import resamples
from veiltune_analysis.statistics import CONFIDENCE, FEW_SEEDS


@dataclass(frozen=True)
class Knee:
    """The knee and its 95 % interval over seeds, or why there is none (all three None)."""

    epsilon: float | None
    low: float | None
    high: float | None
    reason: str | None = None

    def text(self) -> str:
        """One clause for a person to read."""
        if self.epsilon is None:
            return self.reason or "no knee"
        return f"{self.epsilon:g} (95 % interval: {self.low:g} to {self.high:g})"


def knee(frontier: Frontier) -> Knee:
    """The knee of a frontier.

    It needs three epsilons and five seeds: with fewer no bend can be told from noise, and the
    answer says so.
    """
    taken = resamples(len(frontier.seeds))
    if frontier.unknown:
        return _none(frontier.unknown)
    if len(frontier.epsilons) < 3:
        return _none("not computed: a knee needs at least 3 epsilons")
    if taken is None:
        return _none(
            f"not computed: a knee needs at least {FEW_SEEDS} seeds, there are "
            f"{len(frontier.seeds)}"
        )
    at = np.log(frontier.epsilons)
    if not _bends(at, frontier.costs):
        return _none("no knee: the curve is not shown to bend")
    found = _place(at, frontier.costs.mean(axis=0))
    if found is None:
        return _none("no knee: the curve does not fall")
    resampled = [_place(at, mean) for mean in taken.weights @ frontier.costs]
    # A resample without a bend has its knee nowhere: at one end as well as at the other.
    low, _ = taken.interval(np.array([0.0 if each is None else each for each in resampled]))
    last = float(len(at) - 1)
    _, high = taken.interval(np.array([last if each is None else each for each in resampled]))
    epsilon, low, high = (float(frontier.epsilons[int(place)]) for place in (found, low, high))
    return Knee(epsilon, low, high)


def _none(reason: str) -> Knee:
    return Knee(None, None, None, reason)


def _below_chord(at: NDArray[np.float64], costs: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far costs of shape (..., epsilons) lie below the chord of their ends, in between."""
    share = (at - at[0]) / (at[-1] - at[0])
    chord = costs[..., :1] + share * (costs[..., -1:] - costs[..., :1])
    return np.asarray((chord - costs)[..., 1:-1])


def _bends(at: NDArray[np.float64], costs: NDArray[np.float64]) -> bool:
    distance = _below_chord(at, costs)
    n, tested = distance.shape
    quantile = stats.t.ppf(1 - (1 - CONFIDENCE) / tested, df=n - 1)
    # Equal seeds have no error to compare with; a rounding error is not a bend.
    least = quantile * stats.sem(distance, axis=0) + 1e-9 * np.ptp(costs)
    return bool((distance.mean(axis=0) > least).any())


def _place(at: NDArray[np.float64], costs: NDArray[np.float64]) -> int | None:
    """Which epsilon is the knee of the monotone fit of costs; None where nothing is below."""
    distance = _below_chord(at, monotone(costs, -1))
    best = int(np.argmax(distance))
    return best + 1 if distance[best] > 0 else None

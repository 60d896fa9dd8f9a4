"""The bootstrap over seeds: every resample of few seeds, and an interval that is not too narrow.

Seeds are resampled whole, so a resample keeps what pairs the epsilons. A resample is a vector of
weights, the counts of each seed over their number. Up to `ENUMERATED` seeds all of the distinct
resamples are taken, each with its multinomial probability (Fisher and Hall, "Bootstrap algorithms
for small samples", J. Statist. Plann. Inference 27, 1991): the interval then depends on no random
number. With more seeds 2000 are drawn, from a generator of fixed seed.

The percentile interval of a few values is too narrow, by the factor sqrt((n - 1) / n) and by
taking a normal quantile for Student's. The expanded percentiles undo both (Hesterberg, "What
teachers should know about the bootstrap", The American Statistician 69, 2015, section 5.3): with
five seeds they are all but the extremes of the resamples.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from veiltune_analysis.statistics import CONFIDENCE, FEW_SEEDS

ENUMERATED = 6
DRAWN = 2000


@dataclass(frozen=True)
class Resamples:
    """`weights` of shape (resamples, seeds), rows adding to 1; `chance` of shape (resamples,)."""

    weights: NDArray[np.float64]
    chance: NDArray[np.float64]

    def interval(self, statistics: NDArray[np.float64]) -> tuple[float, float]:
        """The expanded percentile interval of a statistic of each resample, shape (resamples,).

        Infinite values take part (an answer beyond the tested range); one that is NaN makes the
        interval unknown.
        """
        if np.isnan(statistics).any():
            return math.nan, math.nan
        tail = expanded_tail(self.weights.shape[1])
        order = np.argsort(statistics, kind="stable")
        below = np.cumsum(self.chance[order])
        low = min(int(np.searchsorted(below, tail)), len(order) - 1)
        high = min(int(np.searchsorted(below, 1 - tail)), len(order) - 1)
        return float(statistics[order[low]]), float(statistics[order[high]])


def resamples(seeds: int) -> Resamples | None:
    """The resamples of so many seeds; None with fewer than five, from which none are taken."""
    if seeds < FEW_SEEDS:
        return None
    if seeds > ENUMERATED:
        drawn = np.random.default_rng(20_150_401).multinomial(
            seeds, np.full(seeds, 1 / seeds), size=DRAWN
        )
        return Resamples(drawn / seeds, np.full(DRAWN, 1 / DRAWN))
    counts = np.array(list(_compositions(seeds, seeds)))
    chance = stats.multinomial.pmf(counts, seeds, np.full(seeds, 1 / seeds))
    return Resamples(counts / seeds, np.asarray(chance, dtype=np.float64))


def expanded_tail(seeds: int) -> float:
    """The probability left out at each end so that the interval is as wide as Student's."""
    quantile = stats.t.ppf((1 + CONFIDENCE) / 2, df=seeds - 1)
    return float(stats.norm.cdf(-math.sqrt(seeds / (seeds - 1)) * quantile))


def _compositions(total: int, parts: int) -> list[tuple[int, ...]]:
    """Every way to write `total` as an ordered sum of `parts` numbers of at least 0."""
    if parts == 1:
        return [(total,)]
    return [
        (first, *rest)
        for first in range(total + 1)
        for rest in _compositions(total - first, parts - 1)
    ]

"""The differences of two arms, seed by seed, which every paired statistic starts from.

Two arms with the same seed share their data and their first prompt, so what both owe to the seed
cancels. Only seeds that both arms have are compared. A value that is not finite is a run that
diverged: it makes every statistic of the pair unknown.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

LEAST_SEEDS = 2
"""One difference says nothing about how differences vary."""
LEAST_SPREAD = 1e-150
"""The square of less is no number any more."""


@dataclass(frozen=True)
class Differences:
    """First minus second for each shared seed, and why no test can be made of them, if so."""

    values: NDArray[np.float64]
    """Shape (seeds,), in the order of the seeds."""
    unknown: str | None
    """One sentence; None where a t statistic exists."""

    @property
    def seeds(self) -> int:
        """How many seeds both arms have."""
        return self.values.size

    @property
    def are_zero(self) -> bool:
        """Whether at least two seeds are shared and both arms have the same value at each."""
        return self.seeds >= LEAST_SEEDS and not self.values.any()

    @property
    def mean(self) -> float:
        """The mean difference."""
        return float(self.values.mean())

    @property
    def standard_error(self) -> float:
        """Of the mean difference."""
        return float(stats.sem(self.values))


def differences(first: Mapping[int, float], second: Mapping[int, float]) -> Differences:
    """First minus second at the seeds of both, each a mapping from seed to value.

    Differences that are equal but for rounding do not show how much a difference varies: the
    t statistic would divide by nothing, so no test is made of them.
    """
    shared = sorted(first.keys() & second.keys())
    a = np.array([first[seed] for seed in shared], dtype=np.float64)
    b = np.array([second[seed] for seed in shared], dtype=np.float64)
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return Differences(np.full(a.shape, np.nan), "a run diverged or was not measured")
    found = a - b
    if found.size < LEAST_SEEDS:
        noun = "seed" if found.size == 1 else "seeds"
        unknown = f"a test needs at least {LEAST_SEEDS} seeds that both have, there are "
        return Differences(found, f"{unknown}{found.size} {noun}".replace("are 1", "is 1"))
    rounding = 4 * np.finfo(np.float64).eps * max(np.abs(a).max(), np.abs(b).max())
    if np.ptp(found) <= max(rounding, LEAST_SPREAD):
        if not found.any():
            return Differences(found, "both have the same value at each seed")
        return Differences(found, "all differences are equal, which leaves no error to test by")
    return Differences(found, None)

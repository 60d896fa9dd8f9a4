"""What several seeds say together: means with 95 % intervals.

The interval is Student's: with n values of mean m and sample standard deviation s (divisor
n - 1), it is m ± t s / sqrt(n), where t is the 0.975 quantile of Student's t distribution with
n - 1 degrees of freedom (Student, "The probable error of a mean", Biometrika 6, 1908). It covers
the true mean in 95 % of repetitions when the values are independent and normally distributed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
FEW_SEEDS = 5


@dataclass(frozen=True)
class Interval:
    """A mean over seeds and its 95 % interval; `low` and `high` are NaN where none exists."""

    mean: float
    low: float
    high: float
    seeds: int

    @property
    def is_known(self) -> bool:
        """Whether there is an interval: at least two seeds, all of them finite."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    @property
    def half_width(self) -> float:
        """The number after the ±, NaN where there is no interval."""
        return (self.high - self.low) / 2


def mean_interval(values: Sequence[float]) -> Interval:
    """The mean of `values` (one a seed) with its 95 % t interval.

    | values | mean | low, high |
    |---|---|---|
    | none | NaN | NaN |
    | one | the value | NaN |
    | all equal | the value | the value |
    | one of them NaN or infinite | NaN | NaN |

    A value that is not finite is a run that diverged or was not measured. Leaving it out would
    flatter the arm it belongs to, so it makes the mean unknown.
    """
    sample = np.asarray(values, dtype=np.float64)
    n = sample.size
    if n == 0 or not np.isfinite(sample).all():
        return Interval(math.nan, math.nan, math.nan, n)
    mean = float(sample.mean())
    if n == 1:
        return Interval(mean, math.nan, math.nan, n)
    quantile = float(stats.t.ppf((1 + CONFIDENCE) / 2, df=n - 1))
    half_width = quantile * float(stats.sem(sample))
    return Interval(mean, mean - half_width, mean + half_width, n)


def seeds_warning(seeds: int) -> str | None:
    """What a caption must add when there are few seeds; None from five seeds on."""
    if seeds < 2:
        return f"{_counted(seeds)}: no interval can be given."
    if seeds < FEW_SEEDS:
        return f"Only {_counted(seeds)}: the intervals are wide and rest on few runs."
    return None


def _counted(seeds: int) -> str:
    return f"{seeds} seed" if seeds == 1 else f"{seeds} seeds"

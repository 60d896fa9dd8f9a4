"""Whether two arms are the same for all practical purposes.

That no difference is shown does not show that there is none. Equivalence is shown by two one-sided
t tests: that the difference is above -margin, and that it is below +margin (Schuirmann, "A
comparison of the two one-sided tests procedure and the power approach", J. Pharmacokinetics and
Biopharmaceutics 15, 1987). Its p-value is the larger of the two. At the level of 5 % it is shown
just where the 90 % t interval of the difference lies between the margins.

The margin is a decision, made before the values are seen: the difference that would not matter.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from scipy import stats

from veiltune.errors import SpecificationError
from veiltune_analysis.statistics.comparison import LEVEL
from veiltune_analysis.statistics.intervals import Interval, seeds_warning
from veiltune_analysis.statistics.paired import differences


@dataclass(frozen=True)
class Equivalence:
    """First minus second against a margin, paired by seed; NaN where `unknown` says why."""

    margin: float
    interval: Interval
    """The mean difference and its 90 % t interval."""
    p: float
    """The chance of values as close as these if the true difference were the margin, at most."""
    seeds: int
    unknown: str | None = None

    @property
    def is_shown(self) -> bool:
        """Whether equivalence is shown at the 5 % level."""
        return self.p < LEVEL

    @property
    def verdict(self) -> str:
        """In words."""
        if self.unknown:
            return f"not known: {self.unknown}"
        within = f"equivalent within ±{self.margin:g}"
        return within if self.is_shown else f"not shown to be {within}"

    @property
    def note(self) -> str:
        """What must be said beside the numbers: why they are unknown, or that seeds are few."""
        return self.unknown or seeds_warning(self.seeds) or ""


def equivalent(
    first: Mapping[int, float], second: Mapping[int, float], margin: float
) -> Equivalence:
    """The test that the mean difference of two arms lies between -`margin` and +`margin`.

    Both map a seed to a value; the margin is in the unit of the values.

    | differences | p | interval |
    |---|---|---|
    | fewer than two, or one that is not finite | NaN | NaN |
    | all zero: the arms are the same at each seed | 0 | [0, 0] |
    | all equal, not zero: no error to test by | NaN | NaN |

    Raises:
        SpecificationError: the margin is not above 0 and finite.
    """
    if not (math.isfinite(margin) and margin > 0):
        raise SpecificationError(
            [
                f"expected a margin of equivalence above 0, got {margin}; name the smallest "
                f"difference that would matter, in the unit of the values"
            ]
        )
    pairs = differences(first, second)
    n = pairs.seeds
    if pairs.are_zero:
        return Equivalence(margin, Interval(0.0, 0.0, 0.0, n), 0.0, n)
    if pairs.unknown:
        mean = pairs.mean if n else math.nan
        return Equivalence(
            margin, Interval(mean, math.nan, math.nan, n), math.nan, n, pairs.unknown
        )
    mean, error = pairs.mean, pairs.standard_error
    p_low = float(stats.t.sf((mean + margin) / error, df=n - 1))
    p_high = float(stats.t.cdf((mean - margin) / error, df=n - 1))
    half = float(stats.t.ppf(1 - LEVEL, df=n - 1)) * error
    return Equivalence(margin, Interval(mean, mean - half, mean + half, n), max(p_low, p_high), n)

"""Two arms compared: the paired t test, an effect size, and the correction for many comparisons.

With n differences of mean m and sample standard deviation s, t = m sqrt(n) / s follows Student's
distribution with n - 1 degrees of freedom where the arms do not differ and the differences are
normal (Student, "The probable error of a mean", Biometrika 6, 1908).

The effect is m / s, the difference in units of how much differences vary from seed to seed (d_z:
Cohen, "Statistical power analysis for the behavioral sciences", 1988, section 2.3.5), times
J = Gamma(f / 2) / (sqrt(f / 2) Gamma((f - 1) / 2)) with f = n - 1, which removes its bias (Hedges,
"Distribution theory for Glass's estimator of effect size", J. Educational Statistics 6, 1981). Its
interval is that of the true effect: t follows the noncentral distribution with noncentrality
effect * sqrt(n), and the interval holds the effects for which the t seen is not in either tail
(Steiger and Fouladi, "Noncentrality interval estimation", 1997).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special, stats

from veiltune.errors import SpecificationError
from veiltune_analysis.statistics.intervals import (
    CONFIDENCE,
    Interval,
    mean_interval,
    seeds_warning,
)
from veiltune_analysis.statistics.noncentral import noncentrality_interval
from veiltune_analysis.statistics.paired import differences

LEVEL = 0.05
"""A p-value below it, corrected where there are several, is taken to show a difference."""
LEAST_FOR_EFFECT = 3
"""With two seeds the effect's bias has no finite correction: J is 0."""


@dataclass(frozen=True)
class Comparison:
    """First minus second, paired by seed. What cannot be computed is NaN, and `unknown` says why.

    Where both arms have the same value at each seed, the p-value is 1 and the effect 0, by
    convention. Where all differences are equal and not zero, there is no p-value: no error is
    there to test by.
    """

    difference: Interval
    """The mean difference and its 95 % t interval."""
    t: float
    df: int
    """Degrees of freedom: seeds less one, and never below 0."""
    p: float
    """Two-sided."""
    effect: Interval
    """The corrected effect d_z and the 95 % interval of the true effect; needs three seeds."""
    seeds: int
    """How many seeds both arms have."""
    unknown: str | None = None

    @property
    def note(self) -> str:
        """What must be said beside the numbers: why they are unknown, or that seeds are few."""
        return self.unknown or seeds_warning(self.seeds) or ""


def compare(first: Mapping[int, float], second: Mapping[int, float]) -> Comparison:
    """The comparison of two arms, each a mapping from seed to value; unshared seeds do not count.

    The p-value is of this comparison alone: of several, correct them with `holm`.
    """
    pairs = differences(first, second)
    n = pairs.seeds
    interval = mean_interval(list(pairs.values))
    nothing = Interval(math.nan, math.nan, math.nan, n)
    if pairs.are_zero:
        zero = Interval(0.0, math.nan, math.nan, n)
        return Comparison(interval, math.nan, n - 1, 1.0, zero, n, pairs.unknown)
    if pairs.unknown:
        return Comparison(interval, math.nan, max(n - 1, 0), math.nan, nothing, n, pairs.unknown)
    t = pairs.mean / pairs.standard_error
    p = 2 * float(stats.t.sf(abs(t), df=n - 1))
    return Comparison(interval, t, n - 1, p, effect_size(t, n), n)


def effect_size(t: float, seeds: int) -> Interval:
    """The corrected effect behind a paired t statistic, and its interval; NaN below three seeds."""
    if seeds < LEAST_FOR_EFFECT:
        return Interval(math.nan, math.nan, math.nan, seeds)
    df = seeds - 1
    correction = math.exp(special.gammaln(df / 2) - special.gammaln((df - 1) / 2)) / math.sqrt(
        df / 2
    )
    low, high = noncentrality_interval(t, df, CONFIDENCE)
    root = math.sqrt(seeds)
    return Interval(correction * t / root, low / root, high / root, seeds)


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values corrected for their number, in their order (Holm, Scand. J. Statist. 6, 1979).

    Rejecting those below a level keeps the chance of any false rejection below it, however the
    tests depend on one another. A NaN is no test: it is returned NaN and is not counted.

    Raises:
        SpecificationError: a p-value lies outside [0, 1].
    """
    p = np.asarray(p_values, dtype=np.float64)
    known = np.flatnonzero(~np.isnan(p))
    if ((p[known] < 0) | (p[known] > 1)).any():
        raise SpecificationError([f"expected p-values between 0 and 1, got {list(p_values)}"])
    order = known[np.argsort(p[known], kind="stable")]
    steps = p[order] * np.arange(len(order), 0, -1)
    corrected = np.full(p.shape, np.nan)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return [float(each) for each in corrected]

"""The price of privacy: at each epsilon the value, and how much worse it is than without privacy.

Prices are paired by seed, and positive where privacy costs something: a higher loss, a lower
accuracy. The price in percent is that of the means, (mean at epsilon / mean without - 1); its
interval is Fieller's for a ratio of paired means ("Some problems in interval estimation", JRSS B
16, 1954), which holds the ratios r for which the paired t test of value - r * reference does not
reject at 5 %.
"""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from veiltune_analysis.frontier.data import Frontier
from veiltune_analysis.statistics import CONFIDENCE, Interval, mean_interval

NO_EPSILON = math.inf


def ratio_interval(values: NDArray[np.float64], reference: NDArray[np.float64]) -> Interval:
    """The ratio of the means of two paired samples of shape (seeds,), with Fieller's interval.

    Where the reference's mean cannot be told from zero, the ratios that are not rejected have no
    ends: there is no interval. With fewer than two seeds or a value that is not finite neither.
    """
    n = values.size
    if n == 0 or not (np.isfinite(values).all() and np.isfinite(reference).all()):
        return Interval(math.nan, math.nan, math.nan, n)
    top, bottom = float(values.mean()), float(reference.mean())
    ratio = top / bottom if bottom else math.nan
    if n == 1:
        return Interval(ratio, math.nan, math.nan, n)
    share = float(stats.t.ppf((1 + CONFIDENCE) / 2, df=n - 1)) ** 2 / n
    (top_var, both), (_, bottom_var) = np.cov(values, reference, ddof=1)
    # The roots in r of (top - r * bottom)^2 = share * variance(values - r * reference).
    a = bottom**2 - share * bottom_var
    b = top * bottom - share * both
    c = top**2 - share * top_var
    if a <= 0:
        return Interval(ratio, math.nan, math.nan, n)
    spread = math.sqrt(max(b * b - a * c, 0.0))
    return Interval(ratio, (b - spread) / a, (b + spread) / a, n)


def price_table(frontiers: Sequence[Frontier]) -> pd.DataFrame:
    """A row an arm and epsilon, the row without privacy (epsilon infinite) last.

    Columns: measure, arm, epsilon, seeds; mean, low, high of the value; price, price_low,
    price_high; percent, percent_low, percent_high. NaN where there is no interval, or no
    non-private run to compare with.
    """
    return pd.DataFrame([row for frontier in frontiers for row in _rows(frontier)])


def _rows(frontier: Frontier) -> list[dict[str, object]]:
    rows = [
        _row(frontier, float(epsilon), column)
        for epsilon, column in zip(frontier.epsilons, frontier.values.T, strict=True)
    ]
    if frontier.reference is not None:
        rows.append(_row(frontier, NO_EPSILON, frontier.reference))
    return rows


def _row(frontier: Frontier, epsilon: float, values: NDArray[np.float64]) -> dict[str, object]:
    mean = mean_interval(list(values))
    row: dict[str, object] = {
        "measure": frontier.measure.name,
        "arm": frontier.arm,
        "epsilon": epsilon,
        "seeds": len(frontier.seeds),
        "mean": mean.mean,
        "low": mean.low,
        "high": mean.high,
    }
    unknown = Interval(math.nan, math.nan, math.nan, len(frontier.seeds))
    price = percent = unknown
    if frontier.reference is not None and math.isfinite(epsilon):
        sign = frontier.measure.sign
        price = mean_interval(list(sign * (values - frontier.reference)))
        if frontier.reference.mean() > 0:
            ratio = ratio_interval(values, frontier.reference)
            ends = sorted(100 * sign * (edge - 1) for edge in (ratio.low, ratio.high))
            percent = Interval(100 * sign * (ratio.mean - 1), ends[0], ends[1], ratio.seeds)
    for name, interval in (("price", price), ("percent", percent)):
        row |= {name: interval.mean, f"{name}_low": interval.low, f"{name}_high": interval.high}
    return row

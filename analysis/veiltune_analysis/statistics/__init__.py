"""What several seeds say together: intervals, paired comparisons of two arms, and equivalence."""

from veiltune_analysis.statistics.comparison import LEVEL, Comparison, compare, holm
from veiltune_analysis.statistics.equivalence import Equivalence, equivalent
from veiltune_analysis.statistics.intervals import (
    CONFIDENCE,
    FEW_SEEDS,
    Interval,
    mean_interval,
    seeds_warning,
)

__all__ = [
    "CONFIDENCE",
    "FEW_SEEDS",
    "LEVEL",
    "Comparison",
    "Equivalence",
    "Interval",
    "compare",
    "equivalent",
    "holm",
    "mean_interval",
    "seeds_warning",
]

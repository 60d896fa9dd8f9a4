"""Arms compared at equal epsilon: which is better where both grant the same privacy."""

import math
from collections.abc import Sequence

import pandas as pd

from veiltune_analysis.comparisons import (
    COLUMNS,
    EQUIVALENCE_COLUMNS,
    compare_arms,
)
from veiltune_analysis.frontier.data import Frontier


def at_equal_epsilon(frontiers: Sequence[Frontier], margin: float | None = None) -> pd.DataFrame:
    """Every two arms of a measure at each epsilon both have: measure, epsilon, and the columns of
    `compare_arms`, with `value` left out.

    An infinite epsilon is no privacy; arms that share their non-private runs count there as one,
    the first. All comparisons of a measure are one Holm family. The table is empty where no two
    arms share an epsilon.

    Raises:
        SpecificationError: the margin is not above 0.
    """
    found = []
    for measure in dict.fromkeys(each.measure for each in frontiers):
        own = [each for each in frontiers if each.measure == measure]
        points = _points(own)
        if points.groupby("epsilon")["arm"].nunique().max() < 2:
            continue
        table = compare_arms(points, ["arm"], "value", margin=margin, within=["epsilon"])
        found.append(table.sort_values("epsilon", kind="stable").assign(measure=measure.name))
    more = EQUIVALENCE_COLUMNS if margin is not None else []
    columns = ["measure", "epsilon", *(each for each in COLUMNS if each != "value"), *more]
    if not found:
        return pd.DataFrame(columns=columns)
    return pd.concat(found, ignore_index=True)[columns]


def _points(frontiers: Sequence[Frontier]) -> pd.DataFrame:
    """A row an arm, epsilon and seed, with its value."""
    rows: list[tuple[str, float, int, float]] = []
    references: set[tuple[float, ...]] = set()
    for frontier in frontiers:
        epsilons = [float(epsilon) for epsilon in frontier.epsilons]
        if frontier.reference is not None:
            values = tuple(float(value) for value in frontier.reference)
            if values not in references:
                epsilons.append(math.inf)
            references.add(values)
        rows += [
            (frontier.arm, epsilon, seed, value)
            for epsilon in epsilons
            for seed, value in frontier.by_seed(epsilon).items()
        ]
    return pd.DataFrame(rows, columns=["arm", "epsilon", "seed", "value"])

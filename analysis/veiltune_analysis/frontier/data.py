"""A frontier's data: for each seed and epsilon one value, and the non-private value beside them.

A frontier belongs to one arm, and is paired: a seed counts where all its runs are there, so that
every statistic compares runs on the same data and first prompt. Seeds that lack a run are left
out and named. A value that is not finite is a run that diverged; it is kept, and makes whatever
rests on it unknown, for leaving it out would flatter the arm.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from veiltune.errors import OutputError
from veiltune_analysis.statistics import mean_interval
from veiltune_analysis.tables import Label, SweepRecord

EPSILON_AXIS = "privacy.example_level.epsilon"
COLUMNS = ("arm", "epsilon", "seed", "value")
EVERYTHING = "all runs"
"""The arm of a sweep that has no axis but epsilon."""


@dataclass(frozen=True)
class Measure:
    """A number by which prompts are judged, and which way is better."""

    column: str
    """Of the tables' runs or sites."""
    name: str
    lower_is_better: bool
    unit: str = ""

    @property
    def sign(self) -> int:
        """1 where a greater value is worse, else -1: `sign * value` is always a cost."""
        return 1 if self.lower_is_better else -1


VALIDATION_LOSS = Measure("val_loss", "validation loss", True, "nats per example")
VALIDATION_ACCURACY = Measure("val_accuracy", "validation accuracy", False)
TEST_LOSS = Measure("test_loss", "test loss", True, "nats per example")
TEST_ACCURACY = Measure("test_accuracy", "test accuracy", False)
LOCAL_LOSS = Measure("local_loss", "local loss", True, "nats per example")
LOCAL_ACCURACY = Measure("local_accuracy", "local accuracy", False)


@dataclass(frozen=True)
class Frontier:
    """The values of one arm at each epsilon, for each seed.

    `values` has shape (seeds, epsilons), with epsilons rising; `reference`, of shape (seeds,), is
    the same without differential privacy, and None where the arm has no such runs.
    """

    arm: str
    measure: Measure
    epsilons: NDArray[np.float64]
    seeds: tuple[int, ...]
    values: NDArray[np.float64]
    reference: NDArray[np.float64] | None
    left_out: tuple[int, ...] = ()
    """Seeds that lack a run, or its non-private partner."""
    labels: Mapping[str, Label] = field(default_factory=dict)
    """The arm's label on each axis but epsilon; empty where only its name is known."""

    @property
    def costs(self) -> NDArray[np.float64]:
        """The values so turned that lower is better; shape (seeds, epsilons)."""
        return self.measure.sign * self.values

    @property
    def unknown(self) -> str | None:
        """Why nothing can be fitted: a value is not a number; None where all are finite."""
        lost = self.epsilons[~np.isfinite(self.values).all(axis=0)]
        if lost.size:
            where = ", ".join(f"{epsilon:g}" for epsilon in lost)
            return f"not computed: a run diverged or was not measured at epsilon {where}"
        return None

    def by_seed(self, epsilon: float) -> Mapping[int, float]:
        """The value of each seed at a tested epsilon, or the reference's at infinity.

        Raises:
            KeyError: there are no runs with this epsilon.
        """
        if math.isinf(epsilon) and self.reference is not None:
            column = self.reference
        else:
            place = np.flatnonzero(self.epsilons == epsilon)
            if not place.size:
                raise KeyError(epsilon)
            column = self.values[:, place[0]]
        return dict(zip(self.seeds, (float(value) for value in column), strict=True))

    def edges(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Mean, low and high over seeds at each epsilon (95 % t interval); shapes (epsilons,)."""
        intervals = [mean_interval(list(column)) for column in self.values.T]
        return (
            np.array([each.mean for each in intervals]),
            np.array([each.low for each in intervals]),
            np.array([each.high for each in intervals]),
        )


def frontiers(points: pd.DataFrame, measure: Measure) -> tuple[Frontier, ...]:
    """A frontier for each arm of `points`, in the order in which the arms come.

    `points` has a row a run, with `COLUMNS`, and perhaps the axes that its arms are made of, as
    `sweep_points` gives them; an epsilon that is infinite or absent is a run
    without differential privacy. An arm with no private run, or no whole seed, has no frontier.

    Raises:
        OutputError: no arm has a frontier, an epsilon is not positive, or two rows have the same
            arm, epsilon and seed, which would count one seed twice.
    """
    table = points.copy()
    table["epsilon"] = table["epsilon"].astype(float).fillna(math.inf)
    table["value"] = table["value"].astype(float)
    if (table["epsilon"] <= 0).any():
        raise OutputError(
            f"expected epsilons above 0, got {table['epsilon'].min():g}; a run without "
            f"differential privacy has none"
        )
    twice = table[table.duplicated(["arm", "epsilon", "seed"])]
    if not twice.empty:
        row = twice.iloc[0]
        raise OutputError(
            f'expected one run of "{row["arm"]}" with epsilon {row["epsilon"]:g} and seed '
            f"{row['seed']}, found several; name the axis in which they differ"
        )
    found = [_frontier(str(arm), own, measure) for arm, own in table.groupby("arm", sort=False)]
    kept = tuple(each for each in found if each is not None)
    if not kept:
        raise OutputError(
            "expected an arm with a run at each epsilon for at least one seed, found none; let "
            "the sweep go on first"
        )
    return kept


def sweep_points(record: SweepRecord, measure: Measure, *, by_site: bool = False) -> pd.DataFrame:
    """The points of a sweep's complete runs: `COLUMNS`, the other axes, and `site` if by site.

    An arm is named by its labels on the axes other than epsilon ("output, lstm").

    Raises:
        OutputError: the sweep has no axis of epsilons, or no complete run.
    """
    axes = record.tables.axes
    if EPSILON_AXIS not in axes:
        raise OutputError(
            f"expected a sweep over {EPSILON_AXIS}, got one over {', '.join(axes) or 'nothing'}; "
            f"a frontier needs that axis"
        )
    complete = record.tables.complete()
    table = complete.sites if by_site else complete.runs
    if table.empty:
        raise OutputError(
            f"expected at least one complete run in {record.folder}, found none; let the sweep "
            f"go on first"
        )
    others = [axis for axis in axes if axis != EPSILON_AXIS] + (["site"] if by_site else [])
    arms = [
        ", ".join(f"{label:g}" if isinstance(label, float) else str(label) for label in labels)
        for labels in table[others].itertuples(index=False)
    ]
    points = pd.DataFrame(
        {
            "arm": [arm or EVERYTHING for arm in arms],
            "epsilon": table[EPSILON_AXIS].astype(float).fillna(math.inf),
            "seed": table["seed"].astype(int),
            "value": table[measure.column].astype(float),
        }
    )
    return pd.concat([points, table[others]], axis=1)


def _frontier(arm: str, own: pd.DataFrame, measure: Measure) -> Frontier | None:
    epsilons = sorted(epsilon for epsilon in own["epsilon"].unique() if math.isfinite(epsilon))
    has_reference = bool(np.isinf(own["epsilon"]).any())
    value = {
        (float(epsilon), int(seed)): float(number)
        for epsilon, seed, number in zip(own["epsilon"], own["seed"], own["value"], strict=True)
    }
    needed = [*epsilons, *([math.inf] if has_reference else [])]
    everybody = sorted({int(seed) for seed in own["seed"]})
    axes = [str(column) for column in own.columns if column not in COLUMNS]
    whole = [seed for seed in everybody if all((each, seed) in value for each in needed)]
    if not epsilons or not whole:
        return None
    return Frontier(
        arm,
        measure,
        np.array(epsilons, dtype=np.float64),
        tuple(whole),
        np.array([[value[epsilon, seed] for epsilon in epsilons] for seed in whole]),
        np.array([value[math.inf, seed] for seed in whole]) if has_reference else None,
        tuple(seed for seed in everybody if seed not in whole),
        {axis: own[axis].iloc[0] for axis in axes},
    )

"""The final figures of an experiment: each arm's mean over seeds, and paired differences of arms.

In the arm "alone" a seed's value is the mean over its sites: what a site gets that stays alone.
The mean is taken within a seed first, because runs with one seed share their data; a seed for
which a site's run is lacking does not count. A value that is not a number makes the mean of its
arm unknown: leaving a diverged run out would flatter the arm.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from veiltune.errors import OutputError
from veiltune_analysis.runs import complete
from veiltune_analysis.series import (
    ALONE,
    CENTRALISED,
    EQUAL_STEPS,
    FEDERATED,
    refuse_repeated_seeds,
    series_names,
)
from veiltune_analysis.statistics import (
    Interval,
    mean_interval,
    paired_difference,
    seeds_warning,
)

ARMS = (FEDERATED, CENTRALISED, EQUAL_STEPS, ALONE)
COMPARED = ((ALONE, FEDERATED), (FEDERATED, CENTRALISED), (FEDERATED, EQUAL_STEPS))
MEASURES = {"val_loss": "validation loss", "val_accuracy": "validation accuracy"}


@dataclass(frozen=True)
class Results:
    """The two tables of an experiment; intervals are 95 % t intervals over seeds."""

    arms: pd.DataFrame
    """One row a partition and arm: partition, arm, seeds, and mean, low, high of each measure."""
    differences: pd.DataFrame
    """One row a partition, pair and measure: mean, low, high of first minus second, and verdict."""

    def markdown(self) -> str:
        """Both tables for a person to read, with a warning where the seeds are few."""
        arms = [
            f"| {row['partition']} | {row['arm']} | {_pm(row['val_loss'], row['val_loss_low'])} | "
            f"{_pm(row['val_accuracy'], row['val_accuracy_low'])} | {row['seeds']} |"
            for row in self.arms.to_dict("records")
        ]
        differences = [
            f"| {row['partition']} | {row['first']} − {row['second']} | {row['measure']} | "
            f"{_pm(row['mean'], row['low'], sign=True)} | {row['verdict']} |"
            for row in self.differences.to_dict("records")
        ]
        lines = [
            "| split | arm | final validation loss (nats per example) | accuracy | seeds |",
            "|---|---|---|---|---|",
            *arms,
        ]
        if differences:
            lines += [
                "",
                "| split | difference, paired by seed | of | mean ± 95 % | verdict |",
                "|---|---|---|---|---|",
                *differences,
            ]
        warning = seeds_warning(int(self.arms["seeds"].min()))
        return "\n".join([*lines, "", warning] if warning else lines)


def results(partitions: Sequence[tuple[str, pd.DataFrame]]) -> Results:
    """The tables of (title, `runs` table of `load_runs`) pairs; only complete runs count.

    Raises:
        OutputError: no run is complete, or two runs share an arm, a site and a seed, which would
            count one seed twice.
    """
    arm_rows: list[dict[str, object]] = []
    difference_rows: list[dict[str, object]] = []
    for title, runs in partitions:
        finished = complete(runs)
        finished = finished.assign(series=series_names(finished))
        refuse_repeated_seeds(finished)
        values = {
            (arm, measure): _by_seed(finished[finished["arm"] == arm], measure)
            for arm in ARMS
            for measure in MEASURES
        }
        for arm in ARMS:
            intervals = {m: mean_interval(list(values[arm, m].values())) for m in MEASURES}
            if intervals["val_loss"].seeds:
                arm_rows.append(_arm_row(title, arm, intervals))
        for first, second in COMPARED:
            for measure, name in MEASURES.items():
                difference = paired_difference(values[first, measure], values[second, measure])
                if difference.seeds:
                    difference_rows.append(_difference_row(title, first, second, name, difference))
    if not arm_rows:
        raise OutputError(
            "expected at least one complete run to compare, found none; run a job to its end first"
        )
    return Results(pd.DataFrame(arm_rows), pd.DataFrame(difference_rows))


def _by_seed(own: pd.DataFrame, measure: str) -> Mapping[int, float]:
    """The measure of each seed that has a run of every series in `own`, one arm's runs."""
    series = own["series"].nunique()
    return {
        int(str(seed)): float(group[measure].astype(float).mean(skipna=False))
        for seed, group in own.groupby("seed")
        if len(group) == series
    }


def _arm_row(title: str, arm: str, intervals: Mapping[str, Interval]) -> dict[str, object]:
    row: dict[str, object] = {"partition": title, "arm": arm, "seeds": intervals["val_loss"].seeds}
    for measure, interval in intervals.items():
        row |= {
            measure: interval.mean,
            f"{measure}_low": interval.low,
            f"{measure}_high": interval.high,
        }
    return row


def _difference_row(
    title: str, first: str, second: str, measure: str, difference: Interval
) -> dict[str, object]:
    if not difference.is_known:
        verdict = "no interval"
    elif not difference.excludes_zero:
        verdict = "no difference shown"
    else:
        verdict = f"{first} {'higher' if difference.mean > 0 else 'lower'}"
    return {
        "partition": title,
        "first": first,
        "second": second,
        "measure": measure,
        "mean": difference.mean,
        "low": difference.low,
        "high": difference.high,
        "seeds": difference.seeds,
        "verdict": verdict,
    }


def _pm(mean: float, low: float, *, sign: bool = False) -> str:
    if not math.isfinite(mean):
        return "not known"
    text = f"{mean:+.3f}" if sign else f"{mean:.3f}"
    return f"{text} ± {mean - low:.3f}" if math.isfinite(low) else text

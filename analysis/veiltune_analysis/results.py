"""The final figures of an experiment: each arm's mean over seeds, and arms compared in pairs.

The comparisons of a measure, over all splits, are one family: a verdict rests on the p-value as
corrected for all of them. That no difference is shown does not show that there is none; whether
the federated arm is as good as a centralised one is the test of equivalence within `MARGINS`.

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
from veiltune_analysis.comparisons import equivalence_verdict, verdict
from veiltune_analysis.series import (
    ALONE,
    CENTRALISED,
    EQUAL_STEPS,
    FEDERATED,
    refuse_repeated_seeds,
    series_names,
)
from veiltune_analysis.statistics import (
    Comparison,
    Equivalence,
    Interval,
    compare,
    equivalent,
    holm,
    mean_interval,
    seeds_warning,
)
from veiltune_analysis.tables import complete

ARMS = (FEDERATED, CENTRALISED, EQUAL_STEPS, ALONE)
COMPARED = ((ALONE, FEDERATED), (FEDERATED, CENTRALISED), (FEDERATED, EQUAL_STEPS))
MEASURES = {"val_loss": "validation loss", "val_accuracy": "validation accuracy"}
MARGINS = {"val_loss": 0.05, "val_accuracy": 0.02}
"""Smaller differences (nats per example; a share of the examples) would not matter to a user."""
EQUIVALENT = ((FEDERATED, CENTRALISED), (FEDERATED, EQUAL_STEPS))


@dataclass(frozen=True)
class Results:
    """The two tables of an experiment; intervals are 95 % t intervals over seeds."""

    arms: pd.DataFrame
    """One row a partition and arm: partition, arm, seeds, and mean, low, high of each measure."""
    differences: pd.DataFrame
    """One row a partition, pair and measure: mean, low, high of first minus second, effect with its
    low and high, p, p_holm, seeds and verdict; and equivalence, with its p_holm, where it is asked.
    """

    def markdown(self) -> str:
        """Both tables for a person to read, with a warning where the seeds are few."""
        arms = [
            f"| {row['partition']} | {row['arm']} | {_pm(row['val_loss'], row['val_loss_low'])} | "
            f"{_pm(row['val_accuracy'], row['val_accuracy_low'])} | {row['seeds']} |"
            for row in self.arms.to_dict("records")
        ]
        differences = [
            f"| {row['partition']} | {row['first']} − {row['second']} | {row['measure']} | "
            f"{_pm(row['mean'], row['low'], sign=True)} | {_p(row['p_holm'])} | {row['verdict']} | "
            f"{row['equivalence']} | {row['seeds']} |"
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
                "| split | difference, paired by seed | of | mean ± 95 % | p, corrected | "
                "verdict | equivalence | seeds |",
                "|---|---|---|---|---|---|---|---|",
                *differences,
            ]
        warning = seeds_warning(int(self.arms["seeds"].min()))
        return "\n".join([*lines, "", warning] if warning else lines)


def results(partitions: Sequence[tuple[str, pd.DataFrame]]) -> Results:
    """The tables of (title, `runs` table of `load_tables`) pairs; only complete runs count.

    Raises:
        OutputError: no run is complete, or two runs share an arm, a site and a seed, which would
            count one seed twice.
    """
    arm_rows: list[dict[str, object]] = []
    compared: list[_Compared] = []
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
            for measure in MEASURES:
                pair = values[first, measure], values[second, measure]
                if pair[0].keys() & pair[1].keys():
                    asked = (first, second) in EQUIVALENT
                    test = equivalent(*pair, MARGINS[measure]) if asked else None
                    compared.append(_Compared(title, first, second, measure, compare(*pair), test))
    if not arm_rows:
        raise OutputError(
            "expected at least one complete run to compare, found none; run a job to its end first"
        )
    return Results(pd.DataFrame(arm_rows), _differences(compared))


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


@dataclass(frozen=True)
class _Compared:
    """Two arms of a split, compared by a measure, and tested for equivalence if that is asked."""

    partition: str
    first: str
    second: str
    measure: str
    comparison: Comparison
    test: Equivalence | None


def _differences(compared: Sequence[_Compared]) -> pd.DataFrame:
    """The table of differences, in the order given; p-values are corrected within a measure."""
    rows: dict[int, dict[str, object]] = {}
    for measure in MEASURES:
        own = [(place, each) for place, each in enumerate(compared) if each.measure == measure]
        p_holm = holm([each.comparison.p for _, each in own])
        # A pair of which equivalence is not asked is no test, and not counted.
        shown = holm([each.test.p if each.test else math.nan for _, each in own])
        for (place, each), p, equivalence_p in zip(own, p_holm, shown, strict=True):
            rows[place] = _difference_row(each, p, equivalence_p)
    return pd.DataFrame([rows[place] for place in range(len(compared))])


def _difference_row(each: _Compared, p: float, equivalence_p: float) -> dict[str, object]:
    found = each.comparison
    return {
        "partition": each.partition,
        "first": each.first,
        "second": each.second,
        "measure": MEASURES[each.measure],
        "mean": found.difference.mean,
        "low": found.difference.low,
        "high": found.difference.high,
        "effect": found.effect.mean,
        "effect_low": found.effect.low,
        "effect_high": found.effect.high,
        "p": found.p,
        "p_holm": p,
        "seeds": found.seeds,
        "verdict": verdict(found, p, each.first),
        "equivalence_p_holm": equivalence_p,
        "equivalence": equivalence_verdict(each.test, equivalence_p) if each.test else "",
    }


def _p(value: float) -> str:
    if math.isnan(value):
        return ""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _pm(mean: float, low: float, *, sign: bool = False) -> str:
    if not math.isfinite(mean):
        return "not known"
    text = f"{mean:+.3f}" if sign else f"{mean:.3f}"
    return f"{text} ± {mean - low:.3f}" if math.isfinite(low) else text

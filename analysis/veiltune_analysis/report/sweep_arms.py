"""The report's tables of a sweep: means of each arm, arms compared, and every run."""

import json
import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from veiltune.errors import OutputError
from veiltune_analysis.comparisons import compare_arms
from veiltune_analysis.report.axes import Axes, shown
from veiltune_analysis.report.parts import (
    Cell,
    Row,
    ends,
    figure,
    folded,
    many,
    paragraph,
    per_cent,
    table,
    word,
)
from veiltune_analysis.statistics import mean_interval
from veiltune_analysis.tables import SweepRecord

FAILURES = "failures.jsonl"
ARM_MEASURES = ("val_loss", "val_accuracy", "test_loss", "test_accuracy")


def by_arm(record: SweepRecord, axes: Axes) -> list[dict[str, Any]]:
    """Each arm with complete runs: its labels, an interval for each measure, its runs."""
    runs = record.tables.complete().runs
    arms: dict[tuple[str, ...], list[dict[Hashable, Any]]] = {}
    for row in runs.to_dict("records"):
        named = {str(key): value for key, value in row.items()}
        arms.setdefault(tuple(axes.tokens(named)), []).append(row)
    return [
        {
            "labels": {axis: rows[0][axis] for axis in axes.labels},
            "tokens": tokens,
            "rows": rows,
            **{measure: _interval(rows, measure) for measure in ARM_MEASURES},
        }
        for tokens, rows in arms.items()
    ]


def _interval(rows: Sequence[Mapping[Hashable, Any]], measure: str) -> Any:
    values = [math.nan if row[measure] is None else float(row[measure]) for row in rows]
    return mean_interval(values)


def arms_table(record: SweepRecord, axes: Axes) -> str:
    """Each arm's means over seeds, as HTML."""
    arms = by_arm(record, axes)
    if not arms:
        return paragraph("No run is complete: no arm has a figure yet.")
    rows = []
    for arm in arms:
        loss, accuracy = arm["val_loss"], arm["val_accuracy"]
        own = pd.DataFrame(arm["rows"])
        rows.append(
            Row(
                [
                    *_label_cells(arm["labels"], axes),
                    figure(loss.mean),
                    ends(loss.low, loss.high),
                    per_cent(accuracy.mean),
                    ends(100 * accuracy.low, 100 * accuracy.high, 1),
                    figure(arm["test_loss"].mean),
                    per_cent(arm["test_accuracy"].mean),
                    figure(_most(own, "epsilon")),
                    figure(_most(own, "upload_bytes_per_site_round"), 0),
                    figure(float(own["seconds"].astype(float).mean()), 0),
                    figure(loss.seeds, 0),
                ],
                arm["tokens"],
            )
        )
    header = [
        *[axes.title(axis) for axis in axes.labels],
        "loss",
        "95 % interval",
        "accuracy",
        "95 % interval, %",
        "test loss",
        "test accuracy",
        "epsilon spent",
        "bytes up",
        "seconds",
        "runs",
    ]
    return table("Means over seeds; bytes are a site's in a round", header, rows)


def _most(table: pd.DataFrame, column: str) -> float:
    values = table[column].astype(float)
    return math.nan if values.isna().all() else float(values.max())


def _label_cells(labels: Mapping[str, Any], axes: Axes) -> list[Cell]:
    """The labels of an arm; a number sorts as one, and "none" after every number."""
    cells = []
    for axis, known in axes.labels.items():
        is_number = all(
            label is None or (isinstance(label, int | float) and not isinstance(label, bool))
            for label in known
        )
        words = shown(labels[axis])
        value = math.inf if words == "none" else labels[axis]
        cells.append(Cell(words, float(value), True) if is_number else word(words))
    return cells or [word("all runs")]


def comparisons(record: SweepRecord, axes: Axes) -> Iterable[str]:
    """Arms that differ in one axis only, compared, as HTML."""
    runs = record.tables.runs
    yield paragraph(
        "Validation loss, one axis at a time, where all else is equal; paired by seed. "
        "Every p is corrected for all comparisons of its table (Holm)."
    )
    for axis, labels in axes.labels.items():
        if len(labels) < 2:
            continue
        others = axes.others(axis)
        against = {axis: None} if None in labels else {axis: labels[0]}
        try:
            found = compare_arms(runs, [axis], "val_loss", against, within=others)
        except OutputError as error:
            yield paragraph(f"{axes.title(axis)}: {error}.")
            continue
        title = f"By {axes.title(axis)}, against {shown(against[axis])}"
        yield table(
            title,
            [axes.title(axis), *[axes.title(each) for each in others], *COMPARED],
            [_comparison_row(row, axis, others, axes) for row in found.to_dict("records")],
        )


COMPARED = ("difference", "95 % interval", "effect", "p", "corrected p", "seeds", "verdict")


def _comparison_row(
    row: Mapping[Hashable, Any], axis: str, others: Sequence[str], axes: Axes
) -> Row:
    label = next(each for each in axes.labels[axis] if shown(each) == row["first"])
    return Row(
        [
            word(row["first"]),
            *[word(shown(row[each])) for each in others],
            figure(row["difference"]),
            ends(row["low"], row["high"]),
            figure(row["effect"], 2),
            figure(row["p"], 4),
            figure(row["p_holm"], 4),
            figure(row["seeds"], 0),
            word(row["verdict"]),
        ],
        [axes.token(axis, label), *[axes.token(each, row[each]) for each in others]],
    )


def runs_tables(record: SweepRecord, axes: Axes) -> Iterable[str]:
    """Every run, what failed and what could not be read, as HTML."""
    rows = [
        Row(
            [
                *_label_cells({axis: row[axis] for axis in axes.labels}, axes),
                figure(row["seed"], 0),
                word(row["status"]),
                figure(row["val_loss"]),
                per_cent(row["val_accuracy"]),
                figure(row["test_loss"]),
                figure(row["epsilon"]),
                figure(row["seconds"], 0),
                word(row["run"]),
            ],
            axes.tokens({str(key): value for key, value in row.items()}),
        )
        for row in record.tables.runs.to_dict("records")
    ]
    first = [axes.title(axis) for axis in axes.labels] or ["arm"]
    header = [*first, "seed", "status", "loss", "accuracy", "test loss", "epsilon spent"]
    yield folded(
        f"All {len(rows):,} runs by their labels",
        table("A row a combination and seed", [*header, "seconds", "run"], rows),
    )
    failures = _failures(record.folder)
    if failures:
        yield table("What failed", ["run", "seed", "labels", "error"], failures)
    if record.tables.skipped:
        skipped = [
            Row([word(each.folder.name), word(each.reason)]) for each in record.tables.skipped
        ]
        yield folded(
            f"{many(len(skipped), 'run')} without a usable record",
            table("Left out", ["run", "reason"], skipped),
        )


def _failures(folder: Path) -> list[Row]:
    """What failed, as recorded; a line cut off by a crash says nothing and is left out."""
    try:
        lines = (folder / FAILURES).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return []
    rows = []
    for line in lines:
        try:
            each = json.loads(line)
        except ValueError:
            continue
        if isinstance(each, dict):
            labels = each.get("labels")
            named = labels.items() if isinstance(labels, dict) else []
            words = ", ".join(f"{axis} {shown(label)}" for axis, label in named)
            cells = (each.get("run"), each.get("seed"), words, each.get("error"))
            rows.append(Row([word("" if cell is None else cell) for cell in cells]))
    return rows

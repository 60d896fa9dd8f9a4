"""Figures of a sweep along one axis: the final loss at each value, a line for each case.

The value of a seed is one number: of a run, or of several runs that stand for one (each site
alone), their mean. The mean over seeds has its 95 % t interval. A seed that diverged makes the
mean unknown, which leaves a gap in the line.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from veiltune.errors import OutputError
from veiltune_analysis.drawing import (
    LOOKS,
    Line,
    draw_lines,
    frame_losses,
    frame_names,
    frame_values,
    house_style,
    name_lines,
)
from veiltune_analysis.figures.files import print_under, write_figure
from veiltune_analysis.figures.stamp import stamp_of_sweep
from veiltune_analysis.statistics import mean_interval
from veiltune_analysis.tables import Label, SweepRecord

FINAL_LOSS = "final validation loss (nats per example)"
BANDS = "Bands: 95 % t interval of the mean over seeds."


@dataclass(frozen=True)
class Column:
    """A column of the table of runs, and how the figure calls its values."""

    name: str
    prefix: str = ""
    none: str = "none"
    names: Mapping[Label, str] | None = None

    def called(self, label: Label) -> str:
        """The label for a person to read."""
        if _absent(label):
            return self.none
        if self.names and label in self.names:
            return self.names[label]
        shown = f"{label:g}" if isinstance(label, float) else str(label)
        return f"{self.prefix}{shown}"


@dataclass(frozen=True)
class Layout:
    """What is drawn against what."""

    x: Column
    x_label: str
    lines: Column
    panels: Column | None = None
    value: str = "val_loss"
    by_name: bool = False
    """Whether the horizontal axis has names in order, not numbers on a logarithmic scale."""
    note: str = ""


def draw_swept(record: SweepRecord, layout: Layout, folder: Path) -> tuple[Path, ...]:
    """The figure of a sweep stands in `folder` under the sweep's name: PNG, PDF and CSV.

    Raises:
        OutputError: no run is complete, the sweep has not these axes, or `folder` cannot be
            written.
    """
    numbers = swept_numbers(record, layout)
    panels = list(dict.fromkeys(numbers["panel"]))
    with house_style():
        figure = Figure(
            figsize=(4.6 * len(panels) + 1.0, 3.7),
            layout=ConstrainedLayoutEngine(h_pad=0.12, w_pad=0.06),
        )
        every = _lines(numbers)
        for axes, panel in zip(
            figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True
        ):
            own = _lines(numbers[numbers["panel"] == panel])
            axes.set_title(panel)
            draw_lines(axes, own)
            frame_x(axes, layout, record)
            frame_losses(axes, FINAL_LOSS, every)
            name_lines(axes, own)
        gaps = " A gap in a line: a run of this value diverged." if _has_gap(numbers) else ""
        text = f"{stamp_of_sweep(record).text()} {BANDS}{gaps} {layout.note}"
        print_under(figure, text.strip())
        files = write_figure(figure, numbers.drop(columns="at"), folder, record.name)
    return files.png, files.pdf, files.csv


def swept_numbers(record: SweepRecord, layout: Layout) -> pd.DataFrame:
    """One row a panel, line and value: panel, line, x, at (its place), mean, low, high, seeds."""
    runs = complete_runs(record)
    needed = [layout.x, layout.lines, *([layout.panels] if layout.panels else [])]
    for column in needed:
        if column.name not in runs.columns:
            raise OutputError(
                f"expected a sweep with {column.name} to draw {record.name}, which has the axes "
                f"{', '.join(record.tables.axes) or 'none'}; run the sweep that is shipped"
            )
    rows = []
    for panel in _labels(record, runs, layout.panels):
        for line in _labels(record, runs, layout.lines):
            for place, x in enumerate(_labels(record, runs, layout.x), start=1):
                own = runs[_is(runs, layout.panels, panel) & _is(runs, layout.lines, line)]
                own = own[_is(own, layout.x, x)]
                if own.empty:
                    continue
                interval = mean_interval(_by_seed(own, layout.value))
                if interval.seeds == 0:
                    continue
                rows.append(
                    {
                        "panel": layout.panels.called(panel) if layout.panels else "",
                        "line": layout.lines.called(line),
                        "x": layout.x.called(x),
                        "at": place if layout.by_name else float(str(x)),
                        "mean": interval.mean,
                        "low": interval.low,
                        "high": interval.high,
                        "seeds": interval.seeds,
                    }
                )
    return pd.DataFrame(rows)


def complete_runs(record: SweepRecord) -> pd.DataFrame:
    """The complete runs of a sweep, a row a point.

    Raises:
        OutputError: there is none.
    """
    runs = record.tables.complete().runs
    if runs.empty:
        raise OutputError(
            f"expected at least one complete run in {record.folder} to draw, found none; let the "
            f"sweep go on first"
        )
    return runs


def frame_x(axes: Axes, layout: Layout, record: SweepRecord) -> None:
    """The horizontal axis has the values that the sweep has."""
    labels = _labels(record, complete_runs(record), layout.x)
    names = [layout.x.called(label) for label in labels]
    if layout.by_name:
        frame_names(axes, layout.x_label, names)
    else:
        frame_values(axes, layout.x_label, [float(str(label)) for label in labels], names)


def _labels(record: SweepRecord, runs: pd.DataFrame, column: Column | None) -> Sequence[Label]:
    """A column's values in the sweep's order; where it is no axis, as named or sorted, and none
    at the end."""
    if column is None:
        return (None,)
    if column.name in record.tables.axes:
        return record.tables.axes[column.name]
    known = tuple(sorted(runs[column.name].dropna().unique()))
    if column.names:
        known = tuple(label for label in column.names if label in known)
    return (*known, None) if runs[column.name].isna().any() else known


def _is(runs: pd.DataFrame, column: Column | None, label: Label) -> pd.Series:
    if column is None:
        return pd.Series(True, index=runs.index)
    return runs[column.name].isna() if _absent(label) else runs[column.name] == label


def _by_seed(own: pd.DataFrame, value: str) -> list[float]:
    """The value of each seed; a seed that lacks one of several runs does not count."""
    most = own.groupby("seed").size().max()
    return [
        float(group[value].astype(float).mean(skipna=False))
        for _, group in own.groupby("seed")
        if len(group) == most
    ]


def _absent(label: Label) -> bool:
    return label is None or (isinstance(label, float) and math.isnan(label))


def _has_gap(numbers: pd.DataFrame) -> bool:
    return bool(numbers["mean"].isna().any())


def _lines(numbers: pd.DataFrame) -> list[Line]:
    def column(table: pd.DataFrame, name: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return table[name].to_numpy(dtype=np.float64)

    return [
        Line(
            str(name),
            LOOKS[place % len(LOOKS)],
            *(column(own, each) for each in ("at", "mean", "low", "high")),
        )
        for place, (name, own) in enumerate(numbers.groupby("line", sort=False))
    ]

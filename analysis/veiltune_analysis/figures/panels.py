"""The two panels of the reference experiment.

A band is the 95 % t interval of the arithmetic mean over seeds (`statistics`). On a log axis it
may reach zero or below when there are few seeds: it is then cut off at the foot of the axes, and
the CSV beside the figure keeps the edge as computed.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray

from veiltune_analysis.drawing import (
    ARM_LOOKS,
    Line,
    Look,
    draw_lines,
    frame_losses,
    frame_rounds,
    house_style,
    name_lines,
    site_look,
)
from veiltune_analysis.figures.files import FigureFiles, print_under, write_figure
from veiltune_analysis.figures.stamp import Stamp
from veiltune_analysis.series import (
    ALONE,
    CENTRALISED,
    EQUAL_STEPS,
    FEDERATED,
    global_loss_series,
)

LOSS_LABEL = "validation loss (nats per example)"
ROUND_LABEL = "round (= local epochs)"

ARM_NOTES = {
    CENTRALISED: "centralised: as many epochs as a site, each over everybody's rows",
    EQUAL_STEPS: "centralised (equal steps): as many optimiser steps a round as one site",
}


def reference_panels(
    partitions: Sequence[tuple[str, pd.DataFrame]],
    folder: Path,
    stamp: Stamp,
    name: str = "reference_panels",
) -> FigureFiles:
    """The two reference panels stand in `folder` as PNG (200 dpi) and PDF, the numbers as CSV.

    One row of panels for each (title, `rounds` table of `load_tables`). Panel A shows validation
    loss against rounds, federated against centralised; panel B federated against each site
    alone. Any subset of the arms is drawn. The CSV has one row a partition, series and round.

    Raises:
        OutputError: no complete run, a seed counted twice, or a folder that cannot be written.
    """
    tables = [(title, global_loss_series(rounds)) for title, rounds in partitions]
    with house_style():
        figure = Figure(
            figsize=(9.6, 3.0 * len(tables) + 0.5),
            layout=ConstrainedLayoutEngine(h_pad=0.12, w_pad=0.06),
        )
        grid = figure.subplots(len(tables), 2, squeeze=False)
        for (panel_a, panel_b), (title, table) in zip(grid, tables, strict=True):
            lines = _series_lines(table)
            is_alone = table["arm"] == ALONE
            alone = set(table.loc[is_alone, "series"])
            _panel(
                panel_a,
                f"A  {title}: federated and centralised",
                [line for line in lines if line.name not in alone],
                lines,
            )
            _panel(
                panel_b,
                f"B  {title}: federated and each site alone",
                [line for line in lines if line.name in alone or line.name == FEDERATED],
                lines,
            )
        arms = {arm for _, table in tables for arm in table["arm"]}
        legend = ["Bands: 95 % t interval of the mean over seeds"]
        legend += [note for arm, note in ARM_NOTES.items() if arm in arms]
        print_under(figure, f"{stamp.text()} {'; '.join(legend)}.")
        numbers = pd.concat([table.assign(partition=title) for title, table in tables])
        columns = ["partition", "series", "arm", "round", "mean", "low", "high", "seeds"]
        return write_figure(figure, numbers[columns], folder, name)


def _panel(axes: Axes, title: str, lines: Sequence[Line], framed_by: Sequence[Line]) -> None:
    """`lines` on axes whose heights fit `framed_by`, so that panels of a row can be compared."""
    axes.set_title(title)
    draw_lines(axes, lines)
    frame_rounds(axes, ROUND_LABEL)
    frame_losses(axes, LOSS_LABEL, framed_by)
    name_lines(axes, lines)


def _series_lines(table: pd.DataFrame) -> list[Line]:
    lines: list[Line] = []
    sites = 0
    for series, group in table.groupby("series", sort=False):
        name = str(series)
        look = ARM_LOOKS.get(name) or site_look(sites)
        sites += name not in ARM_LOOKS
        lines.append(
            _line(name, look, group["round"], group["mean"], low=group["low"], high=group["high"])
        )
    return lines


def _line(
    name: str,
    look: Look,
    x: pd.Series,
    y: pd.Series,
    low: pd.Series | None = None,
    high: pd.Series | None = None,
) -> Line:
    def numbers(column: pd.Series) -> NDArray[np.float64]:
        return column.to_numpy(dtype=np.float64)

    return Line(
        name,
        look,
        numbers(x),
        numbers(y),
        None if low is None else numbers(low),
        None if high is None else numbers(high),
    )

"""Epsilon spent against rounds, as two accountants count it."""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from veiltune_analysis.drawing import (
    HAIRLINE,
    LOOKS,
    Line,
    draw_lines,
    frame_rounds,
    house_style,
    name_lines,
)
from veiltune_analysis.figures.files import print_under, write_figure
from veiltune_analysis.figures.stamp import Stamp

ACCOUNTANTS = {"prv": "PRV", "rdp": "RDP"}
NOTE = (
    "Both accountants give upper bounds for the same noise. PRV: the distribution of the privacy "
    "loss (Gopi, Lee and Wutschitz 2021), which chose the noise; RDP: its moments (Mironov 2017)."
)


def accountants(spent: pd.DataFrame, stamp: Stamp, folder: Path, name: str) -> tuple[Path, ...]:
    """The figure stands in `folder` as PNG, PDF and CSV.

    `spent` has a row a target, accountant and round: target (the epsilon a site was allowed),
    accountant (`prv` or `rdp`), round, epsilon, and columns that are only written.

    Raises:
        OutputError: `folder` cannot be written.
    """
    targets = sorted(set(spent["target"]))
    with house_style():
        figure = Figure(
            figsize=(4.6 * min(len(targets), 3), 3.1 * -(-len(targets) // 3) + 0.4),
            layout=ConstrainedLayoutEngine(h_pad=0.12, w_pad=0.06),
        )
        grid = figure.subplots(-(-len(targets) // 3), min(len(targets), 3), squeeze=False)
        for axes in grid.flat[len(targets) :]:
            axes.set_visible(False)
        for axes, target in zip(grid.flat[: len(targets)], targets, strict=True):
            lines = [
                Line(
                    called,
                    LOOKS[place],
                    own["round"].to_numpy(dtype=float),
                    own["epsilon"].to_numpy(dtype=float),
                )
                for place, (accountant, called) in enumerate(ACCOUNTANTS.items())
                for own in [spent[_both(spent, target, accountant)]]
            ]
            axes.set_title(f"Noise for epsilon {target:g}")
            axes.axhline(target, color=LOOKS[5].colour, linewidth=0.8, linestyle=":")
            draw_lines(axes, lines)
            frame_rounds(axes, "round")
            axes.set_ylabel("epsilon spent")
            axes.set_ylim(0, 1.08 * float(max(line.y.max() for line in lines)))
            axes.grid(axis="y", color=HAIRLINE, linewidth=0.7)
            name_lines(axes, lines)
        print_under(figure, f"{stamp.text()} {NOTE} Dotted: what a site was allowed.")
        files = write_figure(figure, spent, folder, name)
    return files.png, files.pdf, files.csv


def _both(spent: pd.DataFrame, target: float, accountant: str) -> pd.Series:
    return (spent["target"] == target) & (spent["accountant"] == accountant)

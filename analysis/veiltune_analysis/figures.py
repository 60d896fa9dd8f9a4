"""The figures: the two panels of the reference experiment, and the curves of one run.

A band is the 95 % t interval of the arithmetic mean over seeds (`statistics`). On a log axis it
may reach zero or below when there are few seeds: it is then cut off at the foot of the axes, and
the CSV beside the figure keeps the edge as computed.
"""

import hashlib
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray

from veiltune.errors import OutputError
from veiltune_analysis.drawing import (
    ARM_LOOKS,
    QUIET,
    Line,
    Look,
    draw_lines,
    frame_losses,
    frame_rounds,
    frame_shares,
    house_style,
    name_lines,
    site_look,
)
from veiltune_analysis.runs import complete
from veiltune_analysis.series import (
    ALONE,
    CENTRALISED,
    EQUAL_STEPS,
    FEDERATED,
    global_loss_series,
    natural_key,
)
from veiltune_analysis.statistics import seeds_warning

LOSS_LABEL = "validation loss (nats per example)"
ROUND_LABEL = "round (= local epochs)"
NOTE_CHARACTERS = 205

ARM_NOTES = {
    CENTRALISED: "centralised: as many epochs as a site, each over everybody's rows",
    EQUAL_STEPS: "centralised (equal steps): as many optimiser steps a round as one site",
}


@dataclass(frozen=True)
class Stamp:
    """Where a figure came from: printed small under it."""

    commit: str
    specification: str
    seeds: tuple[int, ...]
    runs: int
    data: str
    synthetic: bool

    def text(self) -> str:
        """The stamp as sentences, with a warning when there are few seeds."""
        nature = " (synthetic)" if self.synthetic else ""
        sentences = [
            f"Data: {self.data}{nature}.",
            f"Seeds {', '.join(str(seed) for seed in self.seeds)}; {self.runs} runs.",
            f"Commit {self.commit}, specification {self.specification}.",
        ]
        warning = seeds_warning(len(self.seeds))
        return " ".join(sentences + ([warning] if warning else []))


@dataclass(frozen=True)
class FigureFiles:
    """The files of one figure, which share a name."""

    png: Path
    pdf: Path
    csv: Path


def stamp_of(runs: pd.DataFrame) -> Stamp:
    """The stamp of the complete runs in a table made by `load_runs`.

    Each run has a specification hash of its own. One hash is given by its first twelve
    characters; several by the first twelve hexadecimal digits of the SHA-256 of the distinct
    hashes, sorted and joined by newlines.
    """
    used = complete(runs)
    commits = sorted({_short(commit) for commit in used["commit"]})
    hashes = sorted(set(used["specification_hash"]))
    digest = hashlib.sha256("\n".join(hashes).encode()).hexdigest()
    return Stamp(
        commit=", ".join(commits),
        specification=(
            hashes[0][:12] if len(hashes) == 1 else f"digest {digest[:12]} of {len(hashes)}"
        ),
        seeds=tuple(sorted({int(seed) for seed in used["seed"]})),
        runs=len(used),
        data=", ".join(sorted(set(used["data"]))),
        synthetic=bool(used["synthetic"].any()),
    )


def reference_panels(
    partitions: Sequence[tuple[str, pd.DataFrame]],
    folder: Path,
    stamp: Stamp,
    name: str = "reference_panels",
) -> FigureFiles:
    """The two reference panels stand in `folder` as PNG (200 dpi) and PDF, the numbers as CSV.

    One row of panels for each (title, `rounds` table of `load_runs`). Panel A shows validation
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
        _print_under(figure, f"{stamp.text()} {'; '.join(legend)}.")
        return _write(figure, tables, folder, name)


def curves(rounds: pd.DataFrame) -> Figure:
    """The curves of one run: loss of the shared prompt, of each site's own, and accuracy.

    `rounds` is the table of one run (`read_run(...).rounds`). Row r describes the shared prompt
    after r rounds and a site's own prompt after r + 1, and is drawn so. Both losses have one
    scale. A run without measurements has empty axes.
    """
    with house_style():
        figure = Figure(figsize=(11.0, 2.9), layout=ConstrainedLayoutEngine(w_pad=0.08))
        loss, local, accuracy = figure.subplots(1, 3)
        shared = [_mean_over_sites(rounds, "global_loss")]
        own = [
            _line(site, site_look(place), rows["round"] + 1, rows["local_loss"])
            for place, (site, rows) in enumerate(_by_site(rounds))
        ]
        for axes, title, lines in (
            (loss, "Shared prompt: loss", shared),
            (local, "Each site's own prompt: loss", own),
            (
                accuracy,
                "Shared prompt: accuracy",
                [_mean_over_sites(rounds, "global_accuracy")],
            ),
        ):
            axes.set_title(title)
            draw_lines(axes, lines)
            frame_rounds(axes, "round")
        frame_losses(loss, LOSS_LABEL, shared + own)
        frame_losses(local, LOSS_LABEL, shared + own)
        name_lines(local, own)
        frame_shares(accuracy, "validation accuracy")
    return figure


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


def _by_site(rounds: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    measured = rounds[rounds["local_loss"].notna()]
    sites = sorted(set(measured["site"]), key=natural_key)
    return [(site, measured[measured["site"] == site]) for site in sites]


def _mean_over_sites(rounds: pd.DataFrame, column: str) -> Line:
    by_round = rounds.groupby("round")[column].mean().dropna().reset_index()
    return _line("shared", ARM_LOOKS[FEDERATED], by_round["round"], by_round[column])


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


def _short(commit: object) -> str:
    """The first twelve characters of a commit, which still say that its files were changed."""
    if not isinstance(commit, str):
        return "unknown"
    return commit[:12] + (" (changed)" if commit.endswith("-dirty") else "")


def _print_under(figure: Figure, text: str) -> None:
    figure.supxlabel(
        textwrap.fill(text, NOTE_CHARACTERS), x=0.008, ha="left", fontsize=6.5, color=QUIET
    )


def _write(
    figure: Figure, tables: Sequence[tuple[str, pd.DataFrame]], folder: Path, name: str
) -> FigureFiles:
    files = FigureFiles(folder / f"{name}.png", folder / f"{name}.pdf", folder / f"{name}.csv")
    columns = ["partition", "series", "arm", "round", "mean", "low", "high", "seeds"]
    numbers = pd.concat([table.assign(partition=title) for title, table in tables])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        figure.savefig(files.png, dpi=200)
        figure.savefig(files.pdf, metadata={"CreationDate": None})
        numbers[columns].to_csv(files.csv, index=False)
    except OSError as error:
        raise OutputError(
            f"expected to write figures to {folder}, got {error.strerror}; name another folder"
        ) from error
    return files

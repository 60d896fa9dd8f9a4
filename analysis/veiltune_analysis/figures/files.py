"""What every figure does last: its note is printed, and its files are written together."""

import textwrap
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from veiltune.errors import OutputError
from veiltune_analysis.drawing import QUIET

NOTE_POINTS = 6.5
CHARACTERS_AN_INCH = 21.0
"""Of the note's type; measured, with room to spare."""


@dataclass(frozen=True)
class FigureFiles:
    """The files of one figure, which share a name."""

    png: Path
    pdf: Path
    csv: Path


def print_under(figure: Figure, text: str) -> None:
    """The text stands under the panels, broken to the figure's width."""
    columns = int(figure.get_figwidth() * CHARACTERS_AN_INCH)
    figure.supxlabel(
        textwrap.fill(text, columns), x=0.008, ha="left", fontsize=NOTE_POINTS, color=QUIET
    )


def write_figure(figure: Figure, numbers: pd.DataFrame, folder: Path, name: str) -> FigureFiles:
    """The figure stands in `folder` as PNG (200 dpi) and PDF, and its numbers as CSV.

    Raises:
        OutputError: the folder cannot be written.
    """
    files = FigureFiles(folder / f"{name}.png", folder / f"{name}.pdf", folder / f"{name}.csv")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        figure.savefig(files.png, dpi=200)
        figure.savefig(files.pdf, metadata={"CreationDate": None})
        numbers.to_csv(files.csv, index=False)
    except OSError as error:
        raise OutputError(
            f"expected to write figures to {folder}, got {error.strerror}; name another folder"
        ) from error
    return files

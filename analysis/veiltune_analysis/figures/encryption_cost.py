"""What encryption costs against the size of an update: bytes and seconds, beside NVFlare's."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from veiltune.errors import OutputError
from veiltune_analysis.drawing import (
    LOOKS,
    Line,
    draw_lines,
    frame_sizes,
    frame_values,
    house_style,
    name_lines,
)
from veiltune_analysis.figures.files import print_under, write_figure
from veiltune_analysis.figures.stamp import SMALL, short_commit

RECORD = "encryption-cost.json"
"""The measurement, in a folder of its own among the records."""
PANELS = {
    "up_bytes": ("Sent by a site, a round", "bytes"),
    "down_bytes": ("Received by a site, a round", "bytes"),
    "site_s": ("Encrypting and decrypting at a site", "CPU seconds a round"),
    "server_s": ("Adding at the server", "CPU seconds a round"),
}
NAMES = {"nvflare": "NVFlare HE"}
COLUMNS = ("exchange", "sites", "params", "up_bytes", "down_bytes", "encrypt_s", "server_s")


@dataclass(frozen=True)
class CostRecord:
    """One measurement as recorded."""

    folder: Path
    rows: pd.DataFrame
    small: bool
    commit: str | None
    repeats: int
    machine: str

    @property
    def name(self) -> str:
        """What its figure is called."""
        return "encryption-cost-small" if self.small else "encryption-cost"


def load_costs(folder: Path) -> CostRecord:
    """The measurement in `folder`.

    Raises:
        OutputError: there is none, or it is damaged.
    """
    path = folder / RECORD
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        rows = pd.DataFrame(content["rows"])
        rows = rows.assign(site_s=rows["encrypt_s"] + rows["decrypt_s"])
        rows = rows[[*COLUMNS, "decrypt_s", "site_s"]]
        return CostRecord(
            folder,
            rows,
            bool(content["small"]),
            content["commit"],
            int(content["repeats"]),
            str(content["machine"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OutputError(
            f"expected a measurement of encryption's cost in {path}, which is damaged or lacks a "
            f"part ({type(error).__name__}); delete it and measure again"
        ) from error


def encryption_cost(record: CostRecord, folder: Path) -> tuple[Path, ...]:
    """The figure of a measurement stands in `folder`: PNG, PDF and CSV.

    Raises:
        OutputError: `folder` cannot be written.
    """
    sizes = sorted({int(size) for size in record.rows["params"]})
    with house_style():
        figure = Figure(figsize=(10.2, 6.2), layout=ConstrainedLayoutEngine(h_pad=0.12, w_pad=0.06))
        for axes, (column, (title, label)) in zip(
            figure.subplots(2, 2).flat, PANELS.items(), strict=True
        ):
            lines = _lines(record.rows, column)
            axes.set_title(title)
            draw_lines(axes, lines)
            frame_values(axes, "parameters of an update", sizes, [_counted(n) for n in sizes])
            frame_sizes(axes, label)
            name_lines(axes, lines)
        sentences = [
            SMALL if record.small else "",
            f"{int(record.rows['sites'].max())} sites; medians of {record.repeats} turns in one "
            f"process, one thread; {record.machine}.",
            "NVFlare HE: NVFlare's homomorphic encryption with its defaults.",
            f"Commit {short_commit(record.commit)}.",
        ]
        print_under(figure, " ".join(each for each in sentences if each))
        files = write_figure(figure, record.rows, folder, record.name)
    return files.png, files.pdf, files.csv


def _lines(rows: pd.DataFrame, column: str) -> list[Line]:
    return [
        Line(
            NAMES.get(str(name), f"ours, {name}"),
            LOOKS[place % len(LOOKS)],
            own["params"].to_numpy(dtype=float),
            own[column].to_numpy(dtype=float),
        )
        for place, (name, own) in enumerate(rows.groupby("exchange"))
    ]


def _counted(n: int) -> str:
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if n >= size and n % size == 0:
            return f"{n // size}{letter}"
    return str(n)

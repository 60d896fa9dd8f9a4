"""Draws the book of figures, from recorded runs alone."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from veiltune.errors import OutputError
from veiltune_analysis.figures import (
    BOOK,
    accountants,
    encryption_cost,
    load_costs,
    stamp_of_sweep,
)
from veiltune_analysis.figures.book import Draw
from veiltune_analysis.figures.encryption_cost import RECORD
from veiltune_analysis.tables import SweepRecord, find_sweeps, load_sweep
from veiltune_jobs.spending import spent_by_round

ENCRYPTION_COST, ACCOUNTANTS, FRONTIER = "encryption-cost", "accountants", "frontier"
FIGURES = (*BOOK, ENCRYPTION_COST, ACCOUNTANTS)
"""Every figure of the book, by name. `accountants` is drawn from the runs of `frontier`."""


@dataclass(frozen=True)
class Drawn:
    """A figure that was drawn, and from what."""

    figure: str
    source: Path
    files: tuple[Path, ...]
    notes: tuple[str, ...] = ()
    """What must be told with it: missing runs, mixed code."""


@dataclass(frozen=True)
class NotDrawn:
    """A record from which a figure could not be drawn, or not in whole, and why."""

    source: Path
    reason: str


@dataclass(frozen=True)
class Book:
    """What came of the records."""

    drawn: tuple[Drawn, ...]
    skipped: tuple[NotDrawn, ...]

    def as_json(self) -> dict[str, Any]:
        """The same as plain values."""
        return {
            "drawn": [
                {
                    "figure": each.figure,
                    "source": str(each.source),
                    "files": [str(path) for path in each.files],
                    "notes": list(each.notes),
                }
                for each in self.drawn
            ],
            "skipped": [
                {"source": str(each.source), "reason": each.reason} for each in self.skipped
            ],
        }

    def text(self) -> str:
        """What was drawn, with its notes, and what was not and why."""
        lines = []
        for each in self.drawn:
            lines.append(f"{each.figure}, from {each.source}:")
            lines += [f"  {path}" for path in each.files]
            lines += [f"  {note}" for note in each.notes]
        lines += [f"skipped {each.source}: {each.reason}" for each in self.skipped]
        return "\n".join(lines)


def draw_book(records: Path, output: Path) -> Book:
    """Every figure that the records at or below `records` give is in `output`.

    Raises:
        OutputError: there is no such folder, or nothing in it gives a figure.
    """
    if not records.is_dir():
        raise OutputError(f"expected a folder of recorded sweeps, found none at {records}")
    costs = sorted(path.parent for path in records.rglob(RECORD))
    return draw(find_sweeps(records), costs, output)


def draw(
    sweeps: Sequence[Path],
    costs: Sequence[Path],
    output: Path,
    only: Collection[str] = FIGURES,
) -> Book:
    """The figures in `only` that these records give are in `output`.

    Raises:
        OutputError: none gives a figure.
    """
    making = _Making(output, only)
    for folder in sweeps:
        making.sweep(folder)
    for folder in costs:
        making.costs(folder)
    if not making.drawn:
        reasons = "".join(f"\n{each.source}: {each.reason}" for each in making.skipped)
        raise OutputError(
            "expected at least one finished sweep to draw, found none; `veiltune reproduce` runs "
            f"what the figures need{reasons}"
        )
    return Book(tuple(making.drawn), tuple(making.skipped))


class _Making:
    """A book as it grows. A record that gives no figure does not stop the others."""

    def __init__(self, output: Path, only: Collection[str]) -> None:
        self.drawn: list[Drawn] = []
        self.skipped: list[NotDrawn] = []
        self._output, self._only = output, only
        self._names: dict[str, Path] = {}

    def sweep(self, folder: Path) -> None:
        """The figures of one sweep."""
        try:
            record = load_sweep(folder)
            self._claim(record.name, folder)
        except OutputError as error:
            self.skipped.append(NotDrawn(folder, str(error)))
            return
        if record.figure is None:
            self.skipped.append(NotDrawn(folder, "the sweep is behind no figure"))
        elif record.figure not in BOOK:
            known = ", ".join(BOOK)
            reason = f"its figure, {record.figure}, is not in the book, which has {known}"
            self.skipped.append(NotDrawn(folder, reason))
        elif record.figure in self._only:
            self._draw(record.figure, BOOK[record.figure], record)
        if record.figure == FRONTIER and ACCOUNTANTS in self._only:
            self._draw(ACCOUNTANTS, _accountants, record)

    def costs(self, folder: Path) -> None:
        """The figure of one measurement of encryption."""
        try:
            record = load_costs(folder)
            self._claim(record.name, folder)
            files = encryption_cost(record, self._output)
        except OutputError as error:
            self.skipped.append(NotDrawn(folder, str(error)))
        else:
            self.drawn.append(Drawn(ENCRYPTION_COST, folder, files))

    def _draw(self, figure: str, how: Draw, record: SweepRecord) -> None:
        try:
            files = how(record, self._output)
        except OutputError as error:
            self.skipped.append(NotDrawn(record.folder, f"{figure}: {error}"))
        else:
            self.drawn.append(Drawn(figure, record.folder, files, record.tables.notes()))

    def _claim(self, name: str, folder: Path) -> None:
        """Two records of one name would write one file."""
        first = self._names.setdefault(name, folder)
        if first != folder:
            raise OutputError(f"{name} was drawn from {first}; draw one of the two elsewhere")


def _accountants(record: SweepRecord, folder: Path) -> tuple[Path, ...]:
    name = f"{ACCOUNTANTS}-small" if record.small else ACCOUNTANTS
    return accountants(spent_by_round(record), stamp_of_sweep(record), folder, name)

"""The parts of a page: tables, tiles, notices, numbers."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from veiltune_analysis.report.page import text

UNKNOWN = "–"
"""What a table shows where nothing was measured."""

SYNTHETIC = (
    "Synthetic data: a program made these texts. Nothing here says how well a prompt does on real "
    "text."
)


@dataclass(frozen=True)
class Cell:
    """One cell of a table: what it shows and, where it is a number, the value it sorts by."""

    shown: str
    value: float | None = None
    is_number: bool = False


@dataclass(frozen=True)
class Row:
    """A row of a table; `of` names the choices it belongs to (`choices`)."""

    cells: Sequence[Cell]
    of: Sequence[str] = ()


def table(
    title: str, header: Sequence[str], rows: Sequence[Row], *, total: Row | None = None
) -> str:
    """An HTML table that the reader can sort; `total` stays at its foot.

    A column is flush right where its first cell is a number.
    """
    first = rows[0].cells if rows else ()
    numeric = [cell.is_number for cell in first] or [False] * len(header)
    head = "".join(
        f'<th scope="col"{_NUMBER if is_number else ""}>{text(name)}</th>'
        for name, is_number in zip(header, numeric, strict=True)
    )
    body = "\n".join(_row(row) for row in rows)
    foot = f"<tfoot>{_row(total)}</tfoot>" if total else ""
    return (
        f'<div class="wide" role="region" tabindex="0" aria-label="{text(title)}">'
        f'<table class="sortable"><caption>{text(title)}</caption>'
        f"<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody>{foot}</table></div>"
    )


def pairs(title: str, values: Mapping[str, Any]) -> str:
    """Names and values, one pair a line; nested names follow one another: `machine cores`."""
    lines = "".join(
        f"<div><dt>{text(name.replace('_', ' '))}</dt><dd>{text(shown)}</dd></div>"
        for name, shown in _flat(values)
    )
    return f'<dl class="pairs" aria-label="{text(title)}">{lines}</dl>'


def tiles(values: Sequence[tuple[str, str, str]]) -> str:
    """The few figures a reader looks for first: (name, figure, what to know about it)."""
    inner = "".join(
        f"<div><dt>{text(name)}</dt><dd>{text(figure)}<small>{text(note)}</small></dd></div>"
        for name, figure, note in values
    )
    return f'<dl class="tiles">{inner}</dl>'


def notices(sentences: Iterable[str]) -> str:
    """Sentences nobody should miss; nothing where there are none."""
    inner = "".join(paragraph(sentence) for sentence in sentences)
    return f'<div class="notice" role="note">{inner}</div>' if inner else ""


def paragraph(sentences: str) -> str:
    """A paragraph of text."""
    return f"<p>{text(sentences)}</p>"


def bullets(title: str, lines: Iterable[str]) -> str:
    """A titled list of texts; nothing where it is empty."""
    inner = "".join(f"<li>{text(line)}</li>" for line in lines)
    return f"<h3>{text(title)}</h3><ul>{inner}</ul>" if inner else ""


def beside(*parts: str) -> str:
    """Pieces of HTML side by side where there is room; those that are empty are left out."""
    inner = "".join(f"<div>{part}</div>" for part in parts if part)
    return f'<div class="split">{inner}</div>' if inner else ""


def folded(title: str, body: str) -> str:
    """HTML that is shown when the reader asks for it, and in print."""
    return f"<details><summary>{text(title)}</summary>{body}</details>"


def word(value: object) -> Cell:
    """A cell of text."""
    return Cell(str(value))


def figure(value: float | None, digits: int = 3) -> Cell:
    """A cell with a number of so many decimals, or without one."""
    if value is None or math.isnan(value):
        return Cell(UNKNOWN, is_number=True)
    return Cell(_decimals(value, digits), float(value), is_number=True)


def per_cent(value: float | None) -> Cell:
    """A cell with a share of 1 in per cent."""
    if value is None or math.isnan(value):
        return Cell(UNKNOWN, is_number=True)
    return Cell(share(value), float(value), is_number=True)


def ends(low: float, high: float, digits: int = 3) -> Cell:
    """A cell with an interval, which sorts by its lower end."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return Cell(UNKNOWN, is_number=True)
    return Cell(f"{_decimals(low, digits)} to {_decimals(high, digits)}", low, is_number=True)


def number(value: float | None, digits: int = 3) -> str:
    """A number with so many decimals, or what to say where there is none."""
    return "not measured" if value is None or math.isnan(value) else f"{value:,.{digits}f}"


def share(value: float | None) -> str:
    """A share of 1 in per cent."""
    return "not measured" if value is None or math.isnan(value) else f"{100 * value:.1f} %"


def size(value: float | None) -> str:
    """A number of bytes, to three digits."""
    if value is None or math.isnan(value):
        return "not measured"
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= scale:
            return f"{value / scale:.3g} {unit}"
    return f"{value:.0f} B"


def duration(seconds: float | None) -> str:
    """A time in the unit that fits it."""
    if seconds is None or math.isnan(seconds):
        return "not measured"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def many(count: int, noun: str) -> str:
    """A count and its noun: `1 seed`, `5 seeds`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


_NUMBER = ' class="n"'


def _row(row: Row) -> str:
    first, *others = row.cells
    cells = [f'<th scope="row"{_sorted_by(first)}>{text(first.shown)}</th>']
    cells += [f"<td{_sorted_by(cell)}>{text(cell.shown)}</td>" for cell in others]
    of = f' data-of="{" ".join(row.of)}"' if row.of else ""
    return f"<tr{of}>{''.join(cells)}</tr>"


def _sorted_by(cell: Cell) -> str:
    if not cell.is_number:
        return ""
    return _NUMBER if cell.value is None else f'{_NUMBER} data-value="{_plain(cell.value)}"'


def _decimals(value: float, digits: int) -> str:
    """So many decimals, and no minus before a zero."""
    return f"{round(value, digits) + 0.0:,.{digits}f}"


def _plain(value: float) -> str:
    """A number as the script reads it."""
    return "Infinity" if value == math.inf else repr(float(value))


def _flat(values: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from ((f"{name} {inner}", shown) for inner, shown in _flat(value))
        else:
            yield name, str(value)

"""Reads the user's own table: JSON lines, CSV or tab-separated, with named columns.

Labels are listed by the user or taken from the file in sorted order. Messages give the file and the
line of a fault and never quote a row, which may be private.
"""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from veiltune.data.examples import Dataset, Example
from veiltune.data.files import decode, read_bytes
from veiltune.data.splits import REFERENCE_SEED, split
from veiltune.errors import DataError

TABLE_SUFFIXES = (".jsonl", ".csv", ".tsv")
TABLE_ENCODING = "utf-8"


@dataclass(frozen=True, slots=True)
class Columns:
    """The names of the columns that are read; others are left alone."""

    text: str = "text"
    label: str = "label"
    group: str | None = None


def table_dataset(
    path: Path,
    columns: Columns,
    labels: Sequence[str] = (),
    encoding: str = TABLE_ENCODING,
    seed: int = REFERENCE_SEED,
    train_fraction: float = 0.8,
    validation_fraction: float = 0.1,
) -> Dataset:
    """The rows of the table, shuffled and split; `labels` empty means those of the file, sorted.

    Raises: DataError when the file is missing, unreadable, empty, in another encoding or format, or
    when a row has no text, no label, no group where a column for it is named, or an unlisted label.
    """
    if path.suffix.lower() not in TABLE_SUFFIXES:
        raise DataError(
            f"a table must be one of {', '.join(TABLE_SUFFIXES)}, got {path}; convert or rename it"
        )
    text = decode(read_bytes(path), encoding, str(path))
    records = _json_lines(text, path) if path.suffix.lower() == ".jsonl" else _csv(text, path)
    rows = [_example(record, columns, labels, place) for place, record in records]
    found = tuple(labels) or tuple(sorted({row.label for row in rows}))
    if len(found) < 2:
        raise DataError(
            f"{path} must hold two labels or more in the column {columns.label!r}, got {len(found)}"
            f" in {len(rows)} rows; check data.label_column"
        )
    return Dataset(path.stem, found, *split(rows, seed, train_fraction, validation_fraction))


def _example(
    record: dict[str, Any], columns: Columns, labels: Sequence[str], place: str
) -> Example:
    text = _field(record, columns.text, "text_column", place)
    label = _field(record, columns.label, "label_column", place)
    if labels and label not in labels:
        raise DataError(
            f"{place}: the column {columns.label!r} must hold one of the labels"
            f" {', '.join(labels)}, got another; correct the row or data.labels"
        )
    group = columns.group and _field(record, columns.group, "group_column", place)
    return Example(text, label, group)


def _field(record: dict[str, Any], column: str, setting: str, place: str) -> str:
    """The text in this column, without white space around it; whole numbers are written out."""
    if column not in record:
        near = get_close_matches(column, record, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f" among {len(record)} columns;"
        raise DataError(f"{place}: there is no column {column!r}{hint} Set data.{setting}")
    value = record[column]
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str | None):
        raise DataError(
            f"{place}: the column {column!r} must hold text, got {_JSON_NAMES[type(value)]};"
            f" correct the row or set data.{setting}"
        )
    value = (value or "").strip()
    if not value:
        raise DataError(
            f"{place}: a row needs a value in the column {column!r}, got none; complete the row,"
            " remove it, or name another column in data." + setting
        )
    return value


_JSON_NAMES = {bool: "true or false", float: "a decimal number", list: "a list", dict: "an object"}


# Formats. Each gives the place of a row, as file:line, and the row by column.


def _json_lines(text: str, path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    # str.splitlines would also cut at separators that JSON allows inside a string.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        place = f"{path}:{number}"
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else "beyond its limits"
            raise DataError(
                f"{place}: expected one JSON object a line, got a line that is not JSON ({reason});"
                " correct it"
            ) from None  # the error would carry the row
        if not isinstance(record, dict):
            raise DataError(
                f"{place}: expected a JSON object with named columns, got something else; write the"
                ' row as {"text": ..., "label": ...}'
            )
        try:
            # Half of a surrogate pair can be escaped in JSON, but is no character.
            json.dumps(record, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise DataError(
                f"{place}: the row escapes half of a surrogate pair, which is no character; correct"
                " the row"
            ) from None
        yield place, record


def _csv(text: str, path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    delimiter, word = ("\t", "tabs") if path.suffix.lower() == ".tsv" else (",", "commas")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    start = 1
    try:
        for values in reader:
            place = f"{path}:{start}"
            start = reader.line_num + 1
            if not any(value.strip() for value in values):
                continue
            if header is None:
                header = [value.strip() for value in values]
                if len(set(header)) < len(header):
                    raise DataError(
                        f"{place}: the names of the columns must differ, but one stands twice in"
                        " the header; rename it"
                    )
            elif len(values) != len(header):
                raise DataError(
                    f"{place}: expected {len(header)} values parted by {word}, as in the header,"
                    f" got {len(values)}; put quotes around values that hold {word}"
                )
            else:
                yield place, dict(zip(header, values, strict=True))
    except csv.Error as error:
        raise DataError(
            f"{path}:{start}: expected values parted by {word} and quoted with double quotes, got"
            f" a row that is not ({error}); correct the row or use JSON lines"
        ) from None

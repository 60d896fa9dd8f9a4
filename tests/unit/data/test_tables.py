"""A table in any of its formats becomes examples; a bad row is named by line and not quoted."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from veiltune.data.examples import Dataset, Example
from veiltune.data.tables import Columns, table_dataset
from veiltune.errors import DataError

GOOD = [
    {"text": f"note, {row}", "label": ("no", "yes")[row % 2], "ward": f"w{row % 3}"}
    for row in range(20)
]


def jsonl(path: Path, lines: Sequence[object]) -> Path:
    written = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(written), encoding="utf-8")
    return path


def delimited(path: Path, lines: Sequence[str]) -> Path:
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def everything(dataset: Dataset) -> set[Example]:
    return {*dataset.train, *dataset.validation, *dataset.test}


def test_formats_agree(tmp_path: Path) -> None:
    columns = Columns(group="ward")
    lines = jsonl(tmp_path / "a.jsonl", GOOD)
    commas = delimited(
        tmp_path / "a.csv",
        ["text,label,ward", *(f'"{r["text"]}",{r["label"]},{r["ward"]}' for r in GOOD)],
    )
    tabs = delimited(
        tmp_path / "a.tsv",
        ["ward\ttext\tlabel", *(f"{r['ward']}\t{r['text']}\t{r['label']}" for r in GOOD)],
    )
    dataset = table_dataset(lines, columns)
    assert dataset == table_dataset(commas, columns) == table_dataset(tabs, columns)
    assert everything(dataset) == {Example(r["text"], r["label"], r["ward"]) for r in GOOD}
    assert (dataset.name, dataset.labels, dataset.synthetic) == ("a", ("no", "yes"), False)
    assert list(map(len, (dataset.train, dataset.validation, dataset.test))) == [16, 2, 2]


def test_named_columns_and_listed_labels(tmp_path: Path) -> None:
    rows = [{"note": f"n{row}", "code": row % 2, "other": None} for row in range(20)]
    file = jsonl(tmp_path / "a.jsonl", rows)
    dataset = table_dataset(file, Columns("note", "code"), ["1", "0", "2"])
    assert dataset.labels == ("1", "0", "2")
    assert Example("n3", "1") in everything(dataset)


def test_split_is_seeded(tmp_path: Path) -> None:
    file = jsonl(tmp_path / "a.jsonl", GOOD)
    assert table_dataset(file, Columns(), seed=1) == table_dataset(file, Columns(), seed=1)
    assert table_dataset(file, Columns(), seed=1) != table_dataset(file, Columns(), seed=2)
    dataset = table_dataset(file, Columns(), train_fraction=0.5, validation_fraction=0.25)
    assert list(map(len, (dataset.train, dataset.validation, dataset.test))) == [10, 5, 5]


def test_quoted_values_may_span_lines(tmp_path: Path) -> None:
    rows = ["text,label", '"two\nlines",yes', *(f"t{row},no" for row in range(12))]
    file = delimited(tmp_path / "a.csv", rows)
    assert Example("two\nlines", "yes") in everything(table_dataset(file, Columns()))
    delimited(tmp_path / "a.csv", [*rows, "secret,"])
    with pytest.raises(DataError, match=r"a\.csv:16: a row needs a value in the column 'label'"):
        table_dataset(file, Columns())


def test_json_separators_inside_a_string_end_no_row(tmp_path: Path) -> None:
    row = json.dumps({"text": "one\u2028two", "label": "yes"}, ensure_ascii=False)
    file = jsonl(tmp_path / "a.jsonl", [*GOOD, row])
    assert Example("one\u2028two", "yes") in everything(table_dataset(file, Columns()))


def test_byte_order_mark_of_a_spreadsheet(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("text,label\n" + "\n".join(f"t{r},{r % 2}" for r in range(20)), "utf-8-sig")
    assert len(everything(table_dataset(file, Columns()))) == 20


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{secret", r"a\.jsonl:3: expected one JSON object a line, got a line that is not JSON"),
        ("[" * 100_000, r"a\.jsonl:3: expected one JSON object .*\(beyond its limits\)"),
        ('["secret"]', r"a\.jsonl:3: expected a JSON object with named columns"),
        ({"text": "secret"}, r"a\.jsonl:3: there is no column 'label' among 1 columns"),
        ({"text": "secret", "Label": "yes"}, r"3: .* 'label'; did you mean 'Label'\? Set data\.la"),
        ({"text": "secret", "label": None}, r"3: a row needs a value in the column 'label'"),
        ({"text": "secret", "label": " "}, r"3: a row needs a value in the column 'label'"),
        ({"text": "", "label": "yes"}, r"3: a row needs a value in the column 'text'"),
        ({"text": ["secret"], "label": "yes"}, r"3: the column 'text' must hold text, got a list"),
        ({"text": "secret", "label": True}, r"'label' must hold text, got true or false"),
        ({"text": "secret", "label": 0.5}, r"'label' must hold text, got a decimal number"),
        ({"text": "secret", "label": "odd"}, r"3: .* one of the labels no, yes, got another"),
        ({"text": "secret \ud800", "label": "no"}, r"3: the row escapes half of a surrogate"),
    ],
)
def test_bad_json_rows(tmp_path: Path, row: object, message: str) -> None:
    file = jsonl(tmp_path / "a.jsonl", [GOOD[0], "", row, *GOOD])
    with pytest.raises(DataError, match=message) as caught:
        table_dataset(file, Columns(), ["no", "yes"])
    assert "secret" not in str(caught.value).replace(str(tmp_path), "")
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["text;label", "secret;yes"], r"a\.csv:2: there is no column 'text' among 1 columns"),
        (["text,label", "secret,text,yes"], r"a\.csv:2: expected 2 values .* got 3; put quotes"),
        (["text,label", "secret"], r"a\.csv:2: expected 2 values .* got 1"),
        (["text,label", "a,yes", '"secret,yes'], r"a\.csv:3: .*unexpected end of data"),
        (["text,label", '"secret"x,yes'], r"a\.csv:2: expected values parted by commas"),
        (["text,text", "secret,yes"], r"a\.csv:1: the names of the columns must differ"),
        (["text,label", "secret" * 30_000 + ",yes"], r"a\.csv:2: .*field larger than field limit"),
    ],
)
def test_bad_csv_rows(tmp_path: Path, rows: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        table_dataset(delimited(tmp_path / "a.csv", rows), Columns())
    assert "secret" not in str(caught.value).replace(str(tmp_path), "")


def test_group_is_needed_where_its_column_is_named(tmp_path: Path) -> None:
    file = jsonl(tmp_path / "a.jsonl", [*GOOD, {"text": "t", "label": "no", "ward": ""}])
    with pytest.raises(DataError, match=r"a\.jsonl:21: a row needs a value in the column 'ward'"):
        table_dataset(file, Columns(group="ward"))


@pytest.mark.parametrize("rows", [["text,label"], ["text,label", "a,yes", "b,yes"]])
def test_labels_cannot_be_discovered(tmp_path: Path, rows: list[str]) -> None:
    file = delimited(tmp_path / "a.csv", rows)
    with pytest.raises(DataError, match="must hold two labels or more in the column 'label', got"):
        table_dataset(file, Columns())


def test_other_formats_and_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a table must be one of \.jsonl, \.csv, \.tsv, got"):
        table_dataset(tmp_path / "a.xlsx", Columns())
    with pytest.raises(DataError, match="there is no data file"):
        table_dataset(tmp_path / "a.csv", Columns())
    (tmp_path / "a.csv").write_bytes("text,label\nZürich,yes".encode("latin-1"))
    with pytest.raises(DataError, match=r"a\.csv:2: expected utf-8 text"):
        table_dataset(tmp_path / "a.csv", Columns())

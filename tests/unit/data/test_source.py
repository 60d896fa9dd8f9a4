"""One section says where examples come from; a path alone switches to the user's own data."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from veiltune.data.examples import Dataset, Example
from veiltune.data.source import DataConfig, duplicates_across_splits, load_dataset
from veiltune.errors import DataError


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    file = tmp_path / "Sentences_AllAgree.txt"
    labels = ("positive", "negative", "neutral")
    file.write_text("\n".join(f"text {row}@{labels[row % 3]}" for row in range(40)))
    return file


def test_headlines_are_the_default_and_drawn_by_the_seed_of_the_job() -> None:
    config = DataConfig(train=30, validation=10, test=10)
    dataset = load_dataset(config, 1)
    assert (dataset.name, dataset.synthetic) == ("headlines", True)
    assert list(map(len, (dataset.train, dataset.validation, dataset.test))) == [30, 10, 10]
    assert dataset == load_dataset(config, 1) != load_dataset(config, 2)
    assert load_dataset(config.model_copy(update={"seed": 1}), 2) == dataset


def test_a_path_alone_switches_to_phrasebank(corpus: Path) -> None:
    dataset = load_dataset(DataConfig(path=corpus, train=10), 1)
    assert (dataset.name, dataset.synthetic) == ("phrasebank/Sentences_AllAgree", False)
    assert len(dataset.train) == 32
    assert dataset == load_dataset(DataConfig(path=corpus), 2)
    assert dataset == load_dataset(DataConfig(path=corpus.parent), 2)
    assert dataset != load_dataset(DataConfig(path=corpus, split_seed=1), 1)


def test_a_path_alone_switches_to_a_table(tmp_path: Path) -> None:
    file = tmp_path / "notes.jsonl"
    rows = [{"note": f"n{row}", "label": str(row % 2), "ward": "w"} for row in range(40)]
    file.write_text("\n".join(map(json.dumps, rows)))
    config = DataConfig(path=file, text_column="note", group_column="ward", train_fraction=0.5)
    dataset = load_dataset(config, 1)
    assert (dataset.name, dataset.labels, len(dataset.train)) == ("notes", ("0", "1"), 20)
    assert dataset.train[0].group == "w"


def test_the_home_folder_may_be_short(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(corpus.parent))
    assert load_dataset(DataConfig(path=Path("~") / corpus.name), 1).name.startswith("phrasebank")


def test_an_unknown_home_is_a_missing_file() -> None:
    with pytest.raises(DataError, match=r"there is no data file ~nobody-of-this-name/a\.txt"):
        load_dataset(DataConfig(path=Path("~nobody-of-this-name/a.txt")), 1)


def test_a_named_source_decides_over_the_name_of_the_file(tmp_path: Path, corpus: Path) -> None:
    other = corpus.rename(tmp_path / "corpus.dat")
    with pytest.raises(
        DataError, match=r"cannot tell from its name what .*corpus\.dat is; a table"
    ):
        load_dataset(DataConfig(path=other), 1)
    assert len(load_dataset(DataConfig(source="phrasebank", path=other), 1).train) == 32


def test_declared_encoding_is_used(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(("text,label\n" + "Zürich,1\nBern,0\n" * 10).encode("cp1252"))
    assert len(load_dataset(DataConfig(path=file, encoding="cp1252"), 1).train) == 16
    with pytest.raises(DataError, match="expected utf-8 text"):
        load_dataset(DataConfig(path=file), 1)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"source": "phrasebank"}, "the source phrasebank needs a file; set path"),
        ({"source": "table"}, "the source table needs a file"),
        ({"source": "headlines", "path": "a.txt"}, "reads no file, but path is set; remove path"),
        ({"train_fraction": 0.9, "validation_fraction": 0.1}, "must sum to less than 1, got 0.9"),
        ({"encoding": "utf8-bogus"}, "text encoding that Python knows, got 'utf8-bogus'"),
        ({"encoding": "base64"}, "text encoding that Python knows, got 'base64'"),
        ({"labels": ["yes"]}, "two or more different labels"),
        ({"labels": ["yes", "no", "yes"]}, "two or more different labels"),
        ({"template": "{sentence}{label}"}, "must hold the virtual prompt"),
        ({"train": 0}, "greater than or equal to 1"),
        ({"disagreement": 1.1}, "less than or equal to 1"),
    ],
)
def test_refused_settings(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        DataConfig.model_validate(fields)


def test_the_section_round_trips() -> None:
    config = DataConfig(path=Path("a.csv"), labels=("b", "a"))
    assert DataConfig.model_validate(json.loads(config.model_dump_json())) == config


def test_every_field_is_explained() -> None:
    assert all(field.description for field in DataConfig.model_fields.values())


def test_duplicates_are_counted_without_case_and_spacing() -> None:
    def texts(*given: str) -> tuple[Example, ...]:
        return tuple(Example(text, "a") for text in given)

    dataset = Dataset(
        "d",
        ("a", "b"),
        train=texts("Sales rose .", "x", "x"),
        validation=texts("sales  ROSE . ", "y", "sales rose ."),
        test=texts("x", "Y", "Sales rose"),
    )
    assert duplicates_across_splits(dataset) == {
        "train_validation": 2,
        "train_test": 1,
        "validation_test": 1,
    }

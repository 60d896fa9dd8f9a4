"""The user's copy of Financial PhraseBank is found, read and checked. All texts are made up."""

import zipfile
from pathlib import Path

import pytest

from veiltune.data.examples import Dataset, Example
from veiltune.data.phrasebank import PHRASEBANK_LABELS, phrasebank_dataset
from veiltune.errors import DataError

ROWS = [f"Made-up text {row} .@{PHRASEBANK_LABELS[row % 3]}" for row in range(30)]


def write(path: Path, rows: list[str], newline: str = "\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((newline.join(rows) + newline).encode("iso-8859-1"))
    return path


def everything(dataset: Dataset) -> set[Example]:
    return {*dataset.train, *dataset.validation, *dataset.test}


def test_file(tmp_path: Path) -> None:
    dataset = phrasebank_dataset(write(tmp_path / "Sentences_AllAgree.txt", ROWS))
    assert dataset.name == "phrasebank/Sentences_AllAgree"
    assert dataset.labels == ("positive", "negative", "neutral")
    assert not dataset.synthetic
    assert list(map(len, (dataset.train, dataset.validation, dataset.test))) == [24, 3, 3]
    assert Example("Made-up text 4 .", "negative") in everything(dataset)


def test_rows_are_parted_at_the_last_at_and_stripped(tmp_path: Path) -> None:
    file = write(tmp_path / "a.txt", [*ROWS, " write to a@b.fi . @ neutral "])
    assert Example("write to a@b.fi .", "neutral") in everything(phrasebank_dataset(file))


def test_latin_letters_survive_and_end_no_row(tmp_path: Path) -> None:
    file = write(tmp_path / "a.txt", [*ROWS, "Hämeenlinna\x85 grew .@positive"])
    assert Example("Hämeenlinna\x85 grew .", "positive") in everything(phrasebank_dataset(file))


@pytest.mark.parametrize("newline", ["\r\n", "\r", "\n\n"])
def test_line_endings_and_blank_lines_change_nothing(tmp_path: Path, newline: str) -> None:
    plain = phrasebank_dataset(write(tmp_path / "a" / "S.txt", ROWS))
    assert phrasebank_dataset(write(tmp_path / "b" / "S.txt", ROWS, newline)) == plain


def test_utf8_copy_where_it_is_declared(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("\n".join([*ROWS, "Hämeenlinna@neutral"]), encoding="utf-8")
    assert Example("Hämeenlinna", "neutral") in everything(phrasebank_dataset(file, "utf-8"))
    with pytest.raises(DataError, match="should be iso-8859-1 text but is UTF-8"):
        phrasebank_dataset(file)


def test_folder_prefers_full_agreement(tmp_path: Path) -> None:
    write(tmp_path / "v1" / "Sentences_50Agree.txt", [*ROWS, "more@neutral"])
    assert phrasebank_dataset(tmp_path).name == "phrasebank/Sentences_50Agree"
    write(tmp_path / "v1" / "Sentences_AllAgree.txt", ROWS)
    assert phrasebank_dataset(tmp_path).name == "phrasebank/Sentences_AllAgree"


def test_folder_without_a_corpus(tmp_path: Path) -> None:
    write(tmp_path / "notes.txt", ROWS)
    with pytest.raises(DataError, match=r"expected a file Sentences_\*\.txt in .*, found none"):
        phrasebank_dataset(tmp_path)


def test_folder_with_a_choice_to_make(tmp_path: Path) -> None:
    for level in ("66", "75"):
        write(tmp_path / f"Sentences_{level}Agree.txt", ROWS)
    with pytest.raises(DataError, match=r"several .*66Agree.txt, Sentences_75Agree.txt\); give"):
        phrasebank_dataset(tmp_path)


def test_zip_at_any_depth(tmp_path: Path) -> None:
    file = write(tmp_path / "Sentences_AllAgree.txt", ROWS)
    with zipfile.ZipFile(tmp_path / "bank.zip", "w") as archive:
        archive.write(file, "a/b/Sentences_AllAgree.txt")
        archive.write(file, "a/Sentences_50Agree.txt")
        archive.writestr("__MACOSX/a/b/._Sentences_AllAgree.txt", b"\0")
    assert phrasebank_dataset(tmp_path / "bank.zip") == phrasebank_dataset(file)


def test_zip_faults_name_the_file_in_it(tmp_path: Path) -> None:
    file = tmp_path / "bank.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a/Sentences_AllAgree.txt", "one@neutral\ntwo\n")
    with pytest.raises(DataError, match=r"bank\.zip/a/Sentences_AllAgree\.txt:2: expected text@la"):
        phrasebank_dataset(file)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("Sentences_AllAgree.txt", "\n")
    with pytest.raises(DataError, match=r"Sentences_AllAgree\.txt in .*bank\.zip is empty"):
        phrasebank_dataset(file)
    with zipfile.ZipFile(file, "w"):
        pass
    with pytest.raises(DataError, match=r"in .*bank\.zip, found none"):
        phrasebank_dataset(file)
    file.write_bytes(b"no archive")
    with pytest.raises(DataError, match=r"cannot unpack .*bank\.zip .*; unpack it"):
        phrasebank_dataset(file)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("secret text", r"a\.txt:2: expected text@label, got a row without a label"),
        ("secret text@", r"a\.txt:2: expected text@label, got a row without a label"),
        ("secret text@great", r"a\.txt:2: the label .* must be positive or negative or neutral"),
        ("text@secret text", r"a\.txt:2: the label .* got another"),
        (" @neutral", r"a\.txt:2: a row needs text before its label"),
    ],
)
def test_bad_rows_are_named_by_line_and_not_quoted(tmp_path: Path, row: str, message: str) -> None:
    file = write(tmp_path / "a.txt", [ROWS[0], row, *ROWS])
    with pytest.raises(DataError, match=message) as caught:
        phrasebank_dataset(file)
    said = str(caught.value).replace(str(tmp_path), "")
    assert "secret" not in said and "great" not in said


def test_missing_file(tmp_path: Path) -> None:
    for name in ("Sentences_AllAgree.txt", "bank.zip"):
        with pytest.raises(DataError, match=f"there is no data file .*{name}"):
            phrasebank_dataset(tmp_path / name)

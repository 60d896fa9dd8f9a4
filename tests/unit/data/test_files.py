"""A file that is missing, unreadable, empty or in another encoding is named, never quoted."""

import os
from pathlib import Path

import pytest

from veiltune.data.files import decode, read_bytes
from veiltune.errors import DataError

PRIVATE = "Zürich clinic"


def test_reads_what_is_there(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(b"text")
    assert read_bytes(file) == b"text"


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no data file .*a\.txt; check data\.path"):
        read_bytes(tmp_path / "a.txt")


def test_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a folder where a file was expected"):
        read_bytes(tmp_path)


@pytest.mark.parametrize("content", [b"", b" \r\n\n"])
def test_empty(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.txt is empty; give a file with rows"):
        read_bytes(tmp_path / "a.txt")


def test_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Permissions do not bind a superuser, so the refusal of the system is put in its place.
    def refuse(_: Path) -> bytes:
        raise PermissionError(13, os.strerror(13))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(DataError, match=r"cannot read .*\(Permission denied\); check its perm"):
        read_bytes(tmp_path / "a.txt")


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (PRIVATE.encode(), "utf-8"),
        (PRIVATE.encode("utf-8-sig"), "UTF8"),
        (PRIVATE.encode("latin-1"), "iso-8859-1"),
        (PRIVATE.encode("cp1252"), "cp1252"),
        (PRIVATE.encode("utf-16"), "utf-16"),
        (PRIVATE.encode("utf-16-le"), "utf-16-le"),
        (PRIVATE.encode("utf-32"), "utf-32"),
    ],
)
def test_declared_encoding_is_read(content: bytes, encoding: str) -> None:
    assert decode(content, encoding, "a.txt") == PRIVATE


@pytest.mark.parametrize(
    ("content", "encoding", "message"),
    [
        (PRIVATE.encode(), "iso-8859-1", "should be iso-8859-1 text but is UTF-8; set data.enc"),
        (PRIVATE.encode(), "cp1252", "should be cp1252 text but is UTF-8"),
        (PRIVATE.encode("utf-8-sig"), "latin-1", "should be latin-1 text but is UTF-8"),
        (PRIVATE.encode("utf-16"), "iso-8859-1", "is UTF-16; set data.encoding to utf-16"),
        (PRIVATE.encode("utf-16"), "utf-8", "should be utf-8 text but is UTF-16"),
        (PRIVATE.encode("utf-32"), "utf-8", "should be utf-8 text but is UTF-32"),
        ("Zurich".encode("utf-16-le"), "utf-8", "holds NUL characters, as UTF-16 text"),
        (b"one\n" + PRIVATE.encode("latin-1"), "utf-8", r"a\.txt:2: expected utf-8 text"),
    ],
)
def test_other_encoding_is_refused(content: bytes, encoding: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        decode(content, encoding, "a.txt")
    assert "clinic" not in str(caught.value)
    assert caught.value.__cause__ is None

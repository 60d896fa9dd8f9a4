"""What passes through a scratch file is on no disk, and nothing of it stays."""

import os
import tempfile
from pathlib import Path

import pytest

from veiltune_privacy.he.scratch import Scratch


@pytest.fixture(params=["memory", "folder"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go; once with anonymous memory files, once as on other systems."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    if request.param == "folder":
        monkeypatch.delattr(os, "memfd_create", raising=False)
    return tmp_path


def test_content_goes_both_ways(folder: Path) -> None:
    with Scratch() as scratch:
        scratch.write(b"longer than the next")
        assert Path(scratch.path).read_bytes() == b"longer than the next"
        scratch.write(b"short")
        assert Path(scratch.path).read_bytes() == b"short"
        Path(scratch.path).write_bytes(b"what SEAL saved")
        assert scratch.read() == b"what SEAL saved"


def test_nothing_stays(folder: Path) -> None:
    with Scratch() as scratch:
        scratch.write(b"key")
    assert not Path(scratch.path).exists()
    assert list(folder.iterdir()) == []


def test_nothing_stays_after_an_error(folder: Path) -> None:
    with pytest.raises(ZeroDivisionError), Scratch() as scratch:
        scratch.write(b"key")
        raise ZeroDivisionError
    assert not Path(scratch.path).exists()
    assert list(folder.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="needs anonymous files in memory")
def test_memory_files_have_no_name_in_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with Scratch() as scratch:
        scratch.write(b"key")
        assert os.readlink(scratch.path) == "/memfd:veiltune (deleted)"
        assert list(tmp_path.iterdir()) == []


def test_a_folder_is_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delattr(os, "memfd_create", raising=False)
    with Scratch() as scratch:
        path = Path(scratch.path)
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o777 == 0o700


def test_two_blocks_do_not_meet(folder: Path) -> None:
    with Scratch() as left, Scratch() as right:
        left.write(b"left")
        right.write(b"right")
        assert (left.read(), right.read()) == (b"left", b"right")

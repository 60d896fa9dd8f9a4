from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from veiltune.errors import OutputError
from veiltune_analysis.runs import read_run

MakeRun = Callable[..., Path]


def test_keys_of_later_versions_are_kept(make_run: MakeRun) -> None:
    assert read_run(make_run("a", [1.0], later=7)).summary.model_dump()["later"] == 7


@pytest.mark.parametrize("name", ["summary.json", "provenance.json", "rounds.parquet"])
@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe{"])
def test_an_incomplete_or_corrupt_record_is_named(
    make_run: MakeRun, name: str, content: bytes | None
) -> None:
    folder = make_run("a", [1.0])
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    with pytest.raises(OutputError, match=f"whole run record in .*{name}") as error:
        read_run(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "fault"), [({"arm": "apart"}, "arm"), ({"seed": "x"}, "seed"), ({"run": 3}, "run")]
)
def test_a_wrong_field_is_named(make_run: MakeRun, change: dict[str, Any], fault: str) -> None:
    folder = make_run("a", [1.0], **change)
    with pytest.raises(OutputError, match=f"summary.json is not a run's record .{fault}:"):
        read_run(folder)


def test_a_list_is_not_a_record(make_run: MakeRun) -> None:
    folder = make_run("a", [1.0])
    (folder / "summary.json").write_text("[]")
    with pytest.raises(OutputError, match="summary.json is not a run's record"):
        read_run(folder)


def test_lost_columns_are_named(make_run: MakeRun) -> None:
    folder = make_run("a", [1.0])
    rounds = read_run(folder).rounds.drop(columns=["steps", "epsilon"])
    rounds.to_parquet(folder / "rounds.parquet")
    with pytest.raises(OutputError, match="lacks the columns steps, epsilon"):
        read_run(folder)

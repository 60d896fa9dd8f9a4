from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from veiltune.errors import OutputError
from veiltune_analysis.runs import load_runs, read_run

MakeRun = Callable[..., Path]


def test_runs_and_rounds_are_tidy(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("a", [4.0, 2.0, 1.0], seed=3)
    make_run("deep/b", [4.0, 2.0], arm="alone", alone_site="site-1", sites=["site-1"])
    loaded = load_runs(tmp_path)
    assert list(loaded.runs["arm"]) == ["federated", "alone"]
    assert list(loaded.runs["commit"]) == ["c" * 40] * 2
    assert list(loaded.runs["specification_hash"]) == ["a", "deep/b"]
    assert Path(loaded.runs["folder"].iloc[0]) == tmp_path / "runs" / "a"
    assert len(loaded.rounds) == 3 * 2 + 2
    assert set(loaded.rounds["seed"]) == {3, 1}
    assert set(loaded.rounds.loc[loaded.rounds["arm"] == "alone", "alone_site"]) == {"site-1"}


def test_an_interrupted_run_is_loaded_and_can_be_left_out(
    make_run: MakeRun, tmp_path: Path
) -> None:
    make_run("a", [4.0, 2.0])
    make_run("b", [4.0], status="interrupted", val_loss=None)
    loaded = load_runs(tmp_path)
    assert list(loaded.runs["status"]) == ["complete", "interrupted"]
    kept = loaded.complete()
    assert list(kept.runs["run"]) == ["a"]
    assert set(kept.rounds["run"]) == {"a"}


def test_keys_of_later_versions_are_kept(make_run: MakeRun) -> None:
    assert read_run(make_run("a", [1.0], later=7)).summary.model_dump()["later"] == 7


def test_a_folder_without_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="found none; run a job first"):
        load_runs(tmp_path)


@pytest.mark.parametrize("name", ["summary.json", "provenance.json", "rounds.parquet"])
@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe{"])
def test_an_incomplete_or_corrupt_record_is_named(
    make_run: MakeRun, tmp_path: Path, name: str, content: bytes | None
) -> None:
    folder = make_run("a", [1.0])
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    with pytest.raises(OutputError, match=f"whole run record in .*{name}") as error:
        load_runs(tmp_path)
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

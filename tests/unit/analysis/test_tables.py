import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from veiltune.errors import OutputError
from veiltune_analysis.tables import find_sweeps, load_sweep, load_tables

MakeRun = Callable[..., Path]


def make_sweep(folder: Path, points: list[dict[str, Any]], **changes: Any) -> Path:
    axes: dict[str, list[Any]] = {}
    for point in points:
        for axis, label in point["labels"].items():
            labels = axes.setdefault(axis, [])
            if label not in labels:
                labels.append(label)
    manifest = {
        "name": "fabricated",
        "figure": "frontier",
        "small": False,
        "seeds": sorted({point["seed"] for point in points}),
        "axes": axes,
        "points": points,
    }
    (folder / "sweep.json").write_text(json.dumps(manifest | changes))
    return folder


def point(run: str, seed: int = 1, **labels: Any) -> dict[str, Any]:
    return {"run": run, "seed": seed, "labels": labels}


def test_each_table_has_its_rows_and_the_keys_of_the_specification(make_run: MakeRun) -> None:
    folder = make_run("a", [4.0, 2.0, 1.0], epsilon={"site-1": 1.5, "site-2": 2.0})
    (folder / "spec.yaml").write_text(
        "name: x\nseed: 1\nprivacy: {example_level: {epsilon: 2.0, space: output}}\n"
        "data: {columns: [a, b]}\n"
    )
    tables = load_tables(folder.parent)
    (run,) = tables.runs.to_dict("records")
    assert run["val_loss"] == 1.0 and run["epsilon"] == 2.0
    assert run["privacy.example_level.epsilon"] == 2.0
    assert run["privacy.example_level.space"] == "output"
    assert run["data.columns"] == '["a", "b"]'
    assert "name" not in run
    assert list(tables.sites["site"]) == ["site-1", "site-2"]
    assert list(tables.sites["local_loss"]) == [1.8, 1.8]  # the last that was measured
    assert list(tables.sites["upload_bytes"]) == [2048, 2048]  # a sum over rounds
    assert len(tables.rounds) == 6 and set(tables.rounds["run"]) == {"a"}
    assert load_tables(folder).runs.equals(tables.runs)


def test_a_run_without_privacy_has_no_epsilon(make_run: MakeRun) -> None:
    make_run("a", [4.0, 2.0])
    (spent,) = load_tables(make_run("b", [1.0, 1.0]).parent / "a").runs["epsilon"]
    assert math.isnan(spent)


@pytest.mark.parametrize("name", ["summary.json", "provenance.json", "rounds.parquet"])
@pytest.mark.parametrize("content", [None, b"{damaged"])
def test_a_damaged_run_is_named_and_counted_and_the_others_are_read(
    name: str, content: bytes | None, make_run: MakeRun
) -> None:
    make_run("a", [4.0, 2.0])
    damaged = make_run("b", [4.0, 2.0]) / name
    damaged.unlink()
    if content:
        damaged.write_bytes(content)
    tables = load_tables(damaged.parents[1])
    assert list(tables.runs["run"]) == ["a"]
    (skipped,) = tables.skipped
    assert skipped.folder == damaged.parent and name in skipped.reason
    unfinished = name == "summary.json" and not content
    what = "begun and not complete" if unfinished else "skipped, for they could not be read"
    assert f"Runs {what}: 1." in tables.notes()


def test_unfinished_runs_are_read_and_can_be_left_out(make_run: MakeRun) -> None:
    make_run("a", [4.0, 2.0])
    folder = make_run("b", [4.0], status="failed").parent
    tables = load_tables(folder)
    assert len(tables.runs) == 2 and len(tables.complete().runs) == 1
    assert set(tables.complete().rounds["run"]) == {"a"} == set(tables.complete().sites["run"])
    assert "Runs begun and not complete: 1." in tables.notes()


def test_mixed_code_is_said(make_run: MakeRun) -> None:
    folder = make_run("a", [4.0, 2.0]).parent
    other = make_run("b", [4.0, 2.0]) / "provenance.json"
    assert load_tables(folder).notes() == ()
    changed = json.loads(other.read_text()) | {
        "commit": "d" * 40,
        "versions": {"veiltune": "9.0"},
    }
    other.write_text(json.dumps(changed))
    assert load_tables(folder).notes() == (
        "The runs are of 2 commits: cccccccccccc, dddddddddddd.",
    )


def test_a_sweep_has_a_row_a_point_with_its_labels(make_run: MakeRun) -> None:
    make_run("a", [4.0, 2.0])
    folder = make_run("b", [4.0, 1.0], seed=2).parent
    make_sweep(
        folder,
        [point("a", 1, space="output"), point("a", 1, space="encoder"), point("b", 2, space="x")],
    )
    record = load_sweep(folder)
    assert record.figure == "frontier" and record.seeds == (1, 2) and record.summary is None
    tables = record.tables
    assert tables.axes == {"space": ("output", "encoder", "x")}
    assert list(tables.runs["space"]) == ["output", "encoder", "x"]
    assert list(tables.runs["run"]) == ["a", "a", "b"]
    assert len(tables.sites) == 6 and len(tables.rounds) == 12
    assert set(tables.rounds.loc[tables.rounds["run"] == "b", "space"]) == {"x"}
    assert load_tables(folder).runs.equals(tables.runs)
    assert find_sweeps(folder.parent) == [folder]


def test_labels_stand_where_the_specification_says_something_else(make_run: MakeRun) -> None:
    run = make_run("a", [4.0, 2.0])
    (run / "spec.yaml").write_text("privacy: {example_level: {space: output}}\n")
    labels = {"privacy.example_level.space": "encoder"}
    make_sweep(run.parent, [{"run": "a", "seed": 1, "labels": labels}])
    runs = load_sweep(run.parent).tables.runs
    assert list(runs["privacy.example_level.space"]) == ["encoder"]


def test_points_that_were_not_run_are_counted(make_run: MakeRun) -> None:
    folder = make_run("a", [4.0, 2.0]).parent
    make_sweep(folder, [point("a", x=1), point("missing", x=2)])
    (folder / "summary.json").write_text('{"runs": 2}')
    record = load_sweep(folder)
    assert record.summary == {"runs": 2}
    assert [each.reason for each in record.tables.skipped] == ["it has not been run"]
    assert record.tables.notes() == ("Runs of the sweep still to come: 1.",)


def test_a_folder_of_sweeps_is_read_as_the_runs_in_it(make_run: MakeRun) -> None:
    folder = make_run("a", [4.0, 2.0]).parent
    make_sweep(folder, [point("a", x=1)])
    (folder / "summary.json").write_text('{"runs": 1}')
    load_sweep(folder).tables.write(folder / "tables")
    tables = load_tables(folder.parent)
    assert list(tables.runs["run"]) == ["a"] and not tables.skipped and not tables.axes


def test_what_is_no_sweep_or_has_no_runs_is_said(tmp_path: Path, make_run: MakeRun) -> None:
    with pytest.raises(OutputError, match=r"expected at least one recorded run .* found none"):
        load_tables(tmp_path)
    with pytest.raises(OutputError, match="expected the folder of a sweep, .* cannot be read"):
        load_sweep(tmp_path)
    (tmp_path / "sweep.json").write_text('{"name": 3}')
    with pytest.raises(OutputError, match="expected the folder of a sweep, .* is damaged"):
        load_sweep(tmp_path)
    run = make_run("a", [4.0, 2.0])
    (run / "summary.json").unlink()
    with pytest.raises(OutputError, match=r"1 that cannot; .*\na: .*it has no summary.json"):
        load_tables(run)


def test_tables_come_back_from_the_disk(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("a", [4.0, 2.0], epsilon={"site-1": 1.5})
    folder = make_run("b", [4.0, 2.0], seed=2).parent
    make_sweep(folder, [point("a", bits=8), point("b", 2, bits="none")])
    tables = load_sweep(folder).tables
    paths = tables.write(tmp_path / "out")
    assert [path.name for path in paths] == ["runs.parquet", "sites.parquet", "rounds.parquet"]
    runs = pd.read_parquet(paths[0])
    assert list(runs["bits"]) == ["8", "none"]
    assert list(runs["val_loss"]) == [2.0, 2.0]
    assert len(pd.read_parquet(paths[2])) == len(tables.rounds)


def test_tables_that_cannot_be_written_are_one_sentence(make_run: MakeRun, tmp_path: Path) -> None:
    tables = load_tables(make_run("a", [4.0, 2.0]))
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="name another folder"):
        tables.write(tmp_path / "file" / "out")

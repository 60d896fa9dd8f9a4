"""Sweeps in real worker processes: killed, stopped, shared, failing, and under NVFlare."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from veiltune.errors import RunError
from veiltune.records import read_json
from veiltune_analysis.tables import load_sweep
from veiltune_jobs.cli import main
from veiltune_jobs.sweep import read_failures, run_sweep, runs_of
from veiltune_jobs.sweep_spec import TABLE_COLUMNS, load_sweep_spec

WAIT_S = 120.0
EPSILON = "privacy.example_level.epsilon"


@pytest.fixture
def sweep(specification: Path) -> Path:
    """Six small runs for eight points."""
    path = specification.parent / "sweep.yaml"
    content: dict[str, Any] = {
        "name": "grid",
        "job": "job.yaml",
        "seeds": [1, 2],
        "set": {
            "privacy.example_level.noise": "seeded",
            "data.partition": {"kind": "uniform", "sites": 2},
            "federation.rounds": 6,
        },
        "axes": {
            EPSILON: [8, None],
            "privacy.example_level.space": ["output", "encoder"],
        },
        "adjust": [
            {"where": {EPSILON: None}, "set": {"privacy.example_level.space": "output"}},
        ],
    }
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


RUNS = 6
"""Of eight points: without noise both spaces are one run."""

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(sweep: Path) -> Iterator[Start]:
    """Starts the sweep's command in a process group of its own."""
    started: list[subprocess.Popen[str]] = []

    def command(*options: str) -> subprocess.Popen[str]:
        output = sweep.parent / "swept"
        process = subprocess.Popen(
            [sys.executable, "-m", "veiltune_jobs", "sweep", str(sweep), *options]
            + ["--output", str(output)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield command
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def complete(folder: Path) -> dict[str, int]:
    """The complete runs below `folder`, and when each was recorded."""
    found = {}
    for path in folder.glob("grid/*/summary.json"):
        if read_json(path)["status"] == "complete":
            found[path.parent.name] = path.stat().st_mtime_ns
    return found


def ended_well(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 0


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.05)


@pytest.mark.parametrize("whole_group", [True, False])
def test_a_killed_sweep_leaves_nobody_and_goes_on(
    whole_group: bool, start: Start, sweep: Path
) -> None:
    output = sweep.parent / "swept"
    process = start("--workers", "2")
    wait_until(lambda: len(complete(output)) >= 2)
    workers = psutil.Process(process.pid).children(recursive=True)
    if whole_group:
        os.killpg(process.pid, signal.SIGKILL)
    else:
        os.kill(process.pid, signal.SIGKILL)
    process.wait()
    done = complete(output)
    assert 2 <= len(done) < RUNS
    _, left = psutil.wait_procs(workers, timeout=60)
    assert not left, "workers outlive the sweep"

    again = start("--workers", "2")
    said = again.communicate(timeout=WAIT_S)[0]
    assert again.returncode == 0, said
    after = complete(output)
    assert len(after) == RUNS
    assert {run: after[run] for run in done} == done, "what was done was done again"
    summary = read_json(output / "grid" / "summary.json")
    assert (summary["runs"], summary["complete"], summary["failed"]) == (RUNS, RUNS, 0)


def test_two_processes_share_a_sweep(start: Start, sweep: Path) -> None:
    processes = [start("--workers", "1"), start("--workers", "1")]
    said = [process.communicate(timeout=2 * WAIT_S)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    folder = sweep.parent / "swept" / "grid"
    sessions = [read_json(path) for path in (folder / "sessions").glob("*.json")]
    assert sum(session["runs"] for session in sessions) == RUNS
    assert all(session["runs"] >= 1 for session in sessions), "one of them did nothing"
    assert len(complete(folder.parent)) == RUNS and not read_failures(folder)


def test_a_stopped_sweep_says_how_far_it_came(start: Start, sweep: Path) -> None:
    output = sweep.parent / "swept"
    process = start("--workers", "1")
    wait_until(lambda: len(complete(output)) >= 1)
    workers = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal's Ctrl-C
    said = process.communicate(timeout=WAIT_S)[0]
    assert process.returncode == 130, said
    assert "the same command goes on from there" in said
    _, left = psutil.wait_procs(workers, timeout=30)
    assert not left
    states = [read_json(p)["status"] for p in output.glob("grid/*/summary.json")]
    assert set(states) <= {"complete", "interrupted"}
    assert read_json(output / "grid" / "summary.json")["complete"] == states.count("complete")


def test_a_sweep_stopped_while_its_workers_start_ends_them_and_nobody_else(sweep: Path) -> None:
    command = f"sleep 600 >/dev/null 2>&1 & exec {sys.executable} -m veiltune_jobs sweep {sweep}"
    process = subprocess.Popen(
        ["sh", "-c", f"{command} --workers 2 --output {sweep.parent / 'swept'}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    parent = psutil.Process(process.pid)
    bystanders: list[psutil.Process] = []
    try:
        wait_until(lambda: any("spawn_main" in " ".join(c.cmdline()) for c in parent.children()))
        children = parent.children(recursive=True)
        bystanders = [child for child in children if child.name() == "sleep"]
        process.terminate()
        said = process.communicate(timeout=WAIT_S)[0]
        assert process.returncode == 130, said
        assert "stopped after 0 of 6 runs" in said
        workers = [child for child in children if child not in bystanders]
        assert not psutil.wait_procs(workers, timeout=30)[1]
        (bystander,) = bystanders
        assert bystander.is_running(), "a signal for a worker reached the whole group"
    finally:
        for each in (*bystanders, parent):
            if each.is_running():
                each.kill()
        process.communicate()


def test_what_fails_is_recorded_and_does_not_stop_the_rest(
    sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = yaml.safe_load(sweep.read_text())
    content |= {"seeds": [1], "axes": {EPSILON: [0.0001, 8, None]}, "adjust": []}
    sweep.write_text(yaml.safe_dump(content, sort_keys=False))
    output = tmp_path / "swept"
    arguments = ["sweep", str(sweep), "--output", str(output), "--workers", "1", "--json"]
    for attempt in (1, 2):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 1
        printed = capsys.readouterr()
        assert "1 of 3 runs failed" in printed.err and printed.out == ""
        (failure, *more) = read_failures(output / "grid")
        assert failure["labels"] == {EPSILON: 0.0001} and "no noise can meet" in failure["error"]
        assert len(more) == attempt - 1
    record = load_sweep(output / "grid")
    assert record.summary is not None
    assert (record.summary["complete"], record.summary["failed"]) == (2, 1)
    assert len(record.tables.runs) == 2 + ("failed" in set(record.tables.runs["status"]))
    assert (output / "grid" / "tables" / "runs.parquet").exists()


def test_points_that_are_one_run_have_a_row_each(sweep: Path, tmp_path: Path) -> None:
    plan = load_sweep_spec(sweep, seeds=[1])
    folder = run_sweep(plan, tmp_path / "swept", workers=1)
    record = load_sweep(folder)
    assert len(record.tables.runs) == 4 and record.tables.runs["run"].nunique() == 3
    free = record.tables.runs[record.tables.runs[EPSILON].isna()]
    assert list(free["privacy.example_level.space"]) == ["output", "encoder"]
    assert free["val_loss"].nunique() == 1
    tables = (record.tables.runs, record.tables.sites, record.tables.rounds)
    own = {str(column) for table in tables for column in table}
    own = {column for column in own if "." not in column}
    assert own <= TABLE_COLUMNS, "an axis with a name of its own could hide a column"
    assert not list(folder.glob("*/report.html"))
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*/summary.json")}
    (folder / "sweep.json").write_text("{damaged")
    run_sweep(plan, tmp_path / "swept", workers=1)
    assert {path: path.stat().st_mtime_ns for path in folder.glob("*/summary.json")} == before
    assert len(load_sweep(folder).tables.runs) == 4, "the damaged record was not written anew"


@pytest.mark.filterwarnings("ignore::DeprecationWarning:nvflare")
def test_a_run_under_nvflare_confirms_the_inline_one(sweep: Path, tmp_path: Path) -> None:
    content = yaml.safe_load(sweep.read_text())
    content |= {"seeds": [1], "axes": {EPSILON: [8]}, "adjust": []}
    content["set"]["federation.rounds"] = 2
    sweep.write_text(yaml.safe_dump(content, sort_keys=False))
    plan = load_sweep_spec(sweep)
    prompts = set()
    for engine in ("inline", "nvflare"):
        folder = run_sweep(plan, tmp_path / engine, engine=engine)
        (run,) = load_sweep(folder).tables.runs.to_dict("records")
        assert run["engine"] == engine
        prompts.add(run["adapter_sha256"])
    assert len(prompts) == 1


def test_a_folder_that_cannot_be_written_is_one_sentence(sweep: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit) as ended:
        main(["sweep", str(sweep), "--output", str(tmp_path / "file")])
    assert ended.value.code == 2


def test_a_dry_run_writes_nothing_and_counts(
    sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "swept"
    main_arguments = ["sweep", str(sweep), "--output", str(output), "--dry-run"]
    ended_well([*main_arguments, "--json"])
    numbers = json.loads(capsys.readouterr().out)
    assert (numbers["points"], numbers["runs"], numbers["complete"]) == (8, RUNS, 0)
    assert len(numbers["todo"]) == RUNS and numbers["seconds"] > 0
    assert not output.exists()
    ended_well(main_arguments)
    said = capsys.readouterr().out
    assert "8 combinations, 6 runs; 0 are complete, 6 to do" in said
    ids = [run.id for run in runs_of(load_sweep_spec(sweep), output)]
    assert all(run in said for run in ids)


def test_a_sweep_whose_every_run_fails_has_no_tables(sweep: Path, tmp_path: Path) -> None:
    content = yaml.safe_load(sweep.read_text())
    content |= {"seeds": [1], "axes": {EPSILON: [0.0001]}, "adjust": []}
    sweep.write_text(yaml.safe_dump(content, sort_keys=False))
    with pytest.raises(RunError, match="1 of 1 runs failed"):
        run_sweep(load_sweep_spec(sweep), tmp_path / "swept", workers=1)
    assert not (tmp_path / "swept" / "grid" / "tables").exists()

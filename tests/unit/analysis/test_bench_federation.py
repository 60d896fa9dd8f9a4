"""What is read from run folders, and what becomes of it; the jobs themselves are not run here."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from veiltune.errors import RunError
from veiltune_analysis.bench import FederationPlan, federation
from veiltune_jobs.bench_cli import bench_app

KEYS = {"seconds_per_round", "seconds_per_round_default", "ratio", "inline_speedup"}


def record(run: Path, ends: Sequence[float], adapter: str) -> None:
    """A run folder whose rounds ended at these times."""
    server = run / "server"
    server.mkdir(parents=True)
    for index, end in enumerate(ends):
        path = server / f"sum-{index:05d}.bin"
        path.touch()
        os.utime(path, (end, end))
    (run / "summary.json").write_text(json.dumps({"adapter_sha256": adapter}))


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """In place of jobs: a round takes 1 s, 4 s with NVFlare's polling; a run 60 s, inline 10 s."""
    started: list[str] = []

    def run_job(output: Path, engine: str, settings: Sequence[str]) -> float:
        default = "runtime.poll_s=null" in settings
        started.append("default" if default else engine)
        length = 4.0 if default else 1.0
        count = len(list(output.glob("bench/*")))
        record(output / "bench" / f"{count}", [100 + length * i for i in range(4)], f"a{count}")
        return 60.0

    def run_batch(output: Path, seeds: Sequence[int], settings: Sequence[str]) -> float:
        started.append("inline")
        for count in range(len(seeds)):
            record(output / "bench" / f"{count}", [100.0], f"a{count}")
        return 10.0 * len(seeds)

    monkeypatch.setattr(federation, "_run_job", run_job)
    monkeypatch.setattr(federation, "_run_batch", run_batch)
    return started


def test_figures_and_their_order(jobs: list[str]) -> None:
    plan = FederationPlan(repeats=2)
    said: list[str] = []
    figures = federation.bench_federation(plan, said.append)
    assert KEYS <= figures.keys()
    assert figures["seconds_per_round"] == 1.0
    assert figures["seconds_per_round_default"] == 4.0
    assert figures["ratio"] == 0.25
    assert figures["inline_speedup"] == 6.0
    assert figures["same_adapters"]
    assert jobs == ["nvflare", "default"] * 2 + ["nvflare"] * 2 + ["inline"] + ["nvflare"] * 2
    assert len(said) == len(jobs)


def test_json_is_the_only_line_on_standard_output(jobs: list[str]) -> None:
    result = CliRunner().invoke(bench_app, ["federation", "--quick", "--repeats", "1", "--json"])
    assert result.exit_code == 0
    (line,) = result.stdout.splitlines()
    assert KEYS <= json.loads(line).keys()


def test_the_first_round_holds_the_start_and_is_left_out(tmp_path: Path) -> None:
    record(tmp_path, [130.0, 131.0, 133.0], "a")
    assert federation.round_intervals(tmp_path) == [1.0, 2.0]


def test_a_failed_job_is_never_timed() -> None:
    with pytest.raises(RunError, match="exit code 1 and said: ") as raised:
        federation.timed_command(["veiltune_analysis.no_such_module"])
    assert "no_such_module" in str(raised.value)


def test_the_measured_job_is_the_default_one(tmp_path: Path) -> None:
    spec, *settings = federation._job(tmp_path / "a folder", ["seed=2"])
    assert Path(spec).read_text() == "name: bench\n"
    assert settings[:2] == ["--set", "seed=2"]
    assert all(flag == "--set" for flag in settings[::2])

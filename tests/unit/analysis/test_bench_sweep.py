"""What the bench of sweeps asks for and makes of it; the sweeps themselves are not run here."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from veiltune.errors import RunError
from veiltune_analysis.bench import SweepPlan, sweep
from veiltune_jobs.bench_cli import bench_app
from veiltune_jobs.sweep_spec import load_sweep_spec

RUNS_A_SEED = 4


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """In place of sweeps: a run takes 60 s in the simulator and 10 s inline."""
    started: list[tuple[str, str]] = []

    def run(arguments: Sequence[str]) -> float:
        given = dict(zip(arguments[3::1], arguments[4::1], strict=False))
        engine, seeds = given["--engine"], given["--seeds"]
        started.append((engine, seeds))
        runs = [f"{seed}-{place}" for seed in seeds.split(",") for place in range(RUNS_A_SEED)]
        for name in runs:
            folder = Path(given["--output"]) / "sample" / name
            folder.mkdir(parents=True)
            (folder / "summary.json").write_text(json.dumps({"adapter_sha256": name}))
        return len(runs) * (60.0 if engine == "nvflare" else 10.0)

    monkeypatch.setattr(sweep, "timed_command", run)
    return started


def test_the_same_runs_are_made_under_both_engines_in_turns(
    commands: list[tuple[str, str]],
) -> None:
    figures = sweep.bench_sweep(SweepPlan(), lambda line: None)
    assert commands == [("nvflare", "1"), ("inline", "1,2"), ("nvflare", "2")]
    assert figures["runs"] == 8 and figures["same_adapters"]
    assert figures["inline_runs_per_hour"] == 360.0
    assert figures["nvflare_runs_per_hour"] == 60.0
    assert figures["ratio"] == 6.0


def test_one_seed_needs_no_second_half(commands: list[tuple[str, str]]) -> None:
    assert sweep.bench_sweep(SweepPlan(seeds=(3,)), lambda line: None)["ratio"] == 6.0
    assert commands == [("nvflare", "3"), ("inline", "3")]


def test_json_is_the_only_line_on_standard_output(commands: list[tuple[str, str]]) -> None:
    result = CliRunner().invoke(bench_app, ["sweep", "--quick", "--json"])
    assert result.exit_code == 0
    (line,) = result.stdout.splitlines()
    assert {"inline_runs_per_hour", "nvflare_runs_per_hour", "ratio"} <= json.loads(line).keys()


def test_a_sweep_without_runs_is_never_a_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "timed_command", lambda arguments: 1.0)
    with pytest.raises(RunError, match="should have left runs"):
        sweep.bench_sweep(SweepPlan.quick(), lambda line: None)


@pytest.mark.parametrize("plan", [SweepPlan(), SweepPlan.quick()])
def test_the_sample_is_a_sweep(plan: SweepPlan, tmp_path: Path) -> None:
    for name, content in zip(("job", "sweep"), sweep.sample(plan), strict=True):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(content))
    points = load_sweep_spec(tmp_path / "sweep.yaml").points
    assert len(points) == RUNS_A_SEED * len(plan.seeds)
    assert {point.spec.federation.rounds for point in points} == {plan.rounds}

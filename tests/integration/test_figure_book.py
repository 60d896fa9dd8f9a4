"""From a sweep's file to its figure, by the command."""

import json
from pathlib import Path

import pytest
import yaml

from veiltune_analysis.tables import load_sweep
from veiltune_jobs.cli import main
from veiltune_jobs.spending import spent_by_round
from veiltune_jobs.sweep import run_sweep
from veiltune_jobs.sweep_spec import load_sweep_spec


def command(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_a_sweep_is_run_and_drawn(
    tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = {
        "data": {"train": 36, "validation": 12, "test": 12, "partition": {"sites": 2}},
        "backbone": {"name": str(tiny_model)},
        "training": {"batch_size": 8},
        "federation": {"rounds": 1},
    }
    schemes = {name: {"privacy.encryption.scheme": name} for name in ("none", "quantised")}
    sweep = {"name": "tiny", "figure": "bits", "job": "job.yaml", "seeds": [1, 2]}
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(job))
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(sweep | {"axes": {"bits": schemes}}))
    records, output = str(tmp_path / "runs"), str(tmp_path / "figures")
    spec = str(tmp_path / "tiny.yaml")
    assert command("sweep", spec, "--output", records, "--workers", "1") == 0
    capsys.readouterr()
    assert command("figures", records, "-o", output, "--json") == 0
    (drawn,) = json.loads(capsys.readouterr().out)["drawn"]
    assert drawn["figure"] == "bits"
    assert [Path(path).name for path in drawn["files"]] == ["tiny.png", "tiny.pdf", "tiny.csv"]
    assert all(Path(path).stat().st_size > 0 for path in drawn["files"])


def test_what_was_spent_is_counted_by_both_accountants(tmp_path: Path, tiny_model: Path) -> None:
    job = {
        "data": {"train": 36, "validation": 12, "test": 12, "partition": {"sites": 2}},
        "backbone": {"name": str(tiny_model)},
        "training": {"batch_size": 8},
        "federation": {"rounds": 3},
        "privacy": {"example_level": {"noise": "seeded"}},
    }
    axes = {"privacy.example_level.epsilon": [4, None]}
    sweep = {"name": "tiny", "job": "job.yaml", "seeds": [2, 1], "axes": axes}
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(job))
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(sweep))
    plan = load_sweep_spec(tmp_path / "tiny.yaml")
    record = load_sweep(run_sweep(plan, tmp_path / "runs", workers=1))
    spent = spent_by_round(record)
    assert set(spent["target"]) == {4.0} and set(spent["seed"]) == {1}
    prv, rdp = (spent[spent["accountant"] == name] for name in ("prv", "rdp"))
    assert list(prv["round"]) == list(rdp["round"]) == [1, 2, 3]
    assert prv["epsilon"].is_monotonic_increasing and rdp["epsilon"].is_monotonic_increasing
    assert (rdp["epsilon"].to_numpy() >= prv["epsilon"].to_numpy()).all()
    recorded = record.tables.runs.set_index("run")["epsilon"]
    assert prv["epsilon"].iloc[-1] == pytest.approx(recorded[prv["run"].iloc[0]])
    assert prv["epsilon"].iloc[-1] <= 4.0


def test_nothing_recorded_is_the_users_mistake(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("figures", str(tmp_path)) == 2
    assert "expected at least one finished sweep" in capsys.readouterr().err
    assert command("reproduce", "frontiers", "--small", "--records", str(tmp_path)) == 2
    assert "got frontiers" in capsys.readouterr().err

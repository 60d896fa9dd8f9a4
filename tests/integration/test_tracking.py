"""A tracked job: what the sites measured, as NVFlare brings it to the server's tracker."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from veiltune.federation.nvflare.tracking import TRACKING
from veiltune.records import read_json
from veiltune_jobs.job import load_job
from veiltune_jobs.run import Run
from veiltune_jobs.server_view import server_view
from veiltune_jobs.tracking import measurements_sent

SITES = ("site-1", "site-2", "site-3")
# What NVFlare's own modules still use of Python and of each other.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:nvflare")

Tracked = dict[str, dict[int, float]]
"""Values by measurement and round."""


def recorded(run: Run, site: str, names: Sequence[str]) -> Tracked:
    """What the run's own table says of a site."""
    table = pd.read_parquet(run.folder.rounds)
    rows = table[table["site"] == site].set_index("round")
    columns = {name: rows[name].dropna().astype(float) for name in names}
    return {name: dict(zip(map(int, c.index), c, strict=True)) for name, c in columns.items()}


def in_event_files(folder: Path, site: str) -> Tracked:
    """What TensorBoard reads of a site."""
    events = EventAccumulator(str(folder / site)).Reload()
    return {
        tag: {event.step: event.value for event in events.Scalars(tag)}
        for tag in events.Tags()["scalars"]
    }


def in_database(folder: Path, site: str) -> Tracked:
    """What MLflow stored of a site, whose name its run's name begins with."""
    query = (
        "select key, step, value from metrics join runs using (run_uuid) where name like ? || '-%'"
    )
    database = sqlite3.connect(folder / "mlflow.db")
    found: Tracked = {}
    for name, step, value in database.execute(query, [site]):
        found.setdefault(name, {})[step] = value
    database.close()
    return found


def test_tensorboard_reads_what_private_sites_let_out(specification: Path, tmp_path: Path) -> None:
    """Encrypted and private, in a new process for every task; one site's policy lets none out."""
    policies = tmp_path / "policies"
    policies.mkdir()
    settings = [
        "privacy.example_level.epsilon=8",
        "privacy.encryption.scheme=ckks",
        "data.partition.kind=uniform",
        "training.batch_size=4",
        "federation.rounds=1",
        "runtime.parallel_sites=1",
        f"runtime.policies={policies}",
        "runtime.tracking=tensorboard",
    ]
    run = Run(load_job(specification, settings))
    names = measurements_sent(run.spec)
    rules = {"max_epsilon": 8.0, "max_delta": 1e-5, "min_sites": 2, "adapter_kinds": ["mlp"]}
    rules |= {"max_parameters": 10**6}
    for site in SITES[:2]:
        (policies / f"{site}.yaml").write_text(yaml.safe_dump({**rules, "metrics": list(names)}))
    (policies / "site-3.yaml").write_text(yaml.safe_dump(rules))

    summary = run.execute()

    assert {each["site"] for each in summary["missing"]} == {"site-3"}
    assert all("metrics: none may leave" in each["reason"] for each in summary["missing"])
    folder = run.folder.path / TRACKING
    assert sorted(path.name for path in folder.iterdir()) == ["site-1", "site-2"]
    for site in SITES[:2]:
        found, expected = in_event_files(folder, site), recorded(run, site, names)
        assert set(found) == set(names) and "epsilon" in found
        assert not {"train_loss", "seconds_train"} & set(found)
        for name in names:
            # Event files hold float32.
            assert found[name] == pytest.approx(expected[name], rel=1e-6), name
        assert set(found["epsilon"]) == {0} and set(found["global_loss"]) == {0, 1}
    card = read_json(run.folder.card)
    assert card["measurements_sent"] == list(names)
    assert server_view(run.folder.path)["measurements"] == list(names)


def test_mlflow_stores_what_the_sites_measured(specification: Path) -> None:
    settings = ["federation.rounds=1", "runtime.tracking=mlflow"]
    run = Run(load_job(specification, settings))
    run.execute()
    names = measurements_sent(run.spec)
    for site in SITES:
        found = in_database(run.folder.path / TRACKING, site)
        assert set(found) == set(names) and "train_loss" in found
        assert found == recorded(run, site, names)

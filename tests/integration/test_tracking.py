"""A tracked job: what the sites measured, as NVFlare brings it to the server's tracker."""

from pathlib import Path

import pandas as pd
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from veiltune.federation.nvflare.tracking import TRACKING
from veiltune_jobs.job import load_job
from veiltune_jobs.run import Run
from veiltune_jobs.tracking import measurements_sent

SITES = ("site-1", "site-2", "site-3")
# What NVFlare's own modules still use of Python and of each other.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:nvflare")


def tracked(folder: Path, site: str) -> dict[str, dict[int, float]]:
    """What TensorBoard reads of a site: values by measurement and round."""
    events = EventAccumulator(str(folder / site)).Reload()
    return {
        tag: {event.step: event.value for event in events.Scalars(tag)}
        for tag in events.Tags()["scalars"]
    }


def recorded(run: Run, site: str, names: tuple[str, ...]) -> dict[str, dict[int, float]]:
    """The same from the run's own table."""
    table = pd.read_parquet(run.folder.rounds)
    rows = table[table["site"] == site].set_index("round")
    values = {name: rows[name].dropna().astype(float) for name in names}
    return {
        name: dict(zip(map(int, each.index), each, strict=True)) for name, each in values.items()
    }


def test_tensorboard_reads_what_the_sites_measured(specification: Path) -> None:
    settings = ["evaluation.local_model=true", "runtime.tracking=tensorboard"]
    run = Run(load_job(specification, settings))
    run.execute()
    names = measurements_sent(run.spec)
    for site in SITES:
        found = tracked(run.folder.path / TRACKING, site)
        expected = recorded(run, site, names)
        assert set(found) == set(names)
        for name in names:
            # Event files hold float32.
            assert found[name] == pytest.approx(expected[name], rel=1e-6), name

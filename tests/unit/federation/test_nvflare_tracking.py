"""How a job's measurements are written down at the server."""

import os
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import pytest
from nvflare.apis.analytix import AnalyticsDataType
from nvflare.apis.fl_context import FLContext
from nvflare.apis.utils.analytix_utils import create_analytic_dxo
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from veiltune.federation.nvflare.event_files import EventFiles
from veiltune.federation.nvflare.job import FederatedJob
from veiltune.federation.nvflare.recipe import COMPONENTS, PromptTuningRecipe
from veiltune.federation.nvflare.tracking import PACKAGES, Tracker

# What NVFlare's own modules still use of Python and of each other.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:nvflare")


def receive(receiver: EventFiles, site: str, losses: Sequence[float], first: int = 0) -> None:
    for index, loss in enumerate(losses, first):
        dxo = create_analytic_dxo("loss", loss, AnalyticsDataType.SCALAR, global_step=index)
        receiver.save(FLContext(), dxo.to_shareable(), site)


def read(folder: Path) -> list[tuple[int, float]]:
    events = EventAccumulator(str(folder)).Reload()
    return [(event.step, event.value) for event in events.Scalars("loss")]


def test_a_measurement_can_be_read_while_the_job_goes_on(tmp_path: Path) -> None:
    receiver = EventFiles(str(tmp_path / "tracking"))
    receiver.initialize(FLContext())
    receive(receiver, "site-1", [3.0, 2.0])
    assert read(tmp_path / "tracking" / "site-1") == [(0, 3.0), (1, 2.0)]
    receiver.finalize(FLContext())


def test_a_job_that_was_cut_goes_on_in_the_same_folder(tmp_path: Path) -> None:
    for first, losses in ((0, [3.0, 2.0]), (2, [1.5])):
        receiver = EventFiles(str(tmp_path))
        receiver.initialize(FLContext())
        receive(receiver, "site-1", losses, first)
        receiver.finalize(FLContext())
    assert read(tmp_path / "site-1") == [(0, 3.0), (1, 2.0), (2, 1.5)]


def components(tracker: Tracker, run: Path) -> dict[str, object]:
    """What the server of a job is built of, by id."""
    job = FederatedJob(
        name="job",
        run=str(run),
        site_factory="module:site",
        coordinator_factory="module:coordinator",
        sites=("site-1",),
        min_sites=1,
        first_round=0,
        rounds=1,
        round_timeout_s=1,
        poll_s=None,
        tracker=tracker,
    )
    server = PromptTuningRecipe(job)._job._deploy_map["server"]
    return dict(server.app_config.components)


def test_no_tracker_is_there_unless_it_is_asked_for(tmp_path: Path) -> None:
    assert "receiver" not in components("none", tmp_path)


def test_event_files_are_a_component_that_the_simulator_takes(tmp_path: Path) -> None:
    receiver = components("tensorboard", tmp_path)["receiver"]
    assert isinstance(receiver, EventFiles) and receiver.folder == str(tmp_path / "tracking")
    assert f"{EventFiles.__module__}.{EventFiles.__qualname__}" in COMPONENTS


def test_mlflow_writes_into_the_run_and_tells_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "false")
    receiver = components("mlflow", tmp_path)["receiver"]
    assert vars(receiver)["tracking_uri"] == f"sqlite:///{tmp_path}/tracking/mlflow.db"
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_every_tracker_has_its_extra() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())
    assert set(PACKAGES) == set(get_args(Tracker))
    assert set(project["project"]["optional-dependencies"]) >= set(PACKAGES) - {"none"}

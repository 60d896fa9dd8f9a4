"""What a site may send of its measurements, by the job and by the site's own policy."""

from collections.abc import Callable
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from veiltune.errors import SpecificationError
from veiltune.federation.nvflare import tracking
from veiltune.federation.site import Measurements
from veiltune.training import GradientRule, LocalTrainer, PlainGradient
from veiltune_jobs import private_training
from veiltune_jobs.job import JobSpec
from veiltune_jobs.run import Run
from veiltune_jobs.tracking import measurements_sent
from veiltune_privacy.policy import PolicyRefusal

FROM_TRAINING_EXAMPLES = {"train_loss", "seconds_train"}


def job(
    tracker: str = "tensorboard",
    epsilon: float | None = None,
    noise: str = "system",
    local_model: bool = True,
    **runtime: object,
) -> JobSpec:
    return JobSpec.model_validate(
        {
            "runtime": {"tracking": tracker, **runtime},
            "privacy": {"example_level": {"epsilon": epsilon, "noise": noise}},
            "evaluation": {"local_model": local_model},
        }
    )


jobs = st.builds(
    job,
    tracker=st.sampled_from(["none", "tensorboard", "mlflow"]),
    epsilon=st.none() | st.floats(0.1, 100),
    noise=st.sampled_from(["system", "seeded"]),
    local_model=st.booleans(),
)


@given(jobs)
def test_nothing_leaves_that_no_epsilon_covers_and_nobody_measures(spec: JobSpec) -> None:
    sent = set(measurements_sent(spec))
    private = spec.privacy.example_level.epsilon is not None
    assert sent <= {field.name for field in fields(Measurements)}
    assert bool(sent) == (spec.runtime.tracking != "none")
    assert not (private and sent & FROM_TRAINING_EXAMPLES)
    assert not ("epsilon" in sent and (not private or private_training.seeded(spec)))
    assert spec.evaluation.local_model or not sent & {"local_loss", "local_accuracy"}
    # Of these each tells how many examples a site has, and nobody needs them to follow a job.
    assert not sent & {"examples", "steps", "clipped"}


def test_what_a_job_can_show_is_shown() -> None:
    assert set(measurements_sent(job())) >= {"global_loss", "local_accuracy", "train_loss"}
    assert "epsilon" in measurements_sent(job(epsilon=8.0))
    assert measurements_sent(JobSpec()) == ()


def admit(spec: JobSpec, policies: Path, rule: GradientRule) -> Callable[[], None]:
    trainer = cast(LocalTrainer, SimpleNamespace(rule=rule))  # all that admission looks at
    runtime = spec.runtime.model_copy(update={"policies": policies})
    asked = spec.model_copy(update={"runtime": runtime})
    return private_training.admission(asked, "site-1", None, 10, trainer)


@pytest.mark.parametrize("tracker", ["tensorboard", "mlflow"])
def test_a_policy_has_to_name_every_measurement(tracker: str, tmp_path: Path) -> None:
    rules = {
        "dp_required": False,
        "encryption_required": False,
        "min_sites": 3,
        "adapter_kinds": ["mlp"],
        "max_parameters": 10**9,
    }
    path = tmp_path / "site-1.yaml"
    spec = job(tracker)
    names = list(measurements_sent(spec))
    path.write_text(yaml.safe_dump(rules))
    admit(job("none"), tmp_path, PlainGradient())()
    with pytest.raises(PolicyRefusal, match="metrics: none may leave, got global_loss"):
        admit(spec, tmp_path, PlainGradient())()
    path.write_text(yaml.safe_dump({**rules, "metrics": names[:-1]}))
    with pytest.raises(PolicyRefusal, match=f"got {names[-1]};") as caught:
        admit(spec, tmp_path, PlainGradient())()
    assert caught.value.rules == ("metrics",)
    path.write_text(yaml.safe_dump({**rules, "metrics": names}))
    admit(spec, tmp_path, PlainGradient())()


def test_tracking_is_nvflares() -> None:
    with pytest.raises(ValueError, match="tracking must be none under engine inline, got mlflow"):
        job("mlflow", engine="inline")
    job("none", engine="inline")


@pytest.mark.parametrize(
    ("tracker", "package"), [("tensorboard", "tensorboard"), ("mlflow", "alembic")]
)
def test_a_missing_package_is_named_with_its_extra_before_anything_is_written(
    tracker: str, package: str, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = job(tracker, output=tmp_path / "runs")
    backbone = spec.backbone.model_copy(update={"name": str(tiny_model)})
    run = Run(spec.model_copy(update={"backbone": backbone}))
    monkeypatch.setattr(
        tracking, "find_spec", lambda name: None if name == package else find_spec(name)
    )
    with pytest.raises(SpecificationError, match=f"{package}.*veiltune.{tracker}.") as caught:
        run.execute()
    assert caught.value.exit_code == 2
    assert not (tmp_path / "runs").exists()

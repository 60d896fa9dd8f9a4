"""The reference experiment: federated, centralised and each site alone, over several seeds.

An experiment is a job, ways to deal its data to sites, and seeds. Its runs are ordinary runs and
recorded as such: what is complete is not run again, and what was cut goes on.
"""

import multiprocessing
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from veiltune.config import Section
from veiltune.data import PartitionConfig, load_dataset, site_names
from veiltune.errors import RunError, VeiltuneError
from veiltune_jobs.job import JobSpec, load_job
from veiltune_jobs.run import Run, SharedModel
from veiltune_jobs.specification import load

Progress = Callable[[int, int, str], None]
"""Called with runs done, runs in all, and what was just done."""


class SplitSpec(Section):
    """One way to deal the training examples to the sites: one row of the figure."""

    title: str = Field(min_length=1)
    """What the figure calls it."""
    partition: PartitionConfig


class ExperimentSpec(Section):
    """An experiment."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """The folder of its runs, and the name of its figure."""
    job: Path
    """The YAML of the job that every arm varies, relative to the experiment's own file."""
    seeds: tuple[int, ...] = Field(min_length=1)
    """Seeds of the runs; not those on which hyper-parameters were chosen."""
    splits: tuple[SplitSpec, ...] = Field(min_length=1)
    """The ways to deal the data."""


@dataclass(frozen=True)
class Arm:
    """One run of an experiment, and where the figure shows it."""

    label: str
    """`federated`, `centralised`, `centralised (equal steps)` or `alone`."""
    split: str | None
    """The title of its split; None for a centralised arm, which is shown with every split."""
    spec: JobSpec


def load_experiment(
    path: Path, overrides: Sequence[str] = (), seeds: Sequence[int] | None = None
) -> tuple[ExperimentSpec, JobSpec]:
    """The experiment in the YAML file at `path`, and its job under `overrides`.

    Raises:
        SpecificationError: with the faults of the experiment, or of the job and the overrides.
    """
    experiment = load(ExperimentSpec, path)
    if seeds is not None:
        experiment = experiment.model_copy(update={"seeds": tuple(seeds)})
    return experiment, load_job(path.parent / experiment.job, overrides)


def arms_of(experiment: ExperimentSpec, job: JobSpec) -> list[Arm]:
    """Every run of the experiment, under the inline engine, which gives NVFlare's own results.

    Splits by a column are left out where the data have no groups.

    Equal epochs are not equal steps: a site holds a part of the examples, so an epoch of it has
    fewer steps than one of the centralised arm. The second centralised arm takes as many steps a
    round as a site of average size.
    """
    arms = []
    for seed in experiment.seeds:
        named = job.model_copy(update={"name": experiment.name, "seed": seed})
        base = _varied(named, "runtime", engine="inline")
        dataset = load_dataset(base.data, seed)
        grouped = all(example.group is not None for example in dataset.train)
        steps = base.training.steps(len(dataset.train) // base.data.partition.sites)
        central = _varied(base, "federation", arm="centralised")
        arms.append(Arm("centralised", None, central))
        equal = _varied(central, "training", steps_per_round=steps)
        arms.append(Arm("centralised (equal steps)", None, equal))
        for split in experiment.splits:
            if split.partition.kind == "column" and not grouped:
                continue
            dealt = _varied(base, "data", partition=split.partition)
            arms.append(Arm("federated", split.title, dealt))
            for site in site_names(split.partition.sites):
                alone = _varied(dealt, "federation", arm="alone", alone_site=site)
                arms.append(Arm("alone", split.title, alone))
    return arms


def run_arms(arms: Sequence[Arm], workers: int, progress: Progress) -> dict[Path, Arm]:
    """Every arm's run is complete; returns the run folders with their arms.

    Each worker is a process that loads the frozen model once. A run that fails does not stop the
    others.

    Raises:
        RunError: some runs failed; the message names each with its error.
    """
    folders: dict[Path, Arm] = {}
    failures: list[str] = []
    if workers == 1:
        outcomes = ((arm, _attempt(arm.spec)) for arm in arms)
        _collect(outcomes, folders, failures, len(arms), progress)
    else:
        # Processes are started afresh, not forked: a fork would inherit torch's threads.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, mp_context=context) as pool:
            futures = {pool.submit(_attempt, arm.spec): arm for arm in arms}
            outcomes = ((futures[done], done.result()) for done in as_completed(futures))
            _collect(outcomes, folders, failures, len(arms), progress)
    if failures:
        raise RunError(
            f"{len(failures)} of {len(arms)} runs failed; the others are recorded, and the same "
            f"command tries these again:\n" + "\n".join(failures)
        )
    return folders


def _collect(
    outcomes: Iterable[tuple[Arm, tuple[Path, str | None]]],
    folders: dict[Path, Arm],
    failures: list[str],
    total: int,
    progress: Progress,
) -> None:
    for done, (arm, (folder, error)) in enumerate(outcomes, start=1):
        name = f"{arm.label}, {arm.split or 'all splits'}, seed {arm.spec.seed}"
        if error is None:
            folders[folder] = arm
        else:
            failures.append(f"{name}: {error}")
        progress(done, total, name)


_SHARED = SharedModel()
"""The frozen model of this process; a worker keeps it from run to run."""


def _attempt(spec: JobSpec) -> tuple[Path, str | None]:
    """The run's folder, and its error if it failed."""
    run = Run(spec)
    try:
        run.execute(shared=_SHARED)
    except VeiltuneError as error:
        return run.folder.path, str(error)
    return run.folder.path, None


def _varied(spec: JobSpec, section: str, **changes: Any) -> JobSpec:
    """The job with some keys of one section changed, checked again."""
    tree = spec.model_dump()
    tree[section] |= changes
    return JobSpec.model_validate(tree)

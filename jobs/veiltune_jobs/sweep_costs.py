"""What a sweep would run, and how long it would take on this machine."""

import json
import os
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from veiltune_jobs.costs import Costs, measure
from veiltune_jobs.job import JobSpec
from veiltune_jobs.run import SharedModel
from veiltune_jobs.sweep import (
    Engine,
    SweepRun,
    distinct,
    folder_of,
    is_complete,
    plain,
    runs_of,
    said,
)
from veiltune_jobs.sweep_spec import Label, Plan
from veiltune_jobs.wiring import Corpus, encode_examples, load_corpus

START_S = 12.0
"""Of a worker process, until it has a model."""
NVFLARE_S = 35.0
"""That a run of NVFlare's simulator takes besides computing (docs/log.md)."""
RECORD_S = 4.0
"""Of a run for its data, its budget and its records."""


def dry_run(plan: Plan, output: Path, workers: int | None, engine: Engine) -> dict[str, Any]:
    """What `run_sweep` would do, as plain values. Nothing is written."""
    folder = folder_of(plan, output)
    runs = distinct(runs_of(plan, output, engine))
    todo = [run for run in runs if not is_complete(folder, run)]
    count = workers or (1 if engine == "nvflare" else os.cpu_count() or 1)
    return {
        "sweep": plan.name,
        "axes": {
            axis: {plain(label): n for label, n in _counts(plan, axis).items()}
            for axis in plan.axes
        },
        "seeds": list(plan.seeds),
        "points": len(plan.points),
        "runs": len(runs),
        "complete": len(runs) - len(todo),
        "todo": [{"run": run.id, "seed": run.seed, "labels": run.labels} for run in todo],
        "workers": count,
        "seconds": predicted_seconds(todo, count, engine),
    }


def predicted_seconds(runs: Sequence[SweepRun], workers: int, engine: Engine) -> float:
    """Seconds that these runs take, from a few steps of each kind of job among them."""
    if not runs:
        return 0.0
    shared, corpora, kinds = SharedModel(), dict[str, Corpus](), dict[str, Costs]()
    work = 0.0
    for run in runs:
        spec, kind, data = run.spec, _kind(run.spec), _data(run.spec)
        if data not in corpora:
            corpora[data] = load_corpus(spec)
        corpus = corpora[data]
        if kind not in kinds:
            model, _ = shared.get(spec)
            shard = encode_examples(spec, model, corpus, max(corpus.shards.values(), key=len))
            validation = encode_examples(spec, model, corpus, corpus.dataset.validation)
            kinds[kind] = measure(spec, model, shard, validation)
        sizes = [len(rows) for rows in corpus.shards.values()]
        at_once = len(sizes) if engine == "nvflare" else 1
        work += RECORD_S + kinds[kind].work_s(spec, sizes) / min(at_once, _cores())
        work += NVFLARE_S if engine == "nvflare" else 0.0
    at_work = min(workers, len(runs))
    return START_S + work / min(at_work, _cores())


def describe(numbers: dict[str, Any]) -> str:
    """The dry run for a person to read."""
    todo = numbers["todo"]
    lines = [
        f"{numbers['sweep']}: {numbers['points']} combinations, {numbers['runs']} runs; "
        f"{numbers['complete']} are complete, {len(todo)} to do",
        f"seeds: {', '.join(map(str, numbers['seeds']))}",
        *(
            f"{axis}: " + ", ".join(f"{label} ({n})" for label, n in counts.items())
            for axis, counts in numbers["axes"].items()
        ),
    ]
    lines += [f"  {run['run']}  {said(run['labels'])}, seed {run['seed']}" for run in todo]
    if todo:
        time = timedelta(seconds=round(numbers["seconds"]))
        lines.append(f"about {time} with {numbers['workers']} runs at the same time")
    return "\n".join(lines)


def _kind(spec: JobSpec) -> str:
    """Jobs of one kind take equally long for a step and an evaluation."""
    private = spec.privacy.example_level
    parts = (
        spec.backbone.model_dump(mode="json"),
        spec.adapter.model_dump(mode="json"),
        spec.training.batch_size,
        private.space if private.epsilon is not None else None,
        private.noise,
        spec.data.model_dump(mode="json", exclude={"partition"}),
    )
    return json.dumps(parts)


def _data(spec: JobSpec) -> str:
    """Jobs with equal data have sites of about equal sizes, whatever the seed."""
    return spec.data.model_dump_json() + str(spec.federation.alone_site) + spec.federation.arm


def _counts(plan: Plan, axis: str) -> Counter[Label]:
    return Counter(point.labels[axis] for point in plan.points)


def _cores() -> int:
    return os.cpu_count() or 1

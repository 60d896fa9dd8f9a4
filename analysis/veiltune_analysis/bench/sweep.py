"""Runs an hour of one sweep under both engines: worker processes against NVFlare's simulator.

The sample has the shape of the frontier's grid: with and without differential privacy, and both
encoders, ten rounds at three sites. The same runs are made under each engine, by the command line
in a process of its own, start-up included.
"""

import json
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from veiltune.errors import RunError
from veiltune_analysis.bench.federation import COMMAND, timed_command
from veiltune_analysis.runs import SUMMARY

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class SweepPlan:
    """How much is measured."""

    seeds: tuple[int, ...] = (1, 2)
    """Each adds four runs to the sample."""
    rounds: int = 10
    train: int = 1800
    """Training examples of all sites together."""
    held_out: int = 600
    """Validation examples, and as many for the test."""

    @classmethod
    def quick(cls) -> "SweepPlan":
        """The least that shows that both engines run; its ratio is not to be quoted."""
        return cls(seeds=(1, 2), rounds=1, train=120, held_out=12)


def bench_sweep(plan: SweepPlan, say: Say) -> dict[str, Any]:
    """Runs an hour of the sample under each engine, and how many times more the inline one makes.

    The simulator's sweep is made in two halves, before and after the inline one, so that a machine
    that slows down or recovers meanwhile slows both alike.

    Args:
        say: Is told what is being measured.

    Raises:
        RunError: a measured sweep failed.
    """
    with tempfile.TemporaryDirectory(prefix="veiltune-bench-") as name:
        folder = Path(name)
        half = (len(plan.seeds) + 1) // 2
        nvflare_s = _sweep(plan, folder, "nvflare", plan.seeds[:half], say)
        inline_s = _sweep(plan, folder, "inline", plan.seeds, say)
        if plan.seeds[half:]:
            nvflare_s += _sweep(plan, folder, "nvflare", plan.seeds[half:], say)
        adapters = {engine: _adapters(folder / engine) for engine in ("inline", "nvflare")}
    runs = len(adapters["inline"])
    return {
        **sweep_figures(nvflare_s, inline_s, runs),
        "runs": runs,
        "same_adapters": adapters["inline"] == adapters["nvflare"],
        **asdict(plan),
        "cores": os.cpu_count(),
    }


def sweep_figures(nvflare_s: float, inline_s: float, runs: int) -> dict[str, float]:
    """Runs an hour under each engine, from the seconds of all runs, and their ratio.

    >>> sweep_figures(nvflare_s=240.0, inline_s=60.0, runs=4)
    {'inline_runs_per_hour': 240.0, 'nvflare_runs_per_hour': 60.0, 'ratio': 4.0}
    """
    return {
        "inline_runs_per_hour": 3600.0 * runs / inline_s,
        "nvflare_runs_per_hour": 3600.0 * runs / nvflare_s,
        "ratio": nvflare_s / inline_s,
    }


def sample(plan: SweepPlan) -> tuple[dict[str, Any], dict[str, Any]]:
    """The job and the sweep that are measured, as their files say them."""
    job = {
        "name": "sample",
        "data": {
            "train": plan.train,
            "validation": plan.held_out,
            "test": plan.held_out,
            "partition": {"kind": "uniform", "sites": 3},
        },
        "training": {"batch_size": 32},
        "evaluation": {"local_model": True, "every": 5},
        "federation": {"rounds": plan.rounds},
        "privacy": {
            "example_level": {"clip_norm": 0.03, "noise": "seeded"},
            "encryption": {"scheme": "quantised", "bits": 16},
        },
    }
    sweep = {
        "name": "sample",
        "job": "job.yaml",
        "seeds": list(plan.seeds),
        "axes": {
            "privacy.example_level.epsilon": [2, None],
            "adapter.encoder": ["mlp", "lstm"],
        },
    }
    return job, sweep


def _sweep(plan: SweepPlan, folder: Path, engine: str, seeds: Sequence[int], say: Say) -> float:
    """Wall seconds of the sample with these seeds, by `veiltune sweep`."""
    said = ", ".join(map(str, seeds))
    say(f"seconds of the sample's runs, {plan.rounds} rounds each, {engine}: seeds {said}")
    for name, content in zip(("job", "sweep"), sample(plan), strict=True):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    # A folder for each half: a sweep's record names the seeds of its last command alone.
    output = folder / engine / f"seeds-{seeds[0]}"
    chosen = ",".join(map(str, seeds))
    arguments = [COMMAND, "sweep", str(folder / "sweep.yaml"), "--engine", engine, "--json"]
    return timed_command([*arguments, "--seeds", chosen, "--output", str(output)])


def _adapters(output: Path) -> list[str]:
    """The hashes of the shared prompts of all runs recorded in `output`, in one order.

    Raises:
        RunError: a sweep that ended well left a run without one.
    """
    found = [json.loads(path.read_text()) for path in output.glob(f"*/sample/*/{SUMMARY}")]
    hashes = [run["adapter_sha256"] for run in found]
    if not hashes or None in hashes:
        raise RunError(
            f"a measured sweep should have left runs with a prompt each in {output}, but it did "
            f"not; run the sweep by itself to see why"
        )
    return sorted(hashes)

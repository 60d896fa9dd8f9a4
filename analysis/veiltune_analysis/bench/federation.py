"""The federation's own costs: seconds a round in NVFlare's simulator, and runs an hour.

Everything is measured from outside, as a user meets it: the command line is started in a process of
its own, start-up included, and the folders it leaves are read.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from veiltune.errors import RunError
from veiltune_analysis.bench.timing import intervals

COMMAND = "veiltune_jobs"
BATCH = "veiltune_jobs.batch"
"""The modules of the command line; they stand above this package, so they are only started."""

# Three sites with hardly anything to do: one small step, measured in the first round and the last.
TRIVIAL = (
    "data.train=96",
    "data.validation=24",
    "data.test=24",
    "training.batch_size=8",
    "training.steps_per_round=1",
    "evaluation.every=1000000",
    "evaluation.local_model=false",
)
POLLING = {"ours": (), "NVFlare's default": ("runtime.poll_s=null",)}

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class FederationPlan:
    """How much is measured."""

    repeats: int = 3
    """Trivial jobs with each polling."""
    trivial_rounds: int = 12
    """Rounds of a trivial job; they have one interval less."""
    seeds: tuple[int, ...] = (1, 2, 3, 4)
    """The batch of runs: one for each seed under each engine."""
    rounds: int = 10
    """Rounds of each run of the batch."""

    @classmethod
    def quick(cls) -> "FederationPlan":
        """The least that shows the direction; its ratios are not to be quoted."""
        return cls(repeats=1, trivial_rounds=5, seeds=(1, 2), rounds=2)


def bench_federation(plan: FederationPlan, say: Say) -> dict[str, Any]:
    """Seconds a round with our polling and with NVFlare's, and the inline engine's speed-up.

    Args:
        say: Is told what is being measured.

    Raises:
        RunError: a measured job failed.
    """
    with tempfile.TemporaryDirectory(prefix="veiltune-bench-") as name:
        folder = Path(name)
        figures = {**_polling(plan, folder, say), **_engines(plan, folder, say)}
    return {**figures, **asdict(plan), "cores": os.cpu_count()}


def round_intervals(run: Path) -> list[float]:
    """Seconds between the ends of consecutive rounds of the run in this folder.

    A round ends when the server has written its sum. The first round, which holds the start of
    all processes, has no end before it and so is left out.
    """
    return intervals([path.stat().st_mtime for path in (run / "server").glob("sum-*.bin")])


def polling_figures(ours: Sequence[float], default: Sequence[float]) -> dict[str, float]:
    """The medians of seconds a round, and their ratio.

    >>> polling_figures([1.0, 1.0, 3.0], [4.0])
    {'seconds_per_round': 1.0, 'seconds_per_round_default': 4.0, 'ratio': 0.25}
    """
    seconds, seconds_default = median(ours), median(default)
    return {
        "seconds_per_round": seconds,
        "seconds_per_round_default": seconds_default,
        "ratio": seconds / seconds_default,
    }


def engine_figures(nvflare_s: float, inline_s: float, runs: int) -> dict[str, float]:
    """Runs an hour under each engine, from the seconds of the whole batch, and their ratio.

    >>> engine_figures(nvflare_s=240.0, inline_s=60.0, runs=4)
    {'runs_per_hour_nvflare': 60.0, 'runs_per_hour_inline': 240.0, 'inline_speedup': 4.0}
    """
    return {
        "runs_per_hour_nvflare": 3600.0 * runs / nvflare_s,
        "runs_per_hour_inline": 3600.0 * runs / inline_s,
        "inline_speedup": nvflare_s / inline_s,
    }


def _polling(plan: FederationPlan, folder: Path, say: Say) -> dict[str, float]:
    """Trivial jobs in the simulator, with the two pollings in turns."""
    seconds: dict[str, list[float]] = {polling: [] for polling in POLLING}
    for repeat in range(plan.repeats):
        for place, (polling, settings) in enumerate(POLLING.items()):
            say(
                f"seconds a round, three sites, one small step each, polling {polling}: "
                f"job {repeat + 1} of {plan.repeats}"
            )
            output = folder / f"polling-{repeat}-{place}"
            rounds = f"federation.rounds={plan.trivial_rounds}"
            _run_job(output, "nvflare", [rounds, *TRIVIAL, *settings])
            (run,) = _runs(output)
            seconds[polling] += round_intervals(run)
    return polling_figures(*seconds.values())


def _engines(plan: FederationPlan, folder: Path, say: Say) -> dict[str, Any]:
    """The same runs under both engines.

    Half of the simulator's runs come before the inline batch and half after it, so that a machine
    that slows down or recovers meanwhile slows both alike.
    """
    rounds = f"federation.rounds={plan.rounds}"
    half = (len(plan.seeds) + 1) // 2

    def simulated(seeds: Sequence[int]) -> float:
        spent = 0.0
        for seed in seeds:
            say(f"seconds of a run, {plan.rounds} rounds, NVFlare's simulator: seed {seed}")
            spent += _run_job(folder / "nvflare", "nvflare", [rounds, f"seed={seed}"])
        return spent

    nvflare_s = simulated(plan.seeds[:half])
    count = len(plan.seeds)
    say(f"seconds of {count} runs, {plan.rounds} rounds, inline engine in one process")
    inline_s = _run_batch(folder / "inline", plan.seeds, [rounds])
    nvflare_s += simulated(plan.seeds[half:])
    same = _adapters(folder / "nvflare") == _adapters(folder / "inline")
    return {**engine_figures(nvflare_s, inline_s, count), "same_adapters": same}


def _run_job(output: Path, engine: str, settings: Sequence[str]) -> float:
    """Wall seconds of the default job under these settings, started by `veiltune run`."""
    return timed_command([COMMAND, "run", *_job(output, settings), "--engine", engine, "--json"])


def _run_batch(output: Path, seeds: Sequence[int], settings: Sequence[str]) -> float:
    """Wall seconds of the default job with each of the seeds, inline, in one process."""
    chosen = ",".join(str(seed) for seed in seeds)
    return timed_command([BATCH, *_job(output, settings), "--seeds", chosen])


def _job(output: Path, settings: Sequence[str]) -> list[str]:
    """The arguments that name a job with every default, recorded in `output`."""
    output.mkdir(parents=True, exist_ok=True)
    spec = output / "job.yaml"
    spec.write_text("name: bench\n")
    every = [*settings, f"runtime.output={json.dumps(str(output))}", "runtime.progress=false"]
    return [str(spec), *(part for setting in every for part in ("--set", setting))]


def timed_command(arguments: Sequence[str]) -> float:
    """Wall seconds of a Python module run with `arguments`.

    Raises:
        RunError: it did not exit with 0.
    """
    start = time.perf_counter()
    # A session of its own: Ctrl-C reaches this process alone, which then asks the other to end,
    # once, and waits until it has cleared away its own processes.
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        errors = process.communicate()[1]
    except BaseException:
        process.terminate()
        process.communicate()
        raise
    if process.returncode != 0:
        said = (errors.strip().splitlines() or ["nothing on standard error"])[-1]
        raise RunError(
            f"a measured job should have ended well, but it ended with exit code "
            f"{process.returncode} and said: {said}"
        )
    return time.perf_counter() - start


def _runs(output: Path) -> list[Path]:
    """The folders of the runs recorded in `output`."""
    return [summary.parent for summary in output.glob("*/*/summary.json")]


def _adapters(output: Path) -> set[str]:
    """The hashes of the adapters of all runs recorded in `output`."""
    return {
        json.loads((run / "summary.json").read_text())["adapter_sha256"] for run in _runs(output)
    }

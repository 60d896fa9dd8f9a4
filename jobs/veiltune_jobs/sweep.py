"""Runs a sweep: each of its runs is an ordinary run, and is done once.

runs/<sweep>/
    sweep.json          its axes and points, and which run each point is
    <run id>/           the runs
    failures.jsonl      a line for each run that failed, with its error
    sessions/           a file for each process that worked on it: when, and how many runs
    summary.json        what came of it
    tables/             all runs as three tables

What is complete is skipped, what was cut goes on, what failed is recorded and tried again by the
next command. Several processes may work on one sweep: whoever holds a run's lock works on it.
"""

import json
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from veiltune.data import load_dataset
from veiltune.errors import Interrupted, OutputError, RunError
from veiltune.records import RunFolder, commit_of, dataset_sha256, read_json, write_json
from veiltune_analysis.tables import SWEEP, load_tables
from veiltune_jobs.faults import shown
from veiltune_jobs.job import JobSpec, run_id, with_absolute_paths
from veiltune_jobs.run import signals_interrupt
from veiltune_jobs.specification import validate
from veiltune_jobs.sweep_spec import Label, Labels, Plan
from veiltune_jobs.sweep_worker import Worker

Engine = Literal["inline", "nvflare"]
FAILURES, SESSIONS = "failures.jsonl", "sessions"
MOST_SHOWN = 5
WAIT_S = 1.0
"""Between two looks at runs that another process works on."""


@dataclass(frozen=True)
class SweepRun:
    """One run of a sweep, under the labels of the first point that needs it."""

    id: str
    labels: Labels
    seed: int
    spec: JobSpec


@dataclass
class Progress:
    """How far a sweep is, for whoever shows it."""

    total: int
    complete: int = 0
    failed: int = 0
    running: int = 0
    workers: int = 1
    seconds: list[float] = field(default_factory=list)
    """Of each run that this process completed."""

    def left_s(self) -> float | None:
        """Seconds until the end if the rest takes as long as what was run; None before any."""
        if not self.seconds:
            return None
        mean = sum(self.seconds) / len(self.seconds)
        return (self.total - self.complete - self.failed) * mean / self.workers


Tell = Callable[[Progress, str], None]
"""Called with the state of the sweep and what happened; empty while nothing did."""


def folder_of(plan: Plan, output: Path) -> Path:
    """Where the sweep is recorded."""
    return output.expanduser().absolute() / plan.name


def runs_of(plan: Plan, output: Path, engine: Engine = "inline") -> list[SweepRun]:
    """The run of every point, in order."""
    data: dict[str, str] = {}
    runs = []
    for point in plan.points:
        spec = _for_sweep(point.spec, output, engine)
        key = f"{point.seed} {spec.data.model_dump_json(exclude={'partition'})}"
        if key not in data:
            data[key] = dataset_sha256(load_dataset(spec.data, point.seed))
        runs.append(SweepRun(run_id(spec, data[key]), point.labels, point.seed, spec))
    return runs


def distinct(runs: Sequence[SweepRun]) -> list[SweepRun]:
    """The runs without those that another point has, too."""
    return list({run.id: run for run in reversed(runs)}.values())[::-1]


def is_complete(folder: Path, run: SweepRun) -> bool:
    """Whether the run is recorded as complete."""
    try:
        return RunFolder(folder / run.id).status() == "complete"
    except OutputError:
        return False


def run_sweep(
    plan: Plan,
    output: Path,
    *,
    workers: int | None = None,
    engine: Engine = "inline",
    tell: Tell = lambda progress, line: None,
) -> Path:
    """Every run of the sweep is complete and its tables are written; returns its folder.

    Under `inline` each worker is a process that loads the frozen model once, by default one a
    core; under `nvflare`, whose runs have processes of their own, there is one.

    Raises:
        RunError: some runs failed; they are named in `failures.jsonl`, the others are recorded.
        Interrupted: the user stopped it; the same command goes on.
        OutputError: the folder cannot be written.
    """
    folder = folder_of(plan, output)
    runs = runs_of(plan, output, engine)
    _begin(folder, plan, runs)
    count = workers or (1 if engine == "nvflare" else os.cpu_count() or 1)
    session = _Session(folder, distinct(runs), min(count, len(runs)), engine, tell)
    try:
        with signals_interrupt():
            session.work()
    except KeyboardInterrupt:
        session.stop()
        _end(folder, plan, distinct(runs), session)
        raise Interrupted(
            f"stopped after {session.progress.complete} of {session.progress.total} runs; they "
            f"are in {folder}, and the same command goes on from there"
        ) from None
    _end(folder, plan, distinct(runs), session)
    if session.failures:
        worst = "".join(f"\n  {line}" for line in session.failures[:MOST_SHOWN])
        raise RunError(
            f"{len(session.failures)} of {len(distinct(runs))} runs failed; the others are "
            f"recorded in {folder}, {FAILURES} there says why, and the same command tries these "
            f"again{worst}"
        )
    return folder


class _Session:
    """What one process does for a sweep."""

    def __init__(
        self, folder: Path, runs: Sequence[SweepRun], workers: int, engine: Engine, tell: Tell
    ) -> None:
        self.progress = Progress(len(runs), workers=workers)
        self.failures: list[str] = []
        self._folder = folder
        self._todo = deque(runs)
        self._engine = engine
        self._tell = tell
        self._state = threading.Lock()
        self._stopped = threading.Event()
        self._workers = [Worker() for _ in range(workers)]
        self._started = time.time()
        self._file = folder / SESSIONS / f"{int(self._started)}-{os.getpid()}.json"
        self._file.parent.mkdir(exist_ok=True)

    def work(self) -> None:
        """No run is left to do."""
        with ThreadPoolExecutor(len(self._workers)) as threads:
            try:
                loops = [threads.submit(self._loop, worker) for worker in self._workers]
                while not all(loop.done() for loop in loops):
                    time.sleep(0.2)  # where a signal finds this thread
                    self._say("")
            except BaseException:
                self.stop()
                raise
            for loop in loops:
                loop.result()
        self.stop()

    def stop(self) -> None:
        """No worker is left; a run that was going is recorded as interrupted."""
        self._stopped.set()
        for worker in self._workers:
            worker.stop()

    def _loop(self, worker: Worker) -> None:
        while not self._stopped.is_set():
            try:
                run = self._todo.popleft()
            except IndexError:
                return
            if is_complete(self._folder, run):
                self._count(run, None, None)
            elif error := self._failed_elsewhere(run):
                self._count(run, error, None)
            else:
                self._attempt(worker, run)

    def _attempt(self, worker: Worker, run: SweepRun) -> None:
        with self._state:
            self.progress.running += 1
        outcome = worker.run(run.spec, self._folder / run.id)
        with self._state:
            self.progress.running -= 1
        if outcome.status == "elsewhere":
            self._todo.append(run)
            self._stopped.wait(WAIT_S)
        elif outcome.status == "failed":
            self._record(run, outcome.error)
            self._count(run, outcome.error, None)
        elif outcome.status == "complete":
            self._count(run, None, outcome.seconds)

    def _count(self, run: SweepRun, error: str | None, seconds: float | None) -> None:
        name = f"{said(run.labels)}, seed {run.seed}"
        with self._state:
            if error is None:
                self.progress.complete += 1
            else:
                self.progress.failed += 1
                self.failures.append(f"{name}: {error}")
            if seconds is not None:
                self.progress.seconds.append(seconds)
            write_json(self._file, self._as_json())
        if error is not None:
            self._say(f"failed: {name}: {error}")
        elif seconds is not None:
            self._say(f"complete: {name} ({seconds:.0f} s)")

    def _say(self, line: str) -> None:
        with self._state:
            self._tell(self.progress, line)

    def _as_json(self) -> dict[str, Any]:
        return {
            "started": self._started,
            "seconds": round(time.time() - self._started, 1),
            "runs": len(self.progress.seconds),
            "workers": self.progress.workers,
            "engine": self._engine,
        }

    def _record(self, run: SweepRun, error: str) -> None:
        """One write of one line, so that lines of several processes do not mix."""
        entry = {
            "run": run.id,
            "seed": run.seed,
            "labels": run.labels,
            "error": error,
            "time": time.time(),
        }
        with (self._folder / FAILURES).open("ab", buffering=0) as file:
            file.write(json.dumps(entry).encode() + b"\n")

    def _failed_elsewhere(self, run: SweepRun) -> str | None:
        """The error of a run that another process has tried while this one works."""
        for entry in read_failures(self._folder):
            if entry["run"] == run.id and entry["time"] >= self._started:
                return str(entry["error"])
        return None


def read_failures(folder: Path) -> list[dict[str, Any]]:
    """The lines of `failures.jsonl`, oldest first."""
    path = folder / FAILURES
    entries = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            entries.append(json.loads(line))
        except ValueError:
            continue  # the line being written when a process was cut
    return entries


def said(labels: Labels) -> str:
    """The labels for a person, keys by their last part."""
    parts = [f"{axis.rpartition('.')[2]} {plain(label)}" for axis, label in labels.items()]
    return ", ".join(parts) or "the job"


def plain(label: Label) -> str:
    """A label as the sweep's file spells it, without quotes."""
    return label if isinstance(label, str) else shown(label)


def _begin(folder: Path, plan: Plan, runs: Sequence[SweepRun]) -> None:
    manifest = {
        "name": plan.name,
        "figure": plan.figure,
        "small": plan.small,
        "seeds": list(plan.seeds),
        "axes": {axis: list(labels) for axis, labels in plan.axes.items()},
        "points": [{"run": run.id, "seed": run.seed, "labels": run.labels} for run in runs],
    }
    path = folder / SWEEP
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if _recorded(path) != manifest:
            write_json(path, manifest)
    except OSError as error:
        raise OutputError(
            f"a sweep is recorded in {folder}, which cannot be written ({error.strerror}); name "
            f"another folder with --output"
        ) from error


def _recorded(path: Path) -> dict[str, Any] | None:
    """What `sweep.json` says; None where it is missing or damaged, and is written anew."""
    try:
        return read_json(path)
    except OutputError:
        return None


def _end(folder: Path, plan: Plan, runs: Sequence[SweepRun], session: _Session) -> None:
    """`summary.json` and the tables say what is recorded by now."""
    done = sum(is_complete(folder, run) for run in runs)
    sessions = [read_json(path) for path in sorted((folder / SESSIONS).glob("*.json"))]
    seconds = sum(each["seconds"] for each in sessions)
    ran = sum(each["runs"] for each in sessions)
    write_json(
        folder / "summary.json",
        {
            "sweep": plan.name,
            "figure": plan.figure,
            "points": len(plan.points),
            "runs": len(runs),
            "complete": done,
            "failed": len(session.failures),
            "seconds": round(seconds, 1),
            "runs_per_hour": round(3600 * ran / seconds, 1) if seconds else None,
            "workers": session.progress.workers,
            "cores": os.cpu_count(),
            "engine": sorted({each["engine"] for each in sessions}),
            "commit": commit_of(Path(__file__).parent),
        },
    )
    if done:
        load_tables(folder).write(folder / "tables")


def _for_sweep(spec: JobSpec, output: Path, engine: Engine) -> JobSpec:
    """The job as a sweep runs it: quietly, and with its sites in turn where runs are not."""
    changes: dict[str, Any] = {"engine": engine, "output": output, "progress": False}
    if engine == "inline":
        changes["parallel_sites"] = 1
    tree = spec.model_dump(mode="json")
    tree["runtime"] |= changes
    return with_absolute_paths(validate(JobSpec, tree))  # inline knows less than NVFlare

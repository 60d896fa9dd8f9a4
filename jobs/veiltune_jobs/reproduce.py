"""Makes figures from nothing: runs the sweep behind each, then draws from the records."""

import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from veiltune.errors import Interrupted, OutputError, RunError, SpecificationError
from veiltune.records import commit_of, write_json
from veiltune_analysis.bench.encryption_sizes import SizesPlan, bench_sizes
from veiltune_analysis.figures import load_costs
from veiltune_analysis.figures.encryption_cost import RECORD
from veiltune_jobs.figures import (
    ACCOUNTANTS,
    ENCRYPTION_COST,
    FIGURES,
    FRONTIER,
    Book,
    NotDrawn,
    draw,
)
from veiltune_jobs.sweep import Tell, distinct, folder_of, is_complete, run_sweep, runs_of
from veiltune_jobs.sweep_costs import predicted_seconds
from veiltune_jobs.sweep_spec import Plan, load_sweep_spec

SWEEPS = Path(__file__).parent / "sweeps"
COST_S = {True: 20.0, False: 240.0}
"""Of measuring encryption, small and in full: rough guesses, not measured."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Reproduction:
    """What it takes to make some figures."""

    figures: tuple[str, ...]
    plans: tuple[Plan, ...]
    measures_costs: bool
    """Whether encryption is measured, which no record spares."""
    small: bool
    runs: int
    """That are not recorded yet."""
    seconds: float
    """Predicted for all of it."""

    def text(self) -> str:
        """How long it takes, for a person to read before it begins."""
        names = ", ".join(self.figures)
        work = f"{self.runs} runs" + (" and a measurement" if self.measures_costs else "")
        time = timedelta(seconds=round(self.seconds))
        return f"{names}: {work} to do, about {time} on this machine"


def prepare(figures: Sequence[str], small: bool, records: Path) -> Reproduction:
    """What it takes to make `figures`, all of them where none is named, as far as not recorded.

    Raises:
        SpecificationError: a figure that is not in the book.
    """
    if unknown := [name for name in figures if name not in (*FIGURES, "all")]:
        raise SpecificationError(
            [f"expected figures among {', '.join(FIGURES)} or all, got {', '.join(unknown)}"]
        )
    chosen = FIGURES if not figures or "all" in figures else tuple(dict.fromkeys(figures))
    sweeps = dict.fromkeys(
        FRONTIER if name == ACCOUNTANTS else name for name in chosen if name != ENCRYPTION_COST
    )
    plans = tuple(load_sweep_spec(SWEEPS / f"{name}.yaml", small=small) for name in sweeps)
    todo = [
        run
        for plan in plans
        for run in distinct(runs_of(plan, records))
        if not is_complete(folder_of(plan, records), run)
    ]
    seconds = predicted_seconds(todo, os.cpu_count() or 1, "inline")
    measures = ENCRYPTION_COST in chosen and not _is_measured(_costs_folder(records, small))
    seconds += COST_S[small] if measures else 0.0
    return Reproduction(chosen, plans, measures, small, len(todo), seconds)


def reproduce(
    what: Reproduction, records: Path, output: Path, workers: int | None, tell: Tell, say: Say
) -> Book:
    """The figures are in `output`; what they needed is recorded in `records`.

    A run that fails does not keep the others from being drawn; the book says so.

    Raises:
        OutputError: nothing could be drawn.
        Interrupted: the user stopped it; the same command goes on.
    """
    failures = []
    for plan in what.plans:
        say(f"sweep {plan.name}")
        try:
            run_sweep(plan, records, workers=workers, tell=tell)
        except Interrupted:
            raise
        except RunError as error:
            failures.append(NotDrawn(folder_of(plan, records), str(error)))
    costs = []
    if ENCRYPTION_COST in what.figures:
        costs.append(_costs_folder(records, what.small))
        if what.measures_costs:
            _measure(costs[0], what.small, say)
    sweeps = [folder_of(plan, records) for plan in what.plans]
    book = draw(sweeps, costs, output, what.figures)
    return replace(book, skipped=(*book.skipped, *failures))


def _costs_folder(records: Path, small: bool) -> Path:
    return records / (f"{ENCRYPTION_COST}-small" if small else ENCRYPTION_COST)


def _is_measured(folder: Path) -> bool:
    try:
        load_costs(folder)
    except OutputError:
        return False
    return True


def _measure(folder: Path, small: bool, say: Say) -> None:
    plan = SizesPlan.small() if small else SizesPlan()
    rows = bench_sizes(plan, say)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"expected to record a measurement in {folder}, got {error.strerror}; name another "
            f"folder"
        ) from error
    write_json(
        folder / RECORD,
        {
            "rows": rows,
            "small": small,
            "commit": commit_of(Path(__file__).parent),
            "repeats": plan.repeats,
            "machine": f"{os.cpu_count()} cores of {platform.machine()}",
        },
    )

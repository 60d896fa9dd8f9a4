"""`veiltune sweep`."""

import json
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from veiltune.errors import SpecificationError
from veiltune_jobs.seeds import parse_seeds

if TYPE_CHECKING:  # these load torch, which takes seconds that no other command should wait
    from veiltune_jobs.sweep import Engine, Progress


def sweep(
    spec: Annotated[Path, typer.Argument(metavar="SWEEP", help="A sweep's YAML file.")],
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the job."),
    ] = None,
    seeds: Annotated[str | None, typer.Option(help="Other seeds, such as 1,2,3.")] = None,
    small: Annotated[bool, typer.Option("--small", help="The sweep's small version.")] = False,
    engine: Annotated[str, typer.Option(help="inline or nvflare.")] = "inline",
    workers: Annotated[int | None, typer.Option(min=1, help="Runs at the same time.")] = None,
    output: Annotated[Path, typer.Option(help="Where sweeps are recorded.")] = Path("runs"),
    only_list: Annotated[
        bool, typer.Option("--dry-run", help="List what would run, and how long it would take.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Run a job along axes and over seeds; what is done is skipped, what was cut goes on."""
    from veiltune.records import read_json
    from veiltune_jobs.sweep import run_sweep
    from veiltune_jobs.sweep_costs import describe, dry_run
    from veiltune_jobs.sweep_spec import load_sweep_spec

    plan = load_sweep_spec(spec, overrides or [], parse_seeds(seeds), small)
    chosen = parse_engine(engine)
    if only_list:
        numbers = dry_run(plan, output, workers, chosen)
        print(json.dumps(numbers) if as_json else describe(numbers))
        return
    with SweepProgress(plan.name) as progress:
        folder = run_sweep(plan, output, workers=workers, engine=chosen, tell=progress.tell)
    summary = read_json(folder / "summary.json")
    if as_json:
        print(json.dumps(summary))
        return
    print(
        f"{summary['sweep']}: {summary['complete']} of {summary['runs']} runs complete, "
        f"{summary['points']} combinations; {timedelta(seconds=round(summary['seconds']))} in all"
    )
    print(f"sweep:  {folder}")
    print(f"tables: {folder / 'tables'}")


def parse_engine(text: str) -> "Engine":
    """The engine of that name.

    Raises:
        SpecificationError: there is none.
    """
    if text == "inline":
        return "inline"
    if text == "nvflare":
        return "nvflare"
    raise SpecificationError([f"--engine must be inline or nvflare, got {text}"])


class SweepProgress:
    """A line on standard error: runs done, failed and going, and the time left.

    Where standard error is not a terminal it prints a plain line for each run.
    """

    def __init__(self, name: str) -> None:
        self.console = Console(stderr=True, highlight=False)
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.completed}/{task.total}  {task.fields[note]}"),
            TimeElapsedColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self._task = self._bar.add_task(name, total=None, note="starting")

    def __enter__(self) -> "SweepProgress":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def tell(self, progress: "Progress", line: str) -> None:
        """Shows where a sweep is, and says `line` if there is one."""
        done = progress.complete + progress.failed
        left = progress.left_s()
        parts = [f"{progress.running} running"]
        parts += [f"{progress.failed} failed"] if progress.failed else []
        parts += [f"about {timedelta(seconds=round(left))} left"] if left else []
        self._bar.update(self._task, completed=done, total=progress.total, note=", ".join(parts))
        if line:
            counted = f"{done}/{progress.total} " if not self.console.is_terminal else ""
            time_left = f"; {parts[-1]}" if left and not self.console.is_terminal else ""
            self.console.print(f"{counted}{line}{time_left}", markup=False)

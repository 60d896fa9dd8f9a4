"""`veiltune figures` and `veiltune reproduce`."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

OutputOption = Annotated[Path, typer.Option("-o", "--output", help="Where figures are written.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def figures(
    records: Annotated[Path, typer.Argument(metavar="RECORDS", help="A folder of sweeps.")],
    output: OutputOption = Path("figures"),
    as_json: JsonOption = False,
) -> None:
    """Draw every figure that recorded sweeps give; nothing is run."""
    from veiltune_jobs.figures import draw_book

    book = draw_book(records, output)
    print(json.dumps(book.as_json()) if as_json else book.text())


def reproduce(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[FIGURE]...", help="Figures; all unless named.")
    ] = None,
    small: Annotated[
        bool, typer.Option("--small", help="Tiny versions, which show that all can be made.")
    ] = False,
    output: OutputOption = Path("figures"),
    records: Annotated[Path, typer.Option(help="Where sweeps are recorded.")] = Path("runs"),
    workers: Annotated[int | None, typer.Option(min=1, help="Runs at the same time.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Make figures from nothing: say how long it takes, run what is not recorded, draw."""
    from veiltune_jobs.reproduce import prepare
    from veiltune_jobs.reproduce import reproduce as make
    from veiltune_jobs.sweep_cli import SweepProgress

    what = prepare(names or [], small, records)
    _say(what.text())
    with SweepProgress("figures") as progress:
        book = make(what, records, output, workers, progress.tell, _say)
    print(json.dumps(book.as_json()) if as_json else book.text())
    if book.skipped:
        raise typer.Exit(1)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)

"""The command line.

Standard output carries results only; progress and errors go to standard error. With `--json` the
last line of standard output is one JSON object and nothing else is there.
"""

import json
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer

from veiltune import __version__
from veiltune.errors import VeiltuneError
from veiltune_jobs.bench_cli import bench_app
from veiltune_jobs.figures_cli import figures, reproduce
from veiltune_jobs.ledger_cli import ledger_app
from veiltune_jobs.sweep_cli import sweep

app = typer.Typer(
    name="veiltune",
    help="Federated prompt tuning of a frozen language model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.add_typer(bench_app, name="bench")
app.add_typer(ledger_app, name="ledger")
app.command()(sweep)
app.command()(figures)
app.command()(reproduce)

SpecArgument = Annotated[Path, typer.Argument(metavar="SPEC", help="A job's YAML file.")]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Override a key, such as training.batch_size=8."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]

# The keys of `run --json`, fixed: other programs read them.
RUN_KEYS = (
    "run",
    "engine",
    "sites",
    "rounds",
    "val_loss_first",
    "val_loss",
    "val_accuracy",
    "upload_bytes_per_site_round",
    "download_bytes_per_site_round",
    "epsilon",
    "encryption",
    "adapter_sha256",
    "seconds",
)


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Federated prompt tuning of a frozen language model."""
    if version:
        print(__version__)
        raise typer.Exit


@app.command()
def run(
    spec: SpecArgument,
    overrides: SetOption = None,
    engine: Annotated[str | None, typer.Option(help="nvflare or inline.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Discard an earlier run.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Run a job; a run that was cut goes on, and one that is complete is shown again."""
    from veiltune_jobs.job import load_job
    from veiltune_jobs.progress import RunProgress
    from veiltune_jobs.run import Run

    chosen = [] if engine is None else [f"runtime.engine={engine}"]
    job = load_job(spec, [*(overrides or []), *chosen])
    this = Run(job)
    done_before = this.folder.status() == "complete" and not fresh
    show = job.runtime.progress and not done_before
    with RunProgress(this.folder, job.sites(), job.federation.rounds, show) as progress:
        summary = this.execute(fresh=fresh, tick=progress.tick)
    if as_json:
        print(json.dumps({key: summary[key] for key in RUN_KEYS}))
        return
    if done_before:
        print("This run was complete already; --fresh repeats it.")
    _print_summary(summary, this.folder.path)


@app.command()
def plan(spec: SpecArgument, overrides: SetOption = None, as_json: JsonOption = False) -> None:
    """Show what a job will cost, before it runs."""
    from veiltune_jobs.job import load_job
    from veiltune_jobs.plan import describe
    from veiltune_jobs.plan import plan as make_plan

    numbers = make_plan(load_job(spec, overrides or []))
    print(json.dumps(numbers) if as_json else describe(numbers))


@app.command()
def report(
    folder: Annotated[
        Path, typer.Argument(metavar="RUN_OR_SWEEP", help="The folder of a run or a sweep.")
    ],
) -> None:
    """Write the report of a run or a sweep from its records."""
    from veiltune_analysis.report import write_report

    print(_shown(write_report(folder).absolute()))


@app.command("server-view")
def server_view(run: RunArgument, as_json: JsonOption = False) -> None:
    """Show what a run's server received and stored, and whether it can be read."""
    from veiltune_jobs.server_view import describe, server_view

    view = server_view(run)
    print(json.dumps(view) if as_json else describe(view))


@app.command()
def export(
    run: RunArgument,
    output: Annotated[Path, typer.Option("-o", "--output", help="The folder to write.")],
    to: Annotated[str, typer.Option("--to", help="The format: peft.")] = "peft",
    site: Annotated[str | None, typer.Option(help="A site's own prompt.")] = None,
) -> None:
    """Copy a run's prompt into a folder that PEFT loads."""
    from veiltune_jobs.export import export as export_adapter

    print(_shown(export_adapter(run, output, to, site).absolute()))


@app.command()
def predict(
    run: RunArgument,
    text: Annotated[list[str] | None, typer.Option(help="A text; may be repeated.")] = None,
    file: Annotated[Path | None, typer.Option(help="A file with a text a line.")] = None,
    site: Annotated[str | None, typer.Option(help="Use this site's own prompt.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Label texts with a run's prompt."""
    from dataclasses import asdict

    from veiltune_jobs.predict import predict as label
    from veiltune_jobs.predict import read_texts

    texts = [*(text or []), *(read_texts(file) if file else [])]
    if not texts:
        raise typer.BadParameter("give --text or --file")
    predictions = label(run, texts, site)
    if as_json:
        print(json.dumps({"predictions": [asdict(prediction) for prediction in predictions]}))
        return
    for prediction in predictions:
        share = prediction.probabilities[prediction.label]
        print(f"{prediction.label}\t{share:.3f}\t{prediction.text}")


def _print_summary(summary: dict[str, Any], folder: Path) -> None:
    synthetic = " (synthetic data)" if summary["synthetic"] else ""
    print(
        f"{summary['job']}, {summary['arm']}, {len(summary['sites'])} site(s), "
        f"{summary['rounds']} rounds on {summary['data']}{synthetic}"
    )
    print(
        f"validation loss {_number(summary['val_loss_first'])} -> {_number(summary['val_loss'])}, "
        f"accuracy {_number(summary['val_accuracy'])}; test loss {_number(summary['test_loss'])}, "
        f"accuracy {_number(summary['test_accuracy'])}"
    )
    print(
        f"{summary['upload_bytes_per_site_round']} bytes up and "
        f"{summary['download_bytes_per_site_round']} down per site and round; "
        f"{summary['seconds']:.0f} s"
    )
    seeded = " (not private: seeded noise)" if summary["seeded_noise"] else ""
    print(f"epsilon spent: {_epsilon(summary['epsilon'])}{seeded}")
    print(f"encryption: {summary['encryption'] or 'none'}")
    if summary["clipped"]:
        print(
            f"{summary['clipped']} values were out of range when they were sent; what was cut off "
            f"followed in later rounds"
        )
    print(f"run:    {_shown(folder)}")
    print(f"report: {_shown(folder / 'report.html')}")


def _epsilon(by_site: dict[str, float] | None) -> str:
    if by_site is None:
        return "none"
    return ", ".join(f"{site} {spent:.3f}" for site, spent in by_site.items())


def _number(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.3f}"


def _shown(path: Path) -> Path:
    """The path as the user would type it, where it is below the working directory."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def main(arguments: list[str] | None = None) -> None:
    """Runs the command; every error is a sentence on standard error and an exit code.

    0 success, 1 our failure, 2 the user's mistake, 130 interrupted.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        app(args=arguments)
    except VeiltuneError as error:
        if debug:
            traceback.print_exc()
        sys.exit(_fail(str(error), error.exit_code))
    except Exception as error:
        if debug:
            traceback.print_exc()
        text = f"something in veiltune failed ({type(error).__name__}: {error}); "
        sys.exit(_fail(text + "--debug shows where, and we would like to know", 1))


def _fail(message: str, code: int) -> int:
    print(f"veiltune: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    main()

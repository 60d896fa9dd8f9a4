"""`veiltune bench`: how fast veiltune is, as ratios measured within one run."""

import json
import sys
from typing import Annotated, Any

import typer

bench_app = typer.Typer(
    name="bench",
    help="Measure how fast veiltune is on this machine.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@bench_app.command()
def step(
    repeats: Annotated[int, typer.Option(min=1, help="Measured steps of each kind.")] = 7,
    small: Annotated[bool, typer.Option("--small", help="A tiny model, for a look.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Measure one p-tuning step against the same step through PEFT."""
    from veiltune_analysis.bench import StepShape, bench_step

    shape = StepShape.small() if small else StepShape()
    _say(
        f"CPU seconds of one p-tuning step, ours and PEFT's in turns: {shape.layers} layers of "
        f"width {shape.width}, batch {shape.batch}, {shape.text_tokens} tokens, one thread"
    )
    _show(bench_step(shape, repeats), as_json)


@bench_app.command()
def federation(
    repeats: Annotated[
        int | None, typer.Option(min=1, help="Jobs with each polling; 3 unless given.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Few short runs, for a look.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Measure the simulator's seconds a round, and the inline engine's runs an hour."""
    from dataclasses import replace

    from veiltune_analysis.bench import FederationPlan, bench_federation

    plan = FederationPlan.quick() if quick else FederationPlan()
    plan = plan if repeats is None else replace(plan, repeats=repeats)
    _show(bench_federation(plan, _say), as_json)


@bench_app.command()
def sweep(
    quick: Annotated[
        bool, typer.Option("--quick", help="Few short runs, for a look; not to be quoted.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Measure runs an hour of one sweep, inline against NVFlare's simulator."""
    from veiltune_analysis.bench import SweepPlan, bench_sweep

    _show(bench_sweep(SweepPlan.quick() if quick else SweepPlan(), _say), as_json)


@bench_app.command()
def encryption(
    repeats: Annotated[
        int | None, typer.Option(min=1, help="Measured turns of each stage; 5 unless given.")
    ] = None,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="Small updates, for a look; not to be quoted."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Measure the encrypted exchange against NVFlare's homomorphic encryption."""
    from dataclasses import replace

    from veiltune_analysis.bench import EncryptionPlan, bench_encryption, table

    plan = EncryptionPlan.quick() if quick else EncryptionPlan()
    plan = plan if repeats is None else replace(plan, repeats=repeats)
    if quick:
        _say("small updates, for a look: the ratios of --quick are not to be quoted")
    figures = bench_encryption(plan, _say)
    if as_json:
        _show(figures, as_json)
        return
    for rows in ("rows", "cpu_seconds", "nvflare"):
        print(f"{rows}\n{table(figures.pop(rows))}\n")
    print("streamed")
    _show(figures.pop("streamed"), as_json)
    print()
    _show(figures, as_json)


@bench_app.command()
def clipping(
    repeats: Annotated[
        int | None, typer.Option(min=1, help="Measured steps of each kind; 5 unless given.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="A tiny model, for a look; not to be quoted.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Measure the private step against the plain one, and against Opacus."""
    from dataclasses import replace

    from veiltune_analysis.bench import ClippingPlan, bench_clipping, table

    plan = ClippingPlan.quick() if quick else ClippingPlan.full()
    plan = plan if repeats is None else replace(plan, repeats=repeats)
    figures = bench_clipping(plan, _say)
    if as_json:
        _show(figures, as_json)
        return
    print(f"{table(figures.pop('rows'))}\n")
    _show(figures, as_json)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _show(figures: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(figures))
        return
    width = max(len(name) for name in figures)
    for name, value in figures.items():
        print(f"{name:<{width}}  {_shown(value)}")


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)

"""`veiltune ledger`: what a site has spent of its privacy, and what is left."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from veiltune_privacy.dp.accounting import Release
    from veiltune_privacy.dp.ledger import Entry, Ledger

ledger_app = typer.Typer(
    name="ledger",
    help="Read the ledger of what a site has spent of its privacy.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

LedgerArgument = Annotated[Path, typer.Argument(metavar="LEDGER", help="A site's ledger file.")]
DeltaOption = Annotated[float | None, typer.Option(help="Another delta than the one charged last.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]

MOST_ROUNDS = 1_000_000
"""More rounds than any plan asks about."""


@ledger_app.command()
def show(path: LedgerArgument, delta: DeltaOption = None, as_json: JsonOption = False) -> None:
    """Show every charge, and what they spend together."""
    from veiltune_privacy.dp.ledger import Ledger

    ledger = Ledger.at(path)
    entries = ledger.entries()
    numbers = _totals(ledger, entries, delta)
    if as_json:
        print(json.dumps({**numbers, "entries": [asdict(entry) for entry in entries]}))
        return
    print(_heading(numbers))
    for entry in entries:
        release = entry.release
        print(
            f"{entry.number:>5}  {entry.time}  {entry.job}  round {entry.round_index}: "
            f"{release.steps} steps, noise {release.noise_multiplier:g}, "
            f"rate {release.sample_rate:.4g}, {entry.mechanism}"
            + (f" ({entry.note})" if entry.note else "")
        )
    for job, spent in numbers["jobs"].items():
        print(f"{job}: epsilon {spent['epsilon']:.4g} in {spent['charges']} charges")
    print(_total(numbers))


@ledger_app.command()
def verify(path: LedgerArgument, as_json: JsonOption = False) -> None:
    """Check that no charge was changed, removed or moved."""
    from veiltune_privacy.dp.ledger import Ledger

    ledger = Ledger.at(path)
    entries = ledger.entries()
    head = entries[-1].hash if entries else None
    notes = [f"charge {entry.number}: {entry.note}" for entry in entries if entry.note]
    if as_json:
        print(json.dumps({"whole": True, "charges": len(entries), "head": head, "notes": notes}))
        return
    print(f"{path} is whole: {len(entries)} charges, the last with the hash {head or 'none'}")
    for note in notes:
        print(note)


@ledger_app.command()
def plan(
    path: LedgerArgument,
    epsilon: Annotated[float, typer.Option(help="What the site may spend in all.")],
    noise_multiplier: Annotated[
        float, typer.Option("--noise", help="The noise of a round to plan, over the clip norm.")
    ],
    sample_rate: Annotated[
        float, typer.Option("--rate", help="The share of the examples in a batch, on average.")
    ],
    steps: Annotated[int, typer.Option(help="The steps of a round.")],
    delta: DeltaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show how many more rounds fit a budget."""
    from veiltune_privacy.dp.accounting import Release
    from veiltune_privacy.dp.ledger import Ledger

    ledger = Ledger.at(path)
    entries = ledger.entries()
    numbers = _totals(ledger, entries, delta)
    a_round = Release(noise_multiplier, sample_rate, steps)
    rounds, reached = rounds_left(
        [entry.release for entry in entries], a_round, numbers["delta"], epsilon
    )
    if as_json:
        wish = {"budget_epsilon": epsilon, "rounds_left": rounds, "epsilon_then": reached}
        print(json.dumps({**numbers, **wish}))
        return
    print(_heading(numbers))
    print(_total(numbers))
    more = "or more " if rounds == MOST_ROUNDS else ""
    print(
        f"{rounds} {more}rounds of {steps} steps at noise {noise_multiplier:g} and rate "
        f"{sample_rate:.4g} are left of epsilon {epsilon:g}, and bring it to {reached:.4g}"
    )


def rounds_left(
    spent: Sequence["Release"], a_round: "Release", delta: float, epsilon: float
) -> tuple[int, float]:
    """How many rounds still fit `epsilon`, at most `MOST_ROUNDS`, and what is spent after them."""
    from veiltune_privacy.dp.accounting import Release, prv_epsilon, rdp_epsilon

    def after(rounds: int) -> list[Release]:
        steps = a_round.steps * rounds
        more = [Release(a_round.noise_multiplier, a_round.sample_rate, steps)] if rounds else []
        return [*spent, *more]

    def fits(rounds: int) -> bool:
        """As a ledger decides: by the fast bound where that is enough."""
        releases = after(rounds)
        return (
            rdp_epsilon(releases, delta) <= epsilon
            or prv_epsilon(releases, delta).epsilon <= epsilon
        )

    low, high = 0, 1
    while high <= MOST_ROUNDS and fits(high):
        low, high = high, 2 * high
    high = min(high, MOST_ROUNDS + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low, prv_epsilon(after(low), delta).epsilon


def _totals(ledger: "Ledger", entries: Sequence["Entry"], delta: float | None) -> dict[str, Any]:
    """What was spent, in all and by job; `delta` is the last charge's unless given."""
    from veiltune_privacy.dp.accounting import default_delta, prv_epsilon

    if delta is None:
        delta = entries[-1].delta if entries else default_delta(ledger.examples)
    spent = prv_epsilon([entry.release for entry in entries], delta)
    jobs = {}
    for job in dict.fromkeys(entry.job for entry in entries):
        own = [entry for entry in entries if entry.job == job]
        epsilon = prv_epsilon([entry.release for entry in own], delta).epsilon
        rounds = len({entry.round_index for entry in own})
        jobs[job] = {"epsilon": epsilon, "charges": len(own), "rounds": rounds}
    return {
        "ledger": str(ledger.path),
        "dataset_sha256": ledger.dataset_sha256,
        "examples": ledger.examples,
        "delta": delta,
        "epsilon": spent.epsilon,
        "accountant": spent.accountant,
        "note": spent.note,
        "jobs": jobs,
    }


def _heading(numbers: dict[str, Any]) -> str:
    return (
        f"{numbers['ledger']}: data {numbers['dataset_sha256'][:12]} with "
        f"{numbers['examples']} examples"
    )


def _total(numbers: dict[str, Any]) -> str:
    note = f" ({numbers['note']})" if numbers["note"] else ""
    return (
        f"spent in all: epsilon {numbers['epsilon']:.4g} at delta {numbers['delta']:.3g}, by "
        f"{numbers['accountant'].upper()}{note}"
    )

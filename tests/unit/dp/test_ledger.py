"""A ledger shows at least what was released, refuses what would be too much, and notices damage."""

from pathlib import Path

from veiltune_privacy.dp.accounting import Release, Spent
from veiltune_privacy.dp.ledger import Ledger

DATA = "ab" * 32
EXAMPLES = 600
DELTA = 1e-5
ROUND = Release(noise_multiplier=1.2, sample_rate=0.05, steps=4)


def open_ledger(folder: Path) -> Ledger:
    return Ledger(folder / "site.sqlite", dataset_sha256=DATA, examples=EXAMPLES)


def charge(ledger: Ledger, round_index: int, *, job: str = "job", budget: float = 8.0) -> Spent:
    return ledger.charge(
        job=job,
        round_index=round_index,
        release=ROUND,
        mechanism="test",
        delta=DELTA,
        budget_epsilon=budget,
    )


def test_a_charge_is_there_for_whoever_opens_the_ledger_next(tmp_path: Path) -> None:
    charge(open_ledger(tmp_path / "made" / "anew"), 0)
    (entry,) = open_ledger(tmp_path / "made" / "anew").entries()
    assert (entry.number, entry.job, entry.round_index, entry.release) == (1, "job", 0, ROUND)
    assert (entry.delta, entry.budget_epsilon, entry.note) == (DELTA, 8.0, "")

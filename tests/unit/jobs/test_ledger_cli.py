"""`veiltune ledger` shows, checks and plans what a site spends."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from veiltune_jobs.ledger_cli import MOST_ROUNDS, ledger_app, rounds_left
from veiltune_privacy.dp.accounting import Release, calibrate, prv_epsilon
from veiltune_privacy.dp.ledger import BudgetExceeded, Ledger, LedgerError

DELTA = 1e-5
ROUND = Release(noise_multiplier=1.2, sample_rate=0.05, steps=4)
WISH = ["--epsilon", "2", "--noise", "1.2", "--rate", "0.05", "--steps", "4"]


def charge(ledger: Ledger, job: str, round_index: int, budget: float = 8.0) -> None:
    ledger.charge(
        job=job,
        round_index=round_index,
        release=ROUND,
        mechanism="Poisson-sampled Gaussian",
        delta=DELTA,
        budget_epsilon=budget,
    )


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """Two jobs, one of which did a round twice."""
    ledger = Ledger(tmp_path / "bank.sqlite", dataset_sha256="ab" * 32, examples=600)
    for job, round_index in (("first", 0), ("first", 1), ("first", 1), ("second", 0)):
        charge(ledger, job, round_index)
    return ledger


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def say(*arguments: object) -> str:
        ledger_app(args=[str(argument) for argument in arguments], standalone_mode=False)
        return capsys.readouterr().out

    return say


def test_show_lists_every_charge_and_sums_by_job(ledger: Ledger, say: Callable[..., str]) -> None:
    numbers: dict[str, Any] = json.loads(say("show", ledger.path, "--json"))
    assert numbers["epsilon"] == ledger.spent(DELTA).epsilon
    assert (numbers["delta"], numbers["examples"]) == (DELTA, 600)
    assert numbers["jobs"]["first"] == {
        "epsilon": ledger.spent(DELTA, "first").epsilon,
        "charges": 3,
        "rounds": 2,
    }
    assert [entry["round_index"] for entry in numbers["entries"]] == [0, 1, 1, 0]
    text = say("show", ledger.path)
    assert "first  round 1: 4 steps, noise 1.2, rate 0.05, Poisson-sampled Gaussian" in text
    assert f"spent in all: epsilon {numbers['epsilon']:.4g} at delta 1e-05, by PRV" in text


def test_show_at_another_delta(ledger: Ledger, say: Callable[..., str]) -> None:
    numbers = json.loads(say("show", ledger.path, "--delta", "1e-3", "--json"))
    assert numbers["epsilon"] == ledger.spent(1e-3).epsilon < ledger.spent(DELTA).epsilon


def test_a_ledger_without_charges_is_shown(tmp_path: Path, say: Callable[..., str]) -> None:
    Ledger(tmp_path / "new.sqlite", dataset_sha256="cd" * 32, examples=50)
    assert "spent in all: epsilon 0 at delta 1e-05" in say("show", tmp_path / "new.sqlite")
    assert "is whole: 0 charges" in say("verify", tmp_path / "new.sqlite")


def test_verify_gives_the_last_hash(ledger: Ledger, say: Callable[..., str]) -> None:
    last = ledger.entries()[-1].hash
    assert json.loads(say("verify", ledger.path, "--json")) == {
        "whole": True,
        "charges": 4,
        "head": last,
        "notes": [],
    }
    assert last in say("verify", ledger.path)


def test_verify_refuses_what_was_changed(ledger: Ledger, say: Callable[..., str]) -> None:
    with closing(sqlite3.connect(ledger.path)) as connection:
        connection.executescript("UPDATE entries SET steps = 1 WHERE number = 2")
    for command in ("verify", "show"):
        with pytest.raises(LedgerError, match="entry 2 "):
            say(command, ledger.path)


def test_a_path_without_a_ledger_makes_none(tmp_path: Path, say: Callable[..., str]) -> None:
    with pytest.raises(LedgerError, match="there is no file"):
        say("show", tmp_path / "none.sqlite")
    assert not (tmp_path / "none.sqlite").exists()


def test_as_many_rounds_as_are_planned_can_be_charged(
    ledger: Ledger, say: Callable[..., str]
) -> None:
    numbers = json.loads(say("plan", ledger.path, *WISH, "--json"))
    left = numbers["rounds_left"]
    assert left > 3
    text = say("plan", ledger.path, *WISH)
    assert f"{left} rounds of 4 steps at noise 1.2 and rate 0.05 are left of epsilon 2" in text
    for round_index in range(left):
        charge(ledger, "third", round_index, budget=2.0)
    assert ledger.spent(DELTA).epsilon == numbers["epsilon_then"] <= 2.0
    with pytest.raises(BudgetExceeded):
        charge(ledger, "third", left, budget=2.0)


def test_a_calibrated_job_has_its_own_rounds_left() -> None:
    noise = calibrate(epsilon=4.0, delta=DELTA, sample_rate=0.05, steps=40)
    rounds, reached = rounds_left([], Release(noise, 0.05, 4), DELTA, 4.0)
    assert rounds == 10
    assert reached == prv_epsilon([Release(noise, 0.05, 40)], DELTA).epsilon


def test_nothing_is_left_of_a_budget_that_is_spent() -> None:
    rounds, reached = rounds_left([ROUND] * 10, ROUND, DELTA, 0.5)
    assert (rounds, reached) == (0, prv_epsilon([ROUND] * 10, DELTA).epsilon)


def test_a_plan_without_end_ends() -> None:
    rounds, _ = rounds_left([], Release(1e4, 1e-4, 1), DELTA, 8.0)
    assert rounds == MOST_ROUNDS

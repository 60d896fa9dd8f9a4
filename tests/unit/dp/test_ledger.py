"""A ledger shows at least what was released, refuses what would be too much, and notices damage."""

import os
import random
import resource
import signal
import sqlite3
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, tzinfo
from pathlib import Path

import pytest

from veiltune_privacy.dp import ledger as ledger_module
from veiltune_privacy.dp import ledger_file
from veiltune_privacy.dp.accounting import Release, Spent, calibrate, prv_epsilon
from veiltune_privacy.dp.ledger import BudgetExceeded, Ledger, LedgerError

DATA = "ab" * 32
EXAMPLES = 600
DELTA = 1e-5
ROUND = Release(noise_multiplier=1.2, sample_rate=0.05, steps=4)
SMALL = Release(noise_multiplier=20.0, sample_rate=0.01, steps=1)
"""Hardly anything: hundreds of these fit any budget here."""


def open_ledger(folder: Path) -> Ledger:
    return Ledger(folder / "site.sqlite", dataset_sha256=DATA, examples=EXAMPLES)


def charge(
    ledger: Ledger,
    round_index: int,
    *,
    job: str = "job",
    budget: float = 8.0,
    release: Release = ROUND,
) -> Spent:
    return ledger.charge(
        job=job,
        round_index=round_index,
        release=release,
        mechanism="test",
        delta=DELTA,
        budget_epsilon=budget,
    )


def run_child(work: Callable[[], None]) -> int:
    """The process id of a fork that does `work` and ends with 0, or with 1 after an exception."""
    with warnings.catch_warnings():
        # Python warns of forks beside threads; the child here waits for none of them.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child:
        return child
    try:
        work()
        os._exit(0)
    except BaseException:
        os._exit(1)


# What is charged


def test_a_charge_is_there_for_whoever_opens_the_ledger_next(tmp_path: Path) -> None:
    charge(open_ledger(tmp_path / "made" / "anew"), 0)
    (entry,) = open_ledger(tmp_path / "made" / "anew").entries()
    assert (entry.number, entry.job, entry.round_index, entry.release) == (1, "job", 0, ROUND)
    assert (entry.delta, entry.budget_epsilon, entry.note) == (DELTA, 8.0, "")
    assert list((tmp_path / "made" / "anew").iterdir()) == [
        tmp_path / "made" / "anew" / "site.sqlite"
    ]


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    assert open_ledger(tmp_path).path.stat().st_mode & 0o777 == 0o600


def test_what_is_committed_is_on_the_disk(tmp_path: Path) -> None:
    """SQLite syncs the file, its journal and their folder, and has no journal left to lose."""
    with closing(ledger_file.connect(open_ledger(tmp_path).path, "rw")) as connection:
        assert connection.execute("PRAGMA synchronous").fetchone() == (3,)  # EXTRA
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_jobs_share_the_budget_of_the_data(tmp_path: Path) -> None:
    for job in ("one", "two"):
        charge(open_ledger(tmp_path), 0, job=job)
    ledger = open_ledger(tmp_path)
    assert ledger.spent(DELTA) == prv_epsilon([ROUND, ROUND], DELTA)
    assert ledger.spent(DELTA, "one") == prv_epsilon([ROUND], DELTA)
    assert ledger.spent(DELTA, "three").epsilon == 0


def test_a_round_done_again_is_charged_again(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    charge(ledger, 3)
    charge(ledger, 3)
    assert [entry.round_index for entry in ledger.entries()] == [3, 3]


def test_a_calibrated_job_fits_its_budget_to_the_last_round_and_no_further(tmp_path: Path) -> None:
    noise = calibrate(epsilon=2.0, delta=DELTA, sample_rate=0.05, steps=24)
    release = Release(noise, 0.05, 4)
    ledger = open_ledger(tmp_path)
    spent = [charge(ledger, r, budget=2.0, release=release) for r in range(6)]
    assert spent[0].accountant == "rdp"  # the fast bound was enough
    assert spent[-1].accountant == "prv"  # it would have refused here
    assert all(one.epsilon <= 2.0 for one in spent)
    before = ledger.entries()
    with pytest.raises(BudgetExceeded, match="round 6 would bring the site's epsilon from 1.99"):
        charge(ledger, 6, budget=2.0, release=release)
    assert ledger.entries() == before


@pytest.mark.parametrize("budget", [0.0, -1.0, float("nan")])
def test_a_budget_that_is_no_budget_allows_nothing(tmp_path: Path, budget: float) -> None:
    with pytest.raises(BudgetExceeded):
        charge(open_ledger(tmp_path), 0, budget=budget)


def test_an_unbounded_loss_is_refused_under_any_budget(tmp_path: Path) -> None:
    with pytest.raises(BudgetExceeded):
        charge(open_ledger(tmp_path), 0, budget=float("inf"), release=Release(1e-200, 0.1, 1))


# Damage


@pytest.fixture
def charged(tmp_path: Path) -> Ledger:
    """A ledger with three rounds."""
    ledger = open_ledger(tmp_path)
    for round_index in range(3):
        charge(ledger, round_index)
    return ledger


def edit(ledger: Ledger, statements: str) -> None:
    with closing(sqlite3.connect(ledger.path)) as connection:
        connection.executescript(statements)


FIELDS = ["time", "job", "round", "noise_multiplier", "sample_rate", "steps", "mechanism", "note"]


@pytest.mark.parametrize("field", [*FIELDS, "delta", "budget_epsilon", "hash"])
@pytest.mark.parametrize("value", ["7.5", "'other'", "NULL", "x'00'"])
def test_a_changed_field_is_noticed(charged: Ledger, field: str, value: str) -> None:
    edit(charged, f"UPDATE entries SET {field} = {value} WHERE number = 2")
    with pytest.raises(LedgerError, match="entry [23] or the one before it was changed"):
        charged.verify()
    with pytest.raises(LedgerError, match="entry [23] or the one before it was changed"):
        charge(charged, 3)
    with pytest.raises(LedgerError, match="entry [23] or the one before it was changed"):
        open_ledger(charged.path.parent)


@pytest.mark.parametrize(
    ("statements", "what"),
    [
        ("DELETE FROM entries WHERE number = 1", "entry 1 is missing"),
        ("DELETE FROM entries WHERE number = 2", "entry 2 is missing"),
        ("DELETE FROM entries WHERE number = 3", "does not end with entry 2"),
        ("DELETE FROM entries", "does not end with entry 0"),
        ("DELETE FROM head", "does not end with entry 3"),
        ("UPDATE head SET entries = 2", "does not end with entry 3"),
        (
            "UPDATE entries SET number = 9 WHERE number = 1;"
            "UPDATE entries SET number = 1 WHERE number = 2;"
            "UPDATE entries SET number = 2 WHERE number = 9;",
            "entry 1 or the one before it was changed",
        ),
        (
            "INSERT INTO entries SELECT 4, time, job, round, noise_multiplier, sample_rate, steps,"
            " mechanism, delta, budget_epsilon, note, hash FROM entries WHERE number = 3",
            "entry 4 or the one before it was changed",
        ),
        ("UPDATE about SET examples = 700", "is of other data"),
        ("UPDATE about SET format = 'x'", "must be a ledger of the kind"),
        ("DELETE FROM about", "must be a ledger of the kind"),
        ("DROP TABLE entries", "it is damaged"),
    ],
)
def test_missing_moved_and_added_rows_are_noticed(
    charged: Ledger, statements: str, what: str
) -> None:
    edit(charged, statements)
    with pytest.raises(LedgerError, match=what):
        charged.verify()


def test_changing_every_row_without_its_hash_is_noticed_at_the_first(charged: Ledger) -> None:
    edit(charged, "UPDATE entries SET noise_multiplier = 100.0")
    with pytest.raises(LedgerError, match="entry 1 "):
        charged.verify()


def test_a_row_changed_together_with_its_hash_is_noticed_at_the_next(charged: Ledger) -> None:
    """Whoever hides a row has to compute every later hash too."""
    with closing(sqlite3.connect(charged.path)) as connection:
        fields = "number, time, job, round, noise_multiplier, sample_rate, steps, mechanism, delta"
        rows = f"SELECT {fields}, budget_epsilon, note FROM entries WHERE number = 2"
        (row,) = connection.execute(rows).fetchall()
        changed = (*row[:6], 1, *row[7:])
        forged = ledger_module._link(charged.entries()[0].hash, changed)
        connection.execute("UPDATE entries SET steps = 1, hash = ? WHERE number = 2", (forged,))
        connection.commit()
    with pytest.raises(LedgerError, match="entry 3 or the one before it was changed"):
        charged.verify()


def test_an_older_copy_is_noticed_by_who_knows_better(charged: Ledger) -> None:
    older = charged.path.read_bytes()
    charge(charged, 3)
    charged.expect_at_least(4, "job")
    charged.path.write_bytes(older)
    charged.verify()
    with pytest.raises(LedgerError, match="at least 4 rounds of job job, .* but shows 3"):
        charged.expect_at_least(4, "job")


def test_a_ledger_that_is_missing_is_noticed_by_who_knows_better(charged: Ledger) -> None:
    charge(charged, 2)  # a round done twice is one round
    charged.path.unlink()
    with pytest.raises(LedgerError, match="at least 3 rounds"):
        open_ledger(charged.path.parent).expect_at_least(3, "job")


def test_only_the_rounds_of_the_job_count(charged: Ledger) -> None:
    charge(charged, 0, job="other")
    charged.expect_at_least(1, "other")
    with pytest.raises(LedgerError, match="at least 2 rounds of job other"):
        charged.expect_at_least(2, "other")


@pytest.mark.parametrize("content", [b"", b"no database", b"SQLite format 3\0" + bytes(4096)])
def test_a_file_that_is_no_ledger_is_refused_and_kept(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "site.sqlite"
    path.write_bytes(content)
    with pytest.raises(LedgerError, match="must be whole and writable, but it is damaged"):
        open_ledger(tmp_path)
    assert path.read_bytes() == content


def test_a_file_cut_short_is_refused(charged: Ledger) -> None:
    charged.path.write_bytes(charged.path.read_bytes()[:5000])
    with pytest.raises(LedgerError, match=str(charged.path)):
        charged.verify()


def test_another_data_sets_ledger_is_refused(charged: Ledger) -> None:
    with pytest.raises(LedgerError, match="is of other data .600 examples, SHA-256 abababababab"):
        Ledger(charged.path, dataset_sha256="cd" * 32, examples=EXAMPLES)
    with pytest.raises(LedgerError, match="is of other data"):
        Ledger(charged.path, dataset_sha256=DATA, examples=EXAMPLES + 1)


def test_a_person_opens_it_without_knowing_the_data(charged: Ledger) -> None:
    ledger = Ledger.at(charged.path)
    assert (ledger.dataset_sha256, ledger.examples) == (DATA, EXAMPLES)
    assert ledger.entries() == charged.entries()
    with pytest.raises(LedgerError, match="there is no file"):
        Ledger.at(charged.path.with_name("none.sqlite"))


# Disks and clocks


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LedgerError, match="cannot make the ledger .*give a folder"):
        open_ledger(tmp_path / "file")


def test_a_folder_in_the_ledgers_place_is_said(tmp_path: Path) -> None:
    (tmp_path / "site.sqlite").mkdir()
    with pytest.raises(LedgerError, match="it cannot be read and written"):
        open_ledger(tmp_path)


def test_a_read_only_ledger_can_be_read_and_not_charged(
    charged: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opened read-only, since a test that runs as root may write whatever it likes."""
    connect = ledger_file.connect
    monkeypatch.setattr(ledger_file, "connect", lambda path, mode: connect(path, "ro"))
    assert len(charged.entries()) == 3
    with pytest.raises(LedgerError, match="it cannot be read and written"):
        charge(charged, 3)


@contextmanager
def disk_limit(size: int) -> Iterator[None]:
    """No file of this process can grow beyond `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


def test_without_room_nothing_is_charged(charged: Ledger) -> None:
    before = charged.entries()
    with disk_limit(512), pytest.raises(LedgerError, match="make room"):
        charge(charged, 3)
    assert charged.entries() == before
    charge(charged, 3)
    assert len(charged.entries()) == 4


def test_without_room_no_ledger_is_made(tmp_path: Path) -> None:
    with disk_limit(512), pytest.raises(LedgerError, match="on a disk with room"):
        open_ledger(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_clock_that_went_back_is_said_and_changes_no_sum(
    charged: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Earlier(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Earlier":
            return cls(2001, 1, 1, tzinfo=UTC)

    monkeypatch.setattr(ledger_module, "datetime", Earlier)
    spent = charge(charged, 3)
    assert "the clock had gone back" in spent.note
    last = charged.entries()[-1]
    assert last.time.startswith("2001") and "the clock had gone back" in last.note
    assert charged.spent(DELTA) == prv_epsilon([ROUND] * 4, DELTA)


# Several processes


def test_processes_take_turns_and_together_stay_within_the_budget(tmp_path: Path) -> None:
    """Four processes ask for more than fits, each until it is refused."""
    fits = 6
    budget = prv_epsilon([ROUND] * fits, DELTA).epsilon

    def until_refused(job: str) -> None:
        ledger = open_ledger(tmp_path)
        for round_index in range(fits):
            try:
                charge(ledger, round_index, job=job, budget=budget)
            except BudgetExceeded:
                return
            (tmp_path / f"{job}-{round_index}").touch()

    jobs = ["a", "b", "c", "d"]
    children = [run_child(lambda job=job: until_refused(job)) for job in jobs]
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * len(jobs)
    released = {path.name for path in tmp_path.iterdir()} - {"site.sqlite"}
    entries = open_ledger(tmp_path).entries()
    assert {f"{entry.job}-{entry.round_index}" for entry in entries} == released
    assert len(entries) == fits


def test_one_that_waits_too_long_says_so(charged: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_file, "WAIT_S", 0.01)
    with closing(sqlite3.connect(charged.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerError, match="another process has held it"):
            charge(charged, 3)


def test_whenever_it_is_killed_the_ledger_shows_what_was_released(tmp_path: Path) -> None:
    """A child charges and releases until SIGKILL, at a random moment; then another takes over."""
    randomness = random.Random(0)
    folder = tmp_path
    kills_while_charging = 0

    def charge_and_release(first: int) -> None:
        ledger = open_ledger(folder)
        for round_index in range(first, first + 1000):
            charge(ledger, round_index, release=SMALL)
            with (folder / "released").open("a") as releases:
                releases.write(f"{round_index}\n")

    first = 0
    for trial in range(60):
        if trial % 6 == 0:  # now and then from nothing, so that some die while it is being made
            folder = tmp_path / f"{trial}"
            folder.mkdir()
        first += 1000
        child = run_child(lambda start=first: charge_and_release(start))
        time.sleep(randomness.uniform(0.0, 0.05))
        os.kill(child, signal.SIGKILL)
        assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
        releases = folder / "released"
        released = releases.read_text().splitlines() if releases.exists() else []
        charged = [str(entry.round_index) for entry in open_ledger(folder).entries()]
        assert len(set(charged)) == len(charged)
        assert set(released) <= set(charged)
        # At most one round a process is charged and not released: over-counted, never under.
        assert len(charged) - len(released) <= trial % 6 + 1
        kills_while_charging += len(charged) > len(released)
    assert kills_while_charging > 0  # or the kills came too late to test anything

"""What a site has spent of its privacy, on the site's own disk.

A ledger is one SQLite file for one data set. A round is charged before it trains, and the charge
is on disk before `charge` returns, so whatever happens afterwards the ledger shows at least what
was released. A round that is tried twice is charged twice. All jobs on the data set share the
ledger, and processes take turns.

Every entry's hash covers its fields and the hash before it, and the file holds the number of
entries and the last hash besides, so an entry that was changed, removed or moved is noticed
whenever the ledger is opened or charged. Nobody holds a key to the chain: it shows damage and
careless edits. Someone who rewrites the whole file, or puts back an older copy of it, is noticed
only by callers that say what they know was spent, through `expect_at_least`.
"""

import hashlib
import json
import math
import os
import sqlite3
import tempfile
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from veiltune.errors import Withdrawal
from veiltune_privacy.dp.accounting import Release, Spent, prv_epsilon, rdp_epsilon
from veiltune_privacy.dp.ledger_file import LedgerError, connect, reading, sync, writing

__all__ = ["BudgetExceeded", "Entry", "Ledger", "LedgerError"]

FORMAT = "veiltune ledger 1"

_TABLES = """
CREATE TABLE about (format TEXT, dataset_sha256 TEXT, examples INTEGER);
CREATE TABLE head (entries INTEGER, hash TEXT);
CREATE TABLE entries (
    number INTEGER PRIMARY KEY, time TEXT, job TEXT, round INTEGER, noise_multiplier REAL,
    sample_rate REAL, steps INTEGER, mechanism TEXT, delta REAL, budget_epsilon REAL, note TEXT,
    hash TEXT
);
"""
_FIELDS = (
    "number, time, job, round, noise_multiplier, sample_rate, steps, mechanism, delta, "
    "budget_epsilon, note, hash"
)


class BudgetExceeded(Withdrawal):
    """A round would spend more than the site allows; nothing was charged."""


@dataclass(frozen=True)
class Entry:
    """One round that was charged."""

    number: int
    """Counts from 1, over all jobs."""
    time: str
    """When it was charged by the site's clock, in UTC; nothing is computed from it."""
    job: str
    round_index: int
    release: Release
    mechanism: str
    delta: float
    """The delta and the epsilon that the charge was checked against."""
    budget_epsilon: float
    note: str
    """A sentence about the charge; empty where there is nothing to say."""
    hash: str


class Ledger:
    """The ledger of one data set, opened, or made where there is none.

    An existing file is checked and never made anew, not even an empty one.

    Raises:
        LedgerError: the file is damaged, of other data, or cannot be read or made.
    """

    def __init__(self, path: Path, *, dataset_sha256: str, examples: int) -> None:
        self.path = path
        self.dataset_sha256 = dataset_sha256
        self.examples = examples
        if not path.exists():
            self._create()
        self.verify()

    @classmethod
    def at(cls, path: Path) -> "Ledger":
        """The ledger at `path`, of whatever data it is, for a person to read.

        Raises:
            LedgerError: there is none, or it is damaged.
        """
        if not path.exists():
            raise LedgerError(f"expected a ledger, but there is no file {path}; give its path")
        with reading(path) as connection:
            dataset_sha256, examples = _about(connection, path)
        return cls(path, dataset_sha256=dataset_sha256, examples=examples)

    def charge(
        self,
        *,
        job: str,
        round_index: int,
        release: Release,
        mechanism: str,
        delta: float,
        budget_epsilon: float,
    ) -> Spent:
        """The round is charged and on disk; returns what all entries then spend at `delta`.

        The fast bound is asked first, and the tight one only where the fast one would refuse.

        *Guarantee*: when this returns, the entry outlives the process and a power cut, as far as
        the disk keeps what it confirms. All entries of the data set together, this one included,
        spend at most `budget_epsilon` at `delta`. The caller releases at most `release`.

        Raises:
            BudgetExceeded: it would be more; nothing was added.
            LedgerError: the ledger cannot be read, trusted or written; nothing may be released.
        """
        with writing(self.path) as connection:
            entries = self._checked(connection)
            spent = _within([e.release for e in entries] + [release], delta, budget_epsilon)
            if not (math.isfinite(spent.epsilon) and spent.epsilon <= budget_epsilon):
                before = prv_epsilon([entry.release for entry in entries], delta)
                raise BudgetExceeded(
                    f"round {round_index} would bring the site's epsilon from "
                    f"{before.epsilon:.4g} to {spent.epsilon:.4g} at delta {delta:.3g}, but the "
                    f"site allows {budget_epsilon:g}; it takes part in no further round"
                )
            now = datetime.now(UTC).isoformat(timespec="milliseconds")
            last = entries[-1].time if entries else now
            note = "" if now >= last else f"the clock had gone back, from {last}"
            number = len(entries) + 1
            values = (
                number,
                now,
                job,
                int(round_index),
                float(release.noise_multiplier),
                float(release.sample_rate),
                int(release.steps),
                mechanism,
                float(delta),
                float(budget_epsilon),
                note,
            )
            link = _link(self._previous(entries), values)
            marks = ", ".join("?" * (len(values) + 1))
            connection.execute(f"INSERT INTO entries ({_FIELDS}) VALUES ({marks})", (*values, link))
            connection.execute("UPDATE head SET entries = ?, hash = ?", (number, link))
        return replace(spent, note="; ".join(part for part in (spent.note, note) if part))

    def spent(self, delta: float, job: str | None = None) -> Spent:
        """What all entries spend together at `delta`, or those of one job.

        Raises:
            LedgerError: the ledger is damaged or cannot be read.
        """
        chosen = [e.release for e in self.entries() if job is None or e.job == job]
        return prv_epsilon(chosen, delta)

    def entries(self) -> list[Entry]:
        """Every entry in the order of charging, after the chain was checked.

        Raises:
            LedgerError: the ledger is damaged or cannot be read.
        """
        with reading(self.path) as connection:
            return self._checked(connection)

    def verify(self) -> None:
        """The ledger is of this data set and its chain is whole.

        Raises:
            LedgerError: it is not; the sentence names the first entry that does not fit.
        """
        self.entries()

    def expect_at_least(self, rounds: int, job: str) -> None:
        """The ledger shows `rounds` different rounds of `job`, or more.

        Raises:
            LedgerError: it shows fewer, so it was lost, cut or replaced by an older copy.
        """
        charged = len({e.round_index for e in self.entries() if e.job == job})
        if charged < rounds:
            raise LedgerError(
                f"the ledger {self.path} must show at least {rounds} rounds of job {job}, which "
                f"this site has trained, but shows {charged}; bring back the ledger that was in "
                f"use, for what was spent is otherwise unknown"
            )

    # The file

    def _create(self) -> None:
        """Puts a complete ledger without entries at the path, all at once.

        It is made beside the path and linked to it, so that a file at the path is never half made,
        and of two processes one makes it.
        """
        folder = self.path.parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".ledger-", dir=folder) as scratch:
                new = Path(scratch) / "new"
                with closing(connect(new, "rwc")) as connection:
                    connection.executescript(f"BEGIN; {_TABLES} COMMIT;")
                    connection.execute("BEGIN")
                    about = (FORMAT, self.dataset_sha256, self.examples)
                    connection.execute("INSERT INTO about VALUES (?, ?, ?)", about)
                    connection.execute("INSERT INTO head VALUES (0, ?)", (self._previous([]),))
                    connection.execute("COMMIT")
                new.chmod(0o600)
                sync(new)
                try:
                    os.link(new, self.path)
                except FileExistsError:
                    return  # another process made it first
                sync(folder)
        except (OSError, sqlite3.Error) as error:
            raise LedgerError(
                f"cannot make the ledger {self.path} ({error}); give a folder that can be written, "
                f"on a disk with room"
            ) from error

    def _checked(self, connection: sqlite3.Connection) -> list[Entry]:
        """Every entry, after all of them were found to hang together."""
        dataset_sha256, examples = _about(connection, self.path)
        if (dataset_sha256, examples) != (self.dataset_sha256, self.examples):
            raise LedgerError(
                f"the ledger {self.path} must be of this site's data ({self.examples} examples, "
                f"SHA-256 {self.dataset_sha256[:12]}), but is of other data ({examples} examples, "
                f"SHA-256 {dataset_sha256[:12]}); give each data set a ledger of its own"
            )
        heads = connection.execute("SELECT entries, hash FROM head").fetchall()
        rows = connection.execute(f"SELECT {_FIELDS} FROM entries ORDER BY number").fetchall()
        entries: list[Entry] = []
        for index, row in enumerate(rows, start=1):
            *values, link = row
            if values[0] != index:
                raise self._broken(f"entry {index} is missing")
            if link != _link(self._previous(entries), tuple(values)):
                raise self._broken(f"entry {index} or the one before it was changed")
            entries.append(_entry(row))
        if len(heads) != 1 or heads[0] != (len(entries), self._previous(entries)):
            raise self._broken(f"it does not end with entry {len(entries)}")
        return entries

    def _previous(self, entries: list[Entry]) -> str:
        """The hash that the next entry hangs on."""
        if entries:
            return entries[-1].hash
        return _link("", (FORMAT, self.dataset_sha256, self.examples))

    def _broken(self, what: str) -> LedgerError:
        return LedgerError(
            f"the ledger {self.path} must be as it was written, but {what}; bring back a whole "
            f"copy that shows every round spent, or spend no more on this data"
        )


def _within(releases: list[Release], delta: float, budget_epsilon: float) -> Spent:
    """The fast bound where that is within the budget already, otherwise the tight one."""
    fast = rdp_epsilon(releases, delta)
    return Spent(fast, "rdp") if fast <= budget_epsilon else prv_epsilon(releases, delta)


def _entry(row: tuple[Any, ...]) -> Entry:
    number, time, job, round_index, noise, rate, steps, mechanism, delta, budget, note, link = row
    release = Release(noise, rate, steps)
    return Entry(number, time, job, round_index, release, mechanism, delta, budget, note, link)


def _link(previous: str, values: tuple[Any, ...]) -> str:
    """SHA-256 over the hash before and all values; floats as the digits that give them back."""
    return hashlib.sha256(json.dumps([previous, *values], default=repr).encode()).hexdigest()


def _about(connection: sqlite3.Connection, path: Path) -> tuple[str, int]:
    """The fingerprint and the size of the data set that the ledger is of."""
    rows = connection.execute("SELECT format, dataset_sha256, examples FROM about").fetchall()
    if len(rows) != 1 or rows[0][0] != FORMAT:
        raise LedgerError(f"{path} must be a ledger of the kind {FORMAT!r}; give a ledger's path")
    return rows[0][1], rows[0][2]

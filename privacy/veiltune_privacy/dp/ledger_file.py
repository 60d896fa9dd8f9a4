"""The file under a ledger: one SQLite database that is written through to the disk.

Readers see one consistent state, writers take turns, and whatever SQLite or the disk refuse becomes
a sentence.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from veiltune.errors import RunError

WAIT_S = 120.0
"""Seconds to wait for another process that is charging."""


class LedgerError(RunError):
    """A ledger cannot be used as it is, so nothing may be charged and nothing may be released."""


def connect(path: Path, mode: str) -> sqlite3.Connection:
    """A connection that begins no transaction by itself and writes through to the disk."""
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    connection = sqlite3.connect(uri, uri=True, timeout=WAIT_S, isolation_level=None)
    # The journal is deleted to commit; EXTRA also syncs the folder, so that it stays deleted.
    connection.execute("PRAGMA synchronous = EXTRA")
    return connection


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """One consistent view of the file, which need not be writable.

    It is opened for writing where it can be: what a process that was killed left half done is
    rolled back by whoever comes next.
    """
    with _in_sentences(path), closing(connect(path, "rw")) as connection:
        connection.execute("BEGIN")
        yield connection


@contextmanager
def writing(path: Path) -> Iterator[sqlite3.Connection]:
    """The file for this process alone; committed at the end, untouched after an error."""
    with _in_sentences(path), closing(connect(path, "rw")) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield connection
        connection.execute("COMMIT")


@contextmanager
def _in_sentences(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        match code:
            case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
                what = f"another process has held it for {WAIT_S:g} s; wait for that one"
            case sqlite3.SQLITE_FULL:
                what = "its disk is full; make room"
            case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_CANTOPEN:
                what = "it cannot be read and written; give back the permission, or mount it so"
            case sqlite3.SQLITE_IOERR:
                what = f"its disk failed ({error}); make room or repair it"
            case _:
                what = f"it is damaged ({error}); bring back an undamaged copy"
        raise LedgerError(f"the ledger {path} must be whole and writable, but {what}") from error


def sync(path: Path) -> None:
    """The file, or the folder's list of files, is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

"""A process that runs one job after another and loads the frozen model once."""

import multiprocessing
import os
import signal
import threading
import time
from concurrent.futures import CancelledError, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal

from veiltune.errors import FolderInUse, Interrupted, VeiltuneError
from veiltune.records import locked
from veiltune_jobs.job import JobSpec
from veiltune_jobs.run import Run, SharedModel

WATCH_S = 0.5
LAST_WORDS_S = 20.0
"""What a run has to record that it was interrupted, when the process that asked for it is gone."""


@dataclass(frozen=True)
class Outcome:
    """How an attempt at a run ended; `elsewhere` where another process works on it."""

    status: Literal["complete", "failed", "elsewhere", "interrupted"]
    error: str = ""
    seconds: float = 0.0


class Worker:
    """One process; it is started afresh, not forked, for a fork would inherit torch's threads.

    It ends when its end of a pipe finds the other end closed, which `stop` does, and which the
    kernel does when this process is killed. So nothing depends on the number of a process, which
    is unknown while it starts. When it is killed, the run that it was at has failed, and the next
    one has a new process.
    """

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None
        self._lifeline: Connection | None = None
        self._stopped = False
        self._state = threading.Lock()

    def run(self, spec: JobSpec, folder: Path) -> Outcome:
        """The run is complete, or the outcome says why it is not."""
        try:
            return self._ready().submit(_attempt, spec, folder).result()
        except (BrokenProcessPool, CancelledError, RuntimeError):
            with self._state:
                self._pool = None
                if self._stopped:
                    return Outcome("interrupted")
            return Outcome(
                "failed", "its process was killed, perhaps for want of memory; try fewer --workers"
            )

    def stop(self) -> None:
        """The process is gone, even if it was still starting; its run counts as interrupted."""
        with self._state:
            self._stopped = True
            pool, self._pool = self._pool, None
            if self._lifeline is not None:
                self._lifeline.close()
        if pool is not None:
            pool.shutdown(cancel_futures=True)

    def _ready(self) -> ProcessPoolExecutor:
        with self._state:
            if self._stopped:
                raise CancelledError
            if self._pool is None:
                context = multiprocessing.get_context("spawn")
                watched, self._lifeline = context.Pipe(duplex=False)
                self._pool = ProcessPoolExecutor(1, context, _begin, (os.getpid(), watched))
            return self._pool


_SHARED = SharedModel()
"""The frozen model of this process, kept from run to run."""


def _attempt(spec: JobSpec, folder: Path) -> Outcome:
    start = time.perf_counter()
    try:
        with locked(folder):
            pass  # told before the data are read
        Run(spec).execute(report=False, shared=_SHARED)
    except FolderInUse:
        return Outcome("elsewhere")
    except Interrupted:
        return Outcome("interrupted")
    except VeiltuneError as error:
        return Outcome("failed", str(error))
    except Exception as error:
        return Outcome("failed", f"something in veiltune failed ({type(error).__name__}: {error})")
    return Outcome("complete", seconds=time.perf_counter() - start)


def _begin(parent: int, watched: Connection) -> None:
    """Ctrl-C is the parent's to handle; once stopped, or without a parent, the process ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent, watched), daemon=True).start()


def _end_with(parent: int, watched: Connection) -> None:
    watched.poll(None)  # nothing is ever sent: it returns when the other end is closed
    os.kill(os.getpid(), signal.SIGTERM)
    while os.getppid() == parent:  # it waits for this process, as long as that takes
        time.sleep(WATCH_S)
    time.sleep(LAST_WORDS_S)
    os._exit(1)

"""Runs a job in NVFlare's simulator, in processes that are gone when it returns.

The simulator writes hundreds of lines, so it runs in a process whose output goes to a file. Its
workspace is a temporary folder: NVFlare splits its own command lines at spaces, so a run's folder,
whose path is the user's, cannot be used. NVFlare's own temporary files go there too. Every process
it starts carries a mark in its environment, by which all are found again, whatever process groups
NVFlare gave them.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import psutil

from veiltune.federation.nvflare.job import FederatedJob

MARK = "VEILTUNE_SIMULATION"
WATCH_S = 0.2


def simulate(
    job: FederatedJob, site_processes: int, threads: int, log: Path, tick: Callable[[], None]
) -> int:
    """The simulator's exit code; no process of it is left, not even after an exception.

    Args:
        site_processes: How many sites run at the same time; with fewer than sites, NVFlare starts
            a new process for every task.
        threads: CPU threads of each process.
        log: Receives everything the simulator and the sites print.
        tick: Called several times a second while the simulator runs.
    """
    mark = uuid.uuid4().hex
    limits = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    # Python's managers make a socket in it, and a socket's path may have about 100 characters.
    workspace = Path(tempfile.mkdtemp(prefix="veiltune-"))
    own = {MARK: mark, "TOKENIZERS_PARALLELISM": "false", "TMPDIR": str(workspace)}
    environment = {**os.environ, **limits, **own}
    given = {"job": asdict(job), "workspace": str(workspace), "site_processes": site_processes}
    command = [sys.executable, "-m", "veiltune.federation.nvflare.simulation", json.dumps(given)]
    try:
        with log.open("a") as output:
            # A session of its own: Ctrl-C reaches this process alone, which then ends the others.
            process = subprocess.Popen(
                command,
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=environment,
                cwd=workspace,
                start_new_session=True,
            )
            while process.poll() is None:
                tick()
                time.sleep(WATCH_S)
        return process.returncode
    finally:
        _end_all(mark)
        shutil.rmtree(workspace, ignore_errors=True)


def _end_all(mark: str) -> None:
    """Ends every process that carries the mark; first politely, then not."""
    for end in (psutil.Process.terminate, psutil.Process.kill):
        marked = _marked(mark)
        for process in marked:
            try:
                end(process)
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(marked, timeout=3)


def _marked(mark: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(MARK) == mark:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found

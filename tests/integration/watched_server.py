"""A coordinator's factory for the tests: everything the server is sent is kept as it came."""

import pickle
import sys
from pathlib import Path

from veiltune.federation import Coordinator, Reply
from veiltune_jobs import wiring

DUMP = "dump"
"""The folder in the run's where the server's view lies: one file a reply."""


def build_coordinator(run: str) -> Coordinator:
    """The coordinator as the job describes it, with a copy of what it receives."""
    coordinator = wiring.build_coordinator(run)
    receive = coordinator.receive
    folder = Path(run) / DUMP
    folder.mkdir(exist_ok=True)

    def keep(reply: Reply) -> None:
        content = {"arrays": reply.to_arrays(), "process": sys.orig_argv}
        path = folder / f"{reply.round}-{reply.site}.pickle"
        path.write_bytes(pickle.dumps(content))
        receive(reply)

    coordinator.receive = keep  # type: ignore[method-assign]  # what this is for
    return coordinator

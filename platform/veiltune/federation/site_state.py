"""What a site keeps on its own disk from round to round.

A worker process may be replaced between any two rounds (NVFlare's simulator does so when it has
fewer threads than sites), so nothing that a later round needs lives in memory alone.
"""

import json
import os
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from veiltune.errors import RunError

STATE_FILE = "state.pt"
ROUNDS_FILE = "rounds.jsonl"
FINAL_FILE = "final.json"
FAILURES_FILE = "failures.log"


@dataclass
class SiteState:
    """A site's position in a job."""

    applied: int
    """How many rounds' sums `global_vector` contains."""
    history: str
    """The name of that state; see `extend_history`."""
    trained: int
    """How many rounds the site has trained; `trained - 1` is the round `outbox` belongs to."""
    global_vector: Tensor
    """The shared adapter, float32 `(parameters,)`."""
    local_vector: Tensor
    """The site's own adapter after its latest training, float32 `(parameters,)`."""
    optimizer: dict[str, Any]
    codec: dict[str, Tensor]
    """What the codec needs in the next round."""
    outbox: Tensor
    """The latest update's payload, `uint8 (bytes,)`, sent again if the server asks again."""

    def save(self, folder: Path) -> None:
        """Replaces the state on disk in one step, so that a cut leaves the old or the new one."""
        partial = folder / f"{STATE_FILE}.partial"
        torch.save(vars(self), partial)
        os.replace(partial, folder / STATE_FILE)


def load_state(folder: Path) -> SiteState | None:
    """The state in `folder`, or None where a site starts anew.

    Raises:
        RunError: there is a state but it cannot be read.
    """
    path = folder / STATE_FILE
    if not path.exists():
        return None
    try:
        return SiteState(**torch.load(path, weights_only=True))
    except Exception as error:  # torch.load raises many kinds for a damaged file
        raise RunError(
            f"the site's state must be readable, but {path} is not ({type(error).__name__}); "
            f"remove the file to let the site catch up from the server's sums"
        ) from error


def append_row(folder: Path, row: dict[str, Any]) -> None:
    """Adds one round's measurements to the site's own log."""
    with (folder / ROUNDS_FILE).open("a") as log:
        log.write(json.dumps(row) + "\n")


def note_failure(folder: Path, round_index: int, error: BaseException) -> None:
    """Adds where an error came from to the site's own log, without its message.

    Another library's message can quote its input, and a log outlives the text it quotes.
    """
    frames = "".join(traceback.format_tb(error.__traceback__))
    with (folder / FAILURES_FILE).open("a") as log:
        log.write(f"round {round_index}: {type(error).__name__}\n{frames}\n")


def read_rows(folder: Path) -> list[dict[str, Any]]:
    """The site's measurements, one a round; a round that was done twice counts as done last."""
    path = folder / ROUNDS_FILE
    rows: dict[int, dict[str, Any]] = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            row = json.loads(line)
        except ValueError:
            continue  # the line being written when the process was cut
        rows[row["round"]] = row
    return [rows[index] for index in sorted(rows)]

"""What the server asks of a site in a round, and what the site answers."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veiltune.federation.payload import Payload, read_payload

TASK = "task"
SUM = "sum-"
REPLY = "reply"
UPDATE = "update"

Arrays = dict[str, NDArray[np.uint8]]


@dataclass(frozen=True, slots=True)
class Task:
    """One round's task: the sums a site has not taken in yet, and what to do then."""

    round: int
    """Counted from 0; round `rounds` is the closing one."""
    rounds: int
    """Rounds of training in the whole job."""
    sums: Mapping[int, Payload]
    """The combined payloads by round; a site applies those that follow what it has."""

    @property
    def closing(self) -> bool:
        """Whether training is over and only the last sum has to be taken in."""
        return self.round >= self.rounds

    def to_arrays(self) -> Arrays:
        """The task as named byte arrays, which NVFlare streams."""
        arrays = {f"{SUM}{index:05d}": p.to_array() for index, p in sorted(self.sums.items())}
        return {TASK: _to_array({"round": self.round, "rounds": self.rounds}), **arrays}


@dataclass(frozen=True, slots=True)
class Reply:
    """A site's answer: its update, or why there is none. It carries no metric and no text."""

    site: str
    round: int
    applied: int
    """How many rounds' sums the site's global state contains."""
    update: Payload | None
    reason: str | None = None
    """Why there is no update, in a sentence that names no private text; None in a closing round."""
    withdrawn: bool = False
    """Whether the site takes part in no further round of training."""

    def to_arrays(self) -> Arrays:
        """The reply as named byte arrays."""
        head = {
            "site": self.site,
            "round": self.round,
            "applied": self.applied,
            "reason": self.reason,
            "withdrawn": self.withdrawn,
        }
        arrays: Arrays = {REPLY: _to_array(head)}
        if self.update is not None:
            arrays[UPDATE] = self.update.to_array()
        return arrays


def read_task(arrays: Mapping[str, NDArray[np.uint8]]) -> Task:
    """The task that `Task.to_arrays` gave."""
    head = _from_array(arrays[TASK])
    sums = {
        int(key.removeprefix(SUM)): read_payload(value)
        for key, value in arrays.items()
        if key.startswith(SUM)
    }
    return Task(head["round"], head["rounds"], sums)


def read_reply(arrays: Mapping[str, NDArray[np.uint8]]) -> Reply:
    """The reply that `Reply.to_arrays` gave."""
    head = _from_array(arrays[REPLY])
    update = read_payload(arrays[UPDATE]) if UPDATE in arrays else None
    return Reply(**head, update=update)


def sums_from(arrays: Mapping[str, NDArray[np.uint8]], applied: int) -> Arrays:
    """A task's arrays without the sums of the first `applied` rounds."""
    return {
        key: value
        for key, value in arrays.items()
        if not key.startswith(SUM) or int(key.removeprefix(SUM)) >= applied
    }


def _to_array(value: dict[str, object]) -> NDArray[np.uint8]:
    return np.frombuffer(json.dumps(value, sort_keys=True).encode(), np.uint8).copy()


def _from_array(array: NDArray[np.uint8]) -> dict[str, Any]:
    value = json.loads(np.ascontiguousarray(array).tobytes())
    assert isinstance(value, dict)
    return value

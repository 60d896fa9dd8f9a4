"""The server's part of a round, the same under every engine: hand out sums, add, remember.

The server holds no model. It holds the combined payload of every round, in order, and knows how
many of them each site has taken in; a site's task carries just those it lacks. So a site that
missed rounds, or starts anew, reaches the same global state as the others from the sums alone.

What it was sent is written down, without the bodies of updates, so that anybody can look at what a
server gets to see.
"""

import itertools
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from veiltune.errors import PayloadError, RunError
from veiltune.federation.codec import PayloadSum
from veiltune.federation.messages import Reply, Task
from veiltune.federation.payload import BEGINNING, Payload, extend_history, read_payload

FIELD_NAMES = {"job": "job", "round": "round", "sites": "site", "history": "state of the adapter"}

OUTCOMES_FILE = "rounds.jsonl"
"""One line a round: who was missing and why, and the error that ended the job, if one did."""
RECEIVED_FILE = "received.jsonl"
"""One line a reply: everything it said but the body of its update, and why it was refused."""


class Coordinator:
    """Adds the sites' payloads round by round.

    Args:
        addition: Checks payloads and adds them; it cannot decode.
        folder: Where the sums are kept, one file a round. Sums found there are taken up, so a job
            that was cut goes on with the round after the last complete one.
        sites: The names of all sites of the job.
        min_sites: The fewest updates that make a sum.
        rounds: Rounds of training.
    """

    def __init__(
        self,
        addition: PayloadSum,
        folder: Path,
        job: str,
        sites: Sequence[str],
        min_sites: int,
        rounds: int,
    ) -> None:
        self.addition = addition
        self.folder = folder
        self.job = job
        self.sites = tuple(sorted(sites))
        self.min_sites = min_sites
        self.rounds = rounds
        self.applied = dict.fromkeys(self.sites, 0)
        folder.mkdir(parents=True, exist_ok=True)
        self.sums: list[Payload] = []
        self.history = BEGINNING
        for total in self._read_sums():
            self._append(total)
        self._updates: dict[str, Payload] = {}
        self._reasons: dict[str, str] = {}
        self._withdrawn: set[str] = set()
        self._left: dict[str, str] = {}
        self._closed = False

    @property
    def next_round(self) -> int:
        """The round that comes next; `rounds` is the closing one."""
        return len(self.sums)

    def task(self, site: str) -> Task:
        """This round's task for `site`, with the sums it has not confirmed."""
        lacking = range(self.applied[site], self.next_round)
        return Task(self.next_round, self.rounds, {index: self.sums[index] for index in lacking})

    def receive(self, reply: Reply) -> None:
        """Takes one site's answer of the current round into account.

        A reply of another round, or an update that cannot belong to this one, is not added: the
        site counts as missing, with the reason. Of two updates from one site the first counts.
        """
        refusal = self._refusal(reply)
        self._write_down(reply, refusal)
        if reply.site not in self.applied or reply.round != self.next_round:
            return
        if reply.site in self._updates:
            return
        if reply.withdrawn:
            self._withdrawn.add(reply.site)
        if refusal is not None:
            self._reasons[reply.site] = refusal
        elif reply.update is not None:
            self._updates[reply.site] = reply.update
        if 0 <= reply.applied <= self.next_round:
            self.applied[reply.site] = reply.applied

    def _refusal(self, reply: Reply) -> str | None:
        """Why a reply gives no update to this round; None where it does, or need not."""
        if reply.site not in self.applied:
            return "it is not a site of this job"
        if reply.round != self.next_round:
            return f"it answered round {reply.round} during round {self.next_round}"
        if reply.site in self._updates:
            return "it sent an update for this round already; the first one counts"
        if not 0 <= reply.applied <= self.next_round:
            return "it claims to have sums that do not exist"
        if reply.update is None:
            return reply.reason
        header = reply.update.header
        for field, expected in (
            ("job", self.job),
            ("round", self.next_round),
            ("sites", (reply.site,)),
            ("history", self.history),
        ):
            if getattr(header, field) != expected:
                return f"its update was made for another {FIELD_NAMES[field]}"
        try:
            self.addition.check(reply.update)
        except PayloadError as error:
            return str(error)
        return None

    def refuse(self, site: str, reason: str) -> None:
        """Notes that what `site` sent cannot be read as a reply of its own, and why."""
        self._append_line({"site": site, "round": self.next_round, "refused": reason})
        if site not in self._updates:
            self._reasons[site] = reason

    def close_round(self) -> dict[str, str]:
        """Adds the round's updates and stores the sum; returns who is missing, and why.

        In the closing round nothing is added: a site is missing if it did not take in every sum.
        When so many sites have withdrawn that no further round can be full, the job ends: the
        closing round comes next, with the sums that there are.

        Raises:
            RunError: fewer than `min_sites` sites gave an update, or no site finished the job.
        """
        if self._closed:
            return {}  # an engine that goes on after the end
        closing = self.next_round >= self.rounds
        present = {s for s in self.sites if self._took_part(s, closing)}
        missing = {s: self._reasons.get(s, "no answer") for s in self.sites if s not in present}
        entry: dict[str, Any] = {"round": self.next_round, "missing": {**self._left, **missing}}
        try:
            needed = 1 if closing else self.min_sites
            if len(present) < needed and self._can_end(closing):
                # The closing round has this round's number, and so says who was missing in it.
                self._left = missing
                self.rounds = self.next_round
            elif len(present) < needed:
                raise self._too_few(needed, present, missing)
            elif closing:
                self._closed = True
            else:
                self._store(self.addition.combine(list(self._updates.values())))
        except RunError as error:
            entry["error"] = str(error)
            raise
        finally:
            with (self.folder / OUTCOMES_FILE).open("a") as log:
                log.write(json.dumps(entry) + "\n")
            self._updates.clear()
            self._reasons.clear()
        return missing

    def _can_end(self, closing: bool) -> bool:
        """Whether there are sums, and never again sites enough for another one."""
        remaining = len(self.sites) - len(self._withdrawn)
        return not closing and self.next_round > 0 and remaining < self.min_sites

    def _took_part(self, site: str, closing: bool) -> bool:
        if closing:
            return self.applied[site] == self.rounds and site not in self._reasons
        return site in self._updates

    def _too_few(self, needed: int, present: set[str], missing: dict[str, str]) -> RunError:
        reasons = "; ".join(f"{site}: {reason}" for site, reason in missing.items())
        return RunError(
            f"round {self.next_round} needs at least {needed} of {len(self.sites)} sites, got "
            f"{len(present)} ({reasons}); mend the sites, then start the same job again to go on "
            f"from here, or start a new one with a lower federation.min_sites"
        )

    def _store(self, total: Payload) -> None:
        path = self.folder / f"sum-{self.next_round:05d}.bin"
        partial = path.with_suffix(".partial")
        partial.write_bytes(total.to_array().tobytes())
        os.replace(partial, path)
        self._append(total)

    def _append(self, total: Payload) -> None:
        self.sums.append(total)
        self.history = extend_history(self.history, total)

    def _write_down(self, reply: Reply, refusal: str | None) -> None:
        update = reply.update
        entry = {
            "site": reply.site,
            "round": reply.round,
            "applied": reply.applied,
            "reason": reply.reason,
            "withdrawn": reply.withdrawn,
            "update": asdict(update.header) if update else None,
            "bytes": update.nbytes if update else 0,
            "refused": refusal,
        }
        self._append_line(entry)

    def _append_line(self, entry: dict[str, Any]) -> None:
        with (self.folder / RECEIVED_FILE).open("a") as log:
            log.write(json.dumps(entry) + "\n")

    def broadcast(self) -> Task:
        """One task with every sum that some site lacks, for an engine that sends one to all."""
        lacking = range(min(self.applied.values()), self.next_round)
        return Task(self.next_round, self.rounds, {index: self.sums[index] for index in lacking})

    def _read_sums(self) -> Iterator[Payload]:
        for index in itertools.count():
            path = self.folder / f"sum-{index:05d}.bin"
            if not path.exists():
                return
            yield read_payload(np.fromfile(path, np.uint8))

"""The server's part of a round, the same under every engine: hand out sums, add, remember.

The server holds no model. It holds the combined payload of every round, in order, and knows how
many of them each site has taken in; a site's task carries just those it lacks. So a site that
missed rounds, or starts anew, reaches the same global state as the others from the sums alone.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from veiltune.errors import RunError
from veiltune.federation.codec import UpdateCodec
from veiltune.federation.messages import Reply, Task
from veiltune.federation.payload import Payload, read_payload

OUTCOMES_FILE = "rounds.jsonl"
"""One line a round: who was missing and why, and the error that ended the job, if one did."""


class Coordinator:
    """Adds the sites' payloads round by round.

    Args:
        codec: Combines payloads; it is not asked to decode.
        folder: Where the sums are kept, one file a round. Sums found there are taken up, so a job
            that was cut goes on with the round after the last complete one.
        sites: The names of all sites of the job.
        min_sites: The fewest updates that make a sum.
        rounds: Rounds of training.
    """

    def __init__(
        self,
        codec: UpdateCodec,
        folder: Path,
        job: str,
        sites: Sequence[str],
        min_sites: int,
        rounds: int,
    ) -> None:
        self.codec = codec
        self.folder = folder
        self.job = job
        self.sites = tuple(sorted(sites))
        self.min_sites = min_sites
        self.rounds = rounds
        self.applied = dict.fromkeys(self.sites, 0)
        folder.mkdir(parents=True, exist_ok=True)
        self.sums = self._read_sums()
        self._updates: dict[str, Payload] = {}
        self._reasons: dict[str, str] = {}

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
        site counts as missing, with the reason.
        """
        if reply.site not in self.applied or reply.round != self.next_round:
            return
        if not 0 <= reply.applied <= self.next_round:
            self.refuse(reply.site, "it claims to have sums that do not exist")
            return
        self.applied[reply.site] = reply.applied
        if reply.update is None:
            if reply.reason is not None:
                self.refuse(reply.site, reply.reason)
            return
        header = reply.update.header
        expected = (self.codec.name, self.job, self.next_round, (reply.site,))
        if (header.codec, header.job, header.round, header.sites) != expected:
            self.refuse(reply.site, "its update was made for another site, job, round or codec")
            return
        self._updates[reply.site] = reply.update

    def refuse(self, site: str, reason: str) -> None:
        """Notes that `site` gives nothing to this round, and why."""
        self._updates.pop(site, None)
        self._reasons[site] = reason

    def close_round(self) -> dict[str, str]:
        """Adds the round's updates and stores the sum; returns who is missing, and why.

        In the closing round nothing is added: a site is missing if it did not take in every sum.

        Raises:
            RunError: fewer than `min_sites` sites gave an update, or no site finished the job.
        """
        closing = self.next_round >= self.rounds
        present = {s for s in self.sites if self._took_part(s, closing)}
        missing = {s: self._reasons.get(s, "no answer") for s in self.sites if s not in present}
        entry: dict[str, Any] = {"round": self.next_round, "missing": missing}
        try:
            needed = 1 if closing else self.min_sites
            if len(present) < needed:
                raise self._too_few(needed, present, missing)
            if not closing:
                self._store(self.codec.combine(list(self._updates.values())))
        except RunError as error:
            entry["error"] = str(error)
            raise
        finally:
            with (self.folder / OUTCOMES_FILE).open("a") as log:
                log.write(json.dumps(entry) + "\n")
            self._updates.clear()
            self._reasons.clear()
        return missing

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
        self.sums.append(total)

    def broadcast(self) -> Task:
        """One task with every sum that some site lacks, for an engine that sends one to all."""
        lacking = range(min(self.applied.values()), self.next_round)
        return Task(self.next_round, self.rounds, {index: self.sums[index] for index in lacking})

    def _read_sums(self) -> list[Payload]:
        sums: list[Payload] = []
        while (path := self.folder / f"sum-{len(sums):05d}.bin").exists():
            sums.append(read_payload(np.fromfile(path, np.uint8)))
        return sums

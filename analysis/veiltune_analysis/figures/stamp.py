"""Where a figure came from: the sentences printed small under it."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

from veiltune_analysis.statistics import seeds_warning
from veiltune_analysis.tables import SweepRecord, complete

SEEDED = (
    "Noise is seeded so that the figure can be made again: epsilon is what the same run with "
    "system noise spends."
)
SMALL = "SMALL VERSION: it shows that the figure can be made, and nothing else."


@dataclass(frozen=True)
class Stamp:
    """Where a figure came from: printed small under it."""

    commit: str
    specification: str
    seeds: tuple[int, ...]
    runs: int
    data: str
    synthetic: bool
    data_sha256: str = "not recorded"
    seeded_noise: bool = False
    small: bool = False
    notes: tuple[str, ...] = ()
    """What else a reader must know, such as that runs are missing."""

    def text(self) -> str:
        """The stamp as sentences, with a warning when there are few seeds."""
        nature = "synthetic; " if self.synthetic else ""
        sentences = [
            SMALL if self.small else "",
            f"Data: {self.data} ({nature}SHA-256 {self.data_sha256}).",
            f"Seeds {', '.join(str(seed) for seed in self.seeds)}; {self.runs} runs.",
            f"Commit {self.commit}, specification {self.specification}.",
            SEEDED if self.seeded_noise else "",
            *self.notes,
            seeds_warning(len(self.seeds)) or "",
        ]
        return " ".join(sentence for sentence in sentences if sentence)


def stamp_of(runs: pd.DataFrame, *, small: bool = False, notes: Sequence[str] = ()) -> Stamp:
    """The stamp of the complete runs in a table made by `load_tables`.

    Each run has a specification hash of its own, and with each seed its own data. One hash is
    given by its first twelve characters; several by the first twelve hexadecimal digits of the
    SHA-256 of the distinct hashes, sorted and joined by newlines. A run counts once, however many
    points of a sweep it stands for.
    """
    used = complete(runs).drop_duplicates("folder")
    data = [each for each in used.get("data_sha256", ()) if isinstance(each, str)]
    return Stamp(
        commit=", ".join(sorted({short_commit(commit) for commit in used["commit"]})),
        specification=_digest(used["specification_hash"]),
        seeds=tuple(sorted({int(seed) for seed in used["seed"]})),
        runs=len(used),
        data=", ".join(sorted(set(used["data"]))),
        synthetic=bool(used["synthetic"].any()),
        data_sha256=_digest(data) if data else "not recorded",
        seeded_noise=bool(used["seeded_noise"].any()),
        small=small,
        notes=tuple(notes),
    )


def stamp_of_sweep(record: SweepRecord) -> Stamp:
    """The stamp of a sweep's complete runs; it says what is missing and what is mixed."""
    return stamp_of(record.tables.runs, small=record.small, notes=record.tables.notes())


def _digest(hashes: Iterable[str]) -> str:
    distinct = sorted(set(hashes))
    if len(distinct) == 1:
        return distinct[0][:12]
    digest = hashlib.sha256("\n".join(distinct).encode()).hexdigest()
    return f"digest {digest[:12]} of {len(distinct)}"


def short_commit(commit: object) -> str:
    """The first twelve characters of a commit, which still say that its files were changed."""
    if not isinstance(commit, str):
        return "unknown"
    return commit[:12] + (" (changed)" if commit.endswith("-dirty") else "")

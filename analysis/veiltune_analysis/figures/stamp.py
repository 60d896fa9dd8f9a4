"""Where a figure came from: the sentences printed small under it."""

import hashlib
from dataclasses import dataclass

import pandas as pd

from veiltune_analysis.runs import complete
from veiltune_analysis.statistics import seeds_warning


@dataclass(frozen=True)
class Stamp:
    """Where a figure came from: printed small under it."""

    commit: str
    specification: str
    seeds: tuple[int, ...]
    runs: int
    data: str
    synthetic: bool

    def text(self) -> str:
        """The stamp as sentences, with a warning when there are few seeds."""
        nature = " (synthetic)" if self.synthetic else ""
        sentences = [
            f"Data: {self.data}{nature}.",
            f"Seeds {', '.join(str(seed) for seed in self.seeds)}; {self.runs} runs.",
            f"Commit {self.commit}, specification {self.specification}.",
        ]
        warning = seeds_warning(len(self.seeds))
        return " ".join(sentences + ([warning] if warning else []))


def stamp_of(runs: pd.DataFrame) -> Stamp:
    """The stamp of the complete runs in a table made by `load_runs`.

    Each run has a specification hash of its own. One hash is given by its first twelve
    characters; several by the first twelve hexadecimal digits of the SHA-256 of the distinct
    hashes, sorted and joined by newlines.
    """
    used = complete(runs)
    commits = sorted({_short(commit) for commit in used["commit"]})
    hashes = sorted(set(used["specification_hash"]))
    digest = hashlib.sha256("\n".join(hashes).encode()).hexdigest()
    return Stamp(
        commit=", ".join(commits),
        specification=(
            hashes[0][:12] if len(hashes) == 1 else f"digest {digest[:12]} of {len(hashes)}"
        ),
        seeds=tuple(sorted({int(seed) for seed in used["seed"]})),
        runs=len(used),
        data=", ".join(sorted(set(used["data"]))),
        synthetic=bool(used["synthetic"].any()),
    )


def _short(commit: object) -> str:
    """The first twelve characters of a commit, which still say that its files were changed."""
    if not isinstance(commit, str):
        return "unknown"
    return commit[:12] + (" (changed)" if commit.endswith("-dirty") else "")

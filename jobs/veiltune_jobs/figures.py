"""`veiltune figures`: runs what an experiment lacks, then draws it from the records alone."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from veiltune.errors import OutputError, SpecificationError
from veiltune.records import without_nan
from veiltune_analysis.figures import reference_panels, stamp_of
from veiltune_analysis.results import Results, results
from veiltune_analysis.runs import Runs, read_runs
from veiltune_jobs.experiment import Arm, arms_of, load_experiment, run_arms


@dataclass(frozen=True)
class Drawn:
    """What an experiment came to."""

    results: Results
    files: tuple[Path, ...]
    seeds: tuple[int, ...]
    runs: int

    def as_json(self) -> dict[str, Any]:
        """The tables and the files as plain values."""
        return {
            "seeds": list(self.seeds),
            "runs": self.runs,
            "arms": without_nan(self.results.arms.to_dict("records")),
            "differences": without_nan(self.results.differences.to_dict("records")),
            "files": [str(path) for path in self.files],
        }


def draw(
    experiment_path: Path,
    overrides: Sequence[str],
    seeds: Sequence[int] | None,
    output: Path,
    workers: int | None,
    say: Callable[[str], None],
) -> Drawn:
    """The panels, their numbers and the result tables of an experiment are in `output`.

    Raises:
        VeiltuneError: a specification is wrong, a run failed, or `output` cannot be written.
    """
    experiment, job = load_experiment(experiment_path, overrides, seeds)
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"figures are written to {output}, which cannot be made ({error.strerror}); name "
            f"another folder with --output"
        ) from error
    arms = arms_of(experiment, job)
    drawn = {arm.split for arm in arms if arm.split}
    for split in experiment.splits:
        if split.title not in drawn:
            say(f"split {split.title!r} is left out: the data have no groups to deal by")
    folders = run_arms(
        arms,
        workers or os.cpu_count() or 1,
        lambda done, total, name: say(f"run {done}/{total} complete: {name}"),
    )
    recorded = read_runs(list(folders))
    partitions = [
        (split.title, _of_split(recorded, list(folders.values()), split.title))
        for split in experiment.splits
        if split.title in drawn
    ]
    files = reference_panels(
        [(title, runs.rounds) for title, runs in partitions],
        output,
        stamp_of(recorded.runs),
        experiment.name,
    )
    tables = results([(title, runs.runs) for title, runs in partitions])
    markdown = output / f"{experiment.name}.md"
    markdown.write_text(tables.markdown() + "\n")
    finals = output / f"{experiment.name}-results.csv"
    tables.arms.to_csv(finals, index=False)
    differences = output / f"{experiment.name}-differences.csv"
    tables.differences.to_csv(differences, index=False)
    return Drawn(
        tables,
        (files.png, files.pdf, files.csv, markdown, finals, differences),
        experiment.seeds,
        len(folders),
    )


def parse_seeds(text: str | None) -> tuple[int, ...] | None:
    """The seeds in a list such as `1,2,3`; None stays None.

    Raises:
        SpecificationError: it is not such a list.
    """
    if text is None:
        return None
    try:
        seeds = tuple(int(part) for part in text.split(","))
    except ValueError:
        seeds = ()
    if not seeds or min(seeds) < 0 or len(set(seeds)) < len(seeds):
        raise SpecificationError(
            [f"--seeds must be different whole numbers like 1,2,3, got {text}"]
        )
    return seeds


def _of_split(recorded: Runs, arms: Sequence[Arm], title: str) -> Runs:
    """The runs that one split's panels show, under the arms' own labels."""
    labels = {
        folder: arm.label
        for folder, arm in zip(recorded.runs["run"], arms, strict=True)
        if arm.split in (None, title)
    }

    def labelled(table: pd.DataFrame) -> pd.DataFrame:
        own = table[table["run"].isin(list(labels))]
        return own.assign(arm=own["run"].map(labels)).reset_index(drop=True)

    return Runs(labelled(recorded.runs), labelled(recorded.rounds))

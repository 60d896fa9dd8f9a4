"""Any folder of runs as three tidy tables: a row a run, a row a site, a row a round.

Nothing is parsed by hand afterwards: every key of a run's specification is a column under its
dotted name, beside what was measured. A run that cannot be read does not stop the others; it is
named, skipped and counted.

A sweep's folder holds `sweep.json`, which names its axes and its points: which run has which
labels. There a row stands for a point, and several points may share one run.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from pydantic import Field, ValidationError

from veiltune.errors import OutputError
from veiltune_analysis.runs import ROUND_COLUMNS, SUMMARY, Record, Run, read_run

SWEEP = "sweep.json"
SPECIFICATION = "spec.yaml"
MARKS = (SPECIFICATION, "provenance.json")
"""A folder with one of these is a run's, finished or not."""

NOT_RUN = "it has not been run"
NOT_FINISHED = f"it is going on or was cut: it has no {SUMMARY} yet"
LAST_OF_SITE = ("local_loss", "local_accuracy", "train_loss", "epsilon")
SUM_OF_SITE = ("upload_bytes", "download_bytes", "seconds_train")
KEYS = ("run", "arm", "alone_site", "seed", "status")
"""What tells rows of different runs apart, in every table; a sweep's axes follow."""

Label = str | int | float | bool | None


@dataclass(frozen=True)
class Skipped:
    """A run that is in no table, and why."""

    folder: Path
    reason: str


@dataclass(frozen=True)
class Tables:
    """What the runs in a folder recorded."""

    runs: pd.DataFrame
    """A row a run: its summary, where it came from, and each key of its specification. `epsilon`
    is the largest any site spent, NaN without differential privacy."""
    sites: pd.DataFrame
    """A row a run and site: `KEYS`, the axes, and what the site measured last and spent in all."""
    rounds: pd.DataFrame
    """A row a run, site and round: `KEYS`, the axes, and `ROUND_COLUMNS`."""
    skipped: tuple[Skipped, ...] = ()
    axes: dict[str, tuple[Label, ...]] = field(default_factory=dict)
    """Each axis of a sweep and its labels in order; they are columns of all three tables."""

    def complete(self) -> "Tables":
        """The same tables without runs that were interrupted or failed."""
        return replace(
            self,
            runs=complete(self.runs),
            sites=complete(self.sites),
            rounds=complete(self.rounds),
        )

    def notes(self) -> tuple[str, ...]:
        """What a reader of these tables must be told, a sentence each: mixed code, missing runs."""
        found = []
        for column, what in (("commit", "commits"), ("version", "versions of veiltune")):
            values = sorted({str(value)[:12] for value in self.runs[column].dropna()})
            if len(values) > 1:
                found.append(f"The runs are of {len(values)} {what}: {', '.join(values)}.")
        recorded = self.runs.loc[self.runs["status"] != "complete", "run"].nunique()
        reasons = [each.reason for each in self.skipped]
        cut, missing = reasons.count(NOT_FINISHED), reasons.count(NOT_RUN)
        for what, count in (
            ("Runs begun and not complete", recorded + cut),
            ("Runs of the sweep still to come", missing),
            ("Runs skipped, for they could not be read", len(reasons) - cut - missing),
        ):
            if count:
                found.append(f"{what}: {count}.")
        return tuple(found)

    def write(self, folder: Path) -> tuple[Path, ...]:
        """`runs.parquet`, `sites.parquet` and `rounds.parquet` are in `folder`; returns them.

        A column whose values are of several kinds, such as `8` and `none`, is written as text.

        Raises:
            OutputError: the folder cannot be written.
        """
        written = []
        for name, table in (("runs", self.runs), ("sites", self.sites), ("rounds", self.rounds)):
            path = folder / f"{name}.parquet"
            try:
                folder.mkdir(parents=True, exist_ok=True)
                _one_kind_a_column(table).to_parquet(path)
            except OSError as error:
                raise OutputError(
                    f"tables are written to {folder}, which cannot be written ({error.strerror}); "
                    f"name another folder"
                ) from error
            written.append(path)
        return tuple(written)


class Point(Record):
    """One combination of a sweep and the run that has it."""

    run: str
    seed: int
    labels: dict[str, Label]


class Manifest(Record):
    """`sweep.json`."""

    name: str
    figure: str | None
    small: bool
    seeds: list[int]
    axes: dict[str, list[Label]]
    points: list[Point] = Field(min_length=1)


@dataclass(frozen=True)
class SweepRecord:
    """A sweep as its folder records it."""

    folder: Path
    name: str
    figure: str | None
    """The figure that shows it, if it is behind one."""
    small: bool
    """Whether it is the small version, which only shows that the figure can be made."""
    seeds: tuple[int, ...]
    tables: Tables
    summary: dict[str, Any] | None
    """`summary.json`; None until a session of the sweep has ended."""


def load_tables(folder: Path) -> Tables:
    """What the runs at or below `folder` recorded; `folder` may be a sweep, a run, or hold many.

    Raises:
        OutputError: there is no run in it, or none that can be read.
    """
    if (folder / SWEEP).exists():
        return load_sweep(folder).tables
    found = sorted(
        {path.parent for name in (*MARKS, SUMMARY) for path in folder.rglob(name)}
        - {path.parent for path in folder.rglob(SWEEP)}
    )
    runs, skipped = _read(found)
    return _tables([(run, {}) for run in runs.values()], skipped, {}, folder)


def load_sweep(folder: Path) -> SweepRecord:
    """The sweep recorded in `folder`.

    Raises:
        OutputError: it is not a sweep's folder, its record is damaged, or no run can be read.
    """
    path = folder / SWEEP
    try:
        manifest = Manifest.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = "is damaged" if isinstance(error, ValidationError) else "cannot be read"
        raise OutputError(
            f"expected the folder of a sweep, with {SWEEP}, but {path} {reason}; type the sweep's "
            f"command again, which writes it anew and keeps the runs"
        ) from error
    ids = dict.fromkeys(point.run for point in manifest.points)
    runs, skipped = _read([folder / run for run in ids])
    points = [
        (runs[folder / point.run], point.labels)
        for point in manifest.points
        if folder / point.run in runs
    ]
    axes = {axis: tuple(labels) for axis, labels in manifest.axes.items()}
    return SweepRecord(
        folder,
        manifest.name,
        manifest.figure,
        manifest.small,
        tuple(manifest.seeds),
        _tables(points, skipped, axes, folder),
        _summary(folder / SUMMARY),
    )


def find_sweeps(folder: Path) -> list[Path]:
    """The folders of sweeps at or below `folder`, sorted."""
    return sorted(path.parent for path in folder.rglob(SWEEP))


def complete(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of `table` that belong to complete runs."""
    return table[table["status"] == "complete"].reset_index(drop=True)


def _read(folders: Iterable[Path]) -> tuple[dict[Path, Run], tuple[Skipped, ...]]:
    """The runs that can be read, by folder, and the others with the reason."""
    runs: dict[Path, Run] = {}
    skipped = []
    for folder in folders:
        if not folder.exists():
            skipped.append(Skipped(folder, NOT_RUN))
            continue
        if (folder / SPECIFICATION).exists() and not (folder / SUMMARY).exists():
            skipped.append(Skipped(folder, NOT_FINISHED))
            continue
        try:
            runs[folder] = read_run(folder)
        except OutputError as error:
            skipped.append(Skipped(folder, str(error)))
    return runs, tuple(skipped)


def _tables(
    points: list[tuple[Run, dict[str, Label]]],
    skipped: tuple[Skipped, ...],
    axes: dict[str, tuple[Label, ...]],
    folder: Path,
) -> Tables:
    if not points:
        reasons = "".join(f"\n{each.folder.name}: {each.reason}" for each in skipped[:5])
        raise OutputError(
            f"expected at least one recorded run in {folder}, found none that can be read"
            f"{f' and {len(skipped)} that cannot' if skipped else ''}; run a job first or name "
            f"another folder{reasons}"
        )
    runs = pd.DataFrame([_run_row(run) | labels for run, labels in points])
    sites = pd.DataFrame(
        [
            _keys(run) | labels | row
            for run, labels in points
            for row in (_site_row(run, site) for site in run.summary.sites)
        ]
    )
    rounds = pd.concat(
        [
            run.rounds.loc[:, list(ROUND_COLUMNS)].assign(**(_keys(run) | labels))
            for run, labels in points
        ],
        ignore_index=True,
    )
    first = [*KEYS, *axes]
    return Tables(runs, sites, rounds[[*first, *ROUND_COLUMNS]], skipped, axes)


def _keys(run: Run) -> dict[str, Any]:
    return {key: getattr(run.summary, key) for key in KEYS}


def _run_row(run: Run) -> dict[str, Any]:
    summary, origin = run.summary, run.provenance
    scalar = {
        key: value
        for key, value in summary.model_dump().items()
        if not isinstance(value, dict | list)
    }
    return {
        **scalar,
        "epsilon": _largest(summary.epsilon),
        "commit": origin.commit,
        "version": origin.versions.get("veiltune"),
        "specification_hash": origin.specification_hash,
        "data_sha256": origin.data_sha256,
        "folder": str(run.folder),
        **_specification(run.folder / SPECIFICATION),
    }


def _site_row(run: Run, site: str) -> dict[str, Any]:
    own = run.rounds[run.rounds["site"] == site].sort_values("round")
    summary = run.summary
    return {
        "site": site,
        "examples": summary.examples.get(site),
        "truncated": summary.truncated.get(site),
        **{column: _last(own[column]) for column in LAST_OF_SITE},
        **{column: own[column].sum() for column in SUM_OF_SITE},
    }


def _specification(path: Path) -> dict[str, Any]:
    """Each key below a section under its dotted name; empty where there is no such file."""
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError):
        return {}
    return dict(_dotted(tree, "")) if isinstance(tree, dict) else {}


def _dotted(tree: Mapping[str, Any], prefix: str) -> Iterable[tuple[str, Any]]:
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _dotted(value, f"{name}.")
        elif prefix:  # the job's name and seed stand in its summary
            yield name, json.dumps(value) if isinstance(value, list) else value


def _summary(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def _largest(by_site: Mapping[str, float | None] | None) -> float:
    spent = [value for value in (by_site or {}).values() if value is not None]
    return max(spent, default=math.nan)


def _last(column: pd.Series) -> float:
    measured = column.dropna()
    return float(measured.iloc[-1]) if len(measured) else math.nan


def _one_kind_a_column(table: pd.DataFrame) -> pd.DataFrame:
    kinds = {
        column: {type(value) for value in table[column] if not _is_absent(value)}
        for column in table.columns
    }
    written = table.copy()
    for column, found in kinds.items():
        if len(found) > 1 and not found <= {int, float}:
            texts = [None if _is_absent(value) else str(value) for value in table[column]]
            written[column] = pd.Series(texts, index=table.index, dtype=object)
    return written


def _is_absent(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))

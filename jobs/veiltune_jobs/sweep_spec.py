"""A sweep: one job, varied along axes and over seeds, as its YAML file says.

A *point* is one label of every axis and a seed. Its job is the sweep's, with these keys set, in
this order, later ones winning: `set`, the overrides of the command line, the point's labels in the
order of the axes, and every `adjust` that fits the labels.
"""

import copy
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import Field

from veiltune.config import Section
from veiltune.errors import SpecificationError
from veiltune_analysis.runs import ROUND_COLUMNS, Summary
from veiltune_jobs.faults import known_paths, shown
from veiltune_jobs.job import JobSpec
from veiltune_jobs.specification import Tree, apply_overrides, load, load_yaml, set_key, validate

Label = str | int | float | bool | None
Labels = dict[str, Label]
Settings = dict[str, Any]
"""Dotted keys of a job and their values."""
Axis = list[Label] | dict[str, Settings]

MOST_FAULTS = 20
TABLE_COLUMNS = frozenset(
    {
        *Summary.model_fields,
        *ROUND_COLUMNS,
        *("commit", "version", "specification_hash", "data_sha256", "folder"),
    }
)
"""Columns of the tables of runs, which an axis with a name of its own must not hide."""


class Adjustment(Section):
    """Keys to set at points with certain labels, such as a rate that a search found best there."""

    where: dict[str, Label] = Field(min_length=1)
    set: Settings = Field(min_length=1)


class Small(Section):
    """What `--small` changes: a version that runs in moments and only shows that all works."""

    seeds: tuple[int, ...] | None = Field(default=None, min_length=1)
    set: Settings = {}
    axes: dict[str, Axis] = {}
    """Axes of the same names are replaced."""


class SweepSpec(Section):
    """A sweep's YAML file."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """The folder of its runs."""
    figure: str | None = None
    """The figure of the book that shows it."""
    job: Path
    """The YAML of the job that every run varies, relative to the sweep's own file."""
    seeds: tuple[int, ...] = Field(min_length=1)
    """Seeds of the runs; not those on which hyper-parameters were chosen."""
    set: Settings = {}
    """Keys of the job that are the same in all runs."""
    axes: dict[str, Axis] = {}
    """By a key of the job: the values it takes. By a name of the sweep's own: labels, and the keys
    that each of them sets together."""
    adjust: tuple[Adjustment, ...] = ()
    """What is set besides where a point has certain labels."""
    small: Small | None = None


@dataclass(frozen=True)
class Point:
    """One combination."""

    labels: Labels
    seed: int
    spec: JobSpec


@dataclass(frozen=True)
class Plan:
    """A sweep with every point's job checked."""

    name: str
    figure: str | None
    small: bool
    seeds: tuple[int, ...]
    axes: dict[str, tuple[Label, ...]]
    points: tuple[Point, ...]


def load_sweep_spec(
    path: Path,
    overrides: Sequence[str] = (),
    seeds: Sequence[int] | None = None,
    small: bool = False,
) -> Plan:
    """The sweep in the YAML file at `path`, its job under `overrides`, with every point checked.

    Raises:
        SpecificationError: with the faults of the sweep, or with every point whose job is wrong.
    """
    sweep = load(SweepSpec, path)
    faults = [*_faults(sweep), *_unmet(sweep)]
    if small:
        sweep = _small(sweep, path)
        faults += [fault for fault in _faults(sweep) if fault not in faults]
    faults += _without_effect(sweep, overrides)
    if seeds is not None:
        sweep = sweep.model_copy(update={"seeds": tuple(seeds)})
    if faults:
        raise SpecificationError([f"{path}: {fault}" for fault in faults])
    tree = load_yaml(path.parent / sweep.job)
    for key, value in sweep.set.items():
        _set(tree, key, value)
    tree = apply_overrides(tree, overrides)
    validate(JobSpec, tree)  # what is wrong in every point is said once
    points, faults = [], []
    combinations = list(_combinations(sweep))
    for labels in combinations:
        for seed in sweep.seeds:
            try:
                points.append(Point(labels, seed, _job(sweep, tree, labels, seed)))
            except SpecificationError as error:
                faults.append(f"{_said(labels)}: {'; '.join(error.faults)}")
                break  # it is as wrong with every seed
    if faults:
        rest = len(faults) - MOST_FAULTS
        raise SpecificationError(
            [
                f"{path}: {len(faults)} of {len(combinations)} combinations are not jobs, and "
                f"nothing was run; mend their axes or leave them out",
                *faults[:MOST_FAULTS],
                *([f"and {rest} more"] if rest > 0 else []),
            ]
        )
    axes = {axis: tuple(values) for axis, values in sweep.axes.items()}
    return Plan(sweep.name, sweep.figure, small, sweep.seeds, axes, tuple(points))


def _small(sweep: SweepSpec, path: Path) -> SweepSpec:
    if sweep.small is None:
        raise SpecificationError(
            [f"{path} has no small version; add a section `small` or leave --small out"]
        )
    return sweep.model_copy(
        update={
            "name": f"{sweep.name}-small",
            "seeds": sweep.small.seeds or sweep.seeds,
            "set": sweep.set | sweep.small.set,
            "axes": sweep.axes | sweep.small.axes,
        }
    )


def _combinations(sweep: SweepSpec) -> Iterator[Labels]:
    for values in itertools.product(*sweep.axes.values()):
        yield dict(zip(sweep.axes, values, strict=True))


def _job(sweep: SweepSpec, tree: Tree, labels: Labels, seed: int) -> JobSpec:
    varied = copy.deepcopy(tree) | {"name": sweep.name, "seed": seed}
    for axis, label in labels.items():
        for key, value in _settings(sweep.axes[axis], axis, label).items():
            _set(varied, key, value)
    for adjustment in sweep.adjust:
        if _fits(adjustment.where, labels):
            for key, value in adjustment.set.items():
                _set(varied, key, value)
    return validate(JobSpec, varied)


def _settings(axis: Axis, name: str, label: Label) -> Settings:
    return {name: label} if isinstance(axis, list) else axis[str(label)]


def _fits(where: Labels, labels: Labels) -> bool:
    return all(_same(labels[axis], label) for axis, label in where.items())


def _same(first: Label, second: Label) -> bool:
    """Equal as YAML means them: 1 and 1.0 are, 1 and true are not."""
    return first == second and isinstance(first, bool) == isinstance(second, bool)


def _set(tree: Tree, key: str, value: object) -> None:
    # A copy: a section in the sweep's file must not be shared by two jobs that set keys in it.
    if blocked := set_key(tree, key.split("."), copy.deepcopy(value)):
        raise SpecificationError([f"cannot set {key}: {blocked} is not a section with keys"])


# What is wrong whatever the values


def _faults(sweep: SweepSpec) -> Iterator[str]:
    if repeated := _repeated(sweep.seeds):
        yield f"seeds must differ, got {shown(repeated[0])} twice; leave one out"
    for axis, values in sweep.axes.items():
        if not values:
            yield f"axes.{axis} must hold at least one value, got none; add one or leave it out"
        if isinstance(values, dict):
            if axis in TABLE_COLUMNS or axis in _KNOWN:
                yield f"axes.{axis} sets several keys and needs a name of its own; choose another"
            for label, settings in values.items():
                yield from _unknown(f"axes.{axis}.{label}", settings)
        else:
            yield from _unknown("axes", [axis])
            if repeated := _repeated(values):
                yield f"axes.{axis} must hold different values, got {shown(repeated[0])} twice"
    yield from _unknown("set", sweep.set)
    for place, adjustment in enumerate(sweep.adjust):
        yield from _unknown(f"adjust[{place}].set", adjustment.set)


def _unknown(where: str, keys: Iterable[str]) -> Iterator[str]:
    """A sentence for each of `keys` that no job has."""
    for key in keys:
        if key in ("name", "seed") or key.startswith("runtime."):
            yield f"{where} cannot vary {key}, which does not describe a result or is the sweep's"
        elif key not in _KNOWN:
            near = get_close_matches(key, _KNOWN, n=1)
            meant = f"did you mean {near[0]}?" if near else "`veiltune run` writes all keys out"
            yield f"{where}: {key} is not a key of a job; {meant}"


def _unmet(sweep: SweepSpec) -> Iterator[str]:
    """A sentence for each label that an adjustment names and no point has."""
    small = sweep.small.axes if sweep.small else {}
    for place, adjustment in enumerate(sweep.adjust):
        for axis, label in adjustment.where.items():
            labels = [*sweep.axes.get(axis, []), *small.get(axis, [])]
            where = f"adjust[{place}].where"
            if axis not in sweep.axes:
                axes = ", ".join(sweep.axes) or "none"
                yield f"{where}: {axis} is not an axis; name one of {axes}"
            elif not any(_same(label, each) for each in labels):
                known = ", ".join(map(shown, labels))
                yield f"{where}: {axis} has no value {shown(label)}; name one of {known}"


def _without_effect(sweep: SweepSpec, overrides: Sequence[str]) -> Iterator[str]:
    """A sentence for each override of a key that the sweep itself sets at its points."""
    varied: set[str] = set()
    for axis, values in sweep.axes.items():
        varied |= {axis} if isinstance(values, list) else {k for s in values.values() for k in s}
    for adjustment in sweep.adjust:
        varied |= set(adjustment.set)
    for override in overrides:
        key = override.partition("=")[0].strip()
        if key in varied:
            yield f"--set {key} has no effect, for an axis or `adjust` sets it; edit the sweep"


def _repeated(values: Sequence[Any]) -> list[Any]:
    return [value for place, value in enumerate(values) if value in values[:place]]


def _said(labels: Labels) -> str:
    return ", ".join(f"{axis}={shown(label)}" for axis, label in labels.items()) or "the job"


_KNOWN = frozenset(known_paths(JobSpec))

"""The page about a sweep: its frontier, curves and arms, its runs, their protection, its origin."""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from veiltune_analysis.figures.stamp import SEEDED, SMALL, short_commit
from veiltune_analysis.report.axes import Axes, shown
from veiltune_analysis.report.card import card_html, read_card, statement
from veiltune_analysis.report.choices import boxes, rules
from veiltune_analysis.report.frontier_part import frontier_part
from veiltune_analysis.report.page import Heading, Section, page, text
from veiltune_analysis.report.parts import (
    SYNTHETIC,
    beside,
    bullets,
    duration,
    folded,
    many,
    notices,
    pairs,
    paragraph,
    tiles,
)
from veiltune_analysis.report.sweep_arms import arms_table, by_arm, comparisons, runs_tables
from veiltune_analysis.report.sweep_curves import curves_part
from veiltune_analysis.runs import Summary, read_run
from veiltune_analysis.statistics import seeds_warning
from veiltune_analysis.tables import SweepRecord, load_sweep

Threats = tuple[tuple[str, ...], tuple[str, ...]]
"""What is kept out, and what is not."""


def sweep_page(folder: Path) -> str:
    """The page about the sweep in `folder`, as HTML.

    Raises:
        OutputError: it is not a sweep's folder, or no run in it can be read.
    """
    record = load_sweep(folder)
    axes = Axes(record.tables.axes)
    heading = Heading("veiltune · a sweep", record.name, _under(record, axes))
    frontier = frontier_part(record, axes)
    sections = [
        *([Section("frontier", "The price of privacy", frontier)] if frontier else []),
        Section("curves", "Curves", curves_part(record, axes)),
        Section("arms", "Arms", [arms_table(record, axes)]),
        Section("comparisons", "Comparisons", list(comparisons(record, axes))),
        Section("runs", "Runs", list(runs_tables(record, axes))),
        Section("privacy", "Privacy", list(_cards(record))),
        Section("origin", "Origin", list(_origin(record))),
    ]
    opening = [notices(_notices(record)), tiles(_figures(record, axes)), boxes(axes.choices)]
    return page(heading, opening, sections, rules(axes.choices))


def _under(record: SweepRecord, axes: Axes) -> str:
    varied = [f"{axes.title(axis)} ({len(labels)})" for axis, labels in axes.labels.items()]
    seeds = many(len(record.seeds), "seed")
    return f"{' × '.join(varied) or 'one job'}, {seeds}"


def _notices(record: SweepRecord) -> Iterable[str]:
    runs = record.tables.runs
    if record.small:
        yield SMALL
    if runs["synthetic"].any():
        yield SYNTHETIC
    if runs["seeded_noise"].any():
        yield SEEDED
    warning = seeds_warning(len(record.seeds))
    if warning:
        yield warning
    yield from record.tables.notes()


def _figures(record: SweepRecord, axes: Axes) -> list[tuple[str, str, str]]:
    runs = record.tables.runs.drop_duplicates("folder")
    complete = int((runs["status"] == "complete").sum())
    whole = len(runs) + len(record.tables.skipped)
    found = [("Runs complete", f"{complete:,}", f"of {whole:,} in the sweep")]
    arms = [arm for arm in by_arm(record, axes) if math.isfinite(arm["val_loss"].mean)]
    if arms:
        best = min(arms, key=lambda arm: float(arm["val_loss"].mean))
        name = axes.name(best["labels"], list(axes.labels))
        found.append(("Lowest mean loss", f"{best['val_loss'].mean:.3f}", name))
    found.append(("Seeds", str(len(record.seeds)), ", ".join(str(each) for each in record.seeds)))
    summary = record.summary or {}
    seconds, speed = _number(summary.get("seconds")), _number(summary.get("runs_per_hour"))
    if seconds is not None:
        note = f"{speed:,.0f} runs an hour" if speed is not None else "all sessions together"
        found.append(("Time", duration(seconds), note))
    else:
        spent = float(runs["seconds"].fillna(0).sum())
        found.append(("Time", duration(spent), "sum over the runs so far"))
    return found


def _cards(record: SweepRecord) -> Iterable[str]:
    """Runs that are protected alike, together; the numbers of each stand in the tables."""
    alike: dict[Threats, list[tuple[Summary, dict[str, Any] | None]]] = {}
    for folder in dict.fromkeys(record.tables.runs["folder"]):
        run, card = read_run(Path(folder)), read_card(Path(folder))
        threats = _threats(card, "threats_kept_out"), _threats(card, "threats_not_kept_out")
        alike.setdefault(threats, []).append((run.summary, card))
    for (kept, not_kept), group in alike.items():
        summary, card = group[0]
        yield f"<h3>{text(many(len(group), 'run'))}</h3>"
        said = dict.fromkeys(statement(card, summary) for summary, card in group)
        yield paragraph(next(iter(said)))
        if len(said) > 1:
            yield paragraph(f"So run {summary.run}; the others differ in their figures.")
        yield beside(bullets("Kept out", kept), bullets("Not kept out", not_kept))
        whole = "".join(card_html(card, summary))
        yield folded(f"The whole card of one of them, run {summary.run}", whole)


def _threats(card: Mapping[str, Any] | None, name: str) -> tuple[str, ...]:
    threats = (card or {}).get(name)
    return tuple(str(threat) for threat in threats) if isinstance(threats, list) else ()


def _origin(record: SweepRecord) -> Iterable[str]:
    runs = record.tables.runs.drop_duplicates("folder")
    summary = record.summary or {}
    values: dict[str, Any] = {
        "sweep": record.name,
        "figure": record.figure or "none",
        "seeds": ", ".join(str(seed) for seed in record.seeds),
        "commits": ", ".join(sorted({short_commit(each) for each in runs["commit"]})),
        "versions of veiltune": _distinct(runs, "version"),
        "data": _distinct(runs, "data"),
        "SHA-256 of the data": _distinct(runs, "data_sha256", 12),
        "model": _distinct(runs, "backbone"),
        "different specifications": runs["specification_hash"].nunique(),
        **{
            name: summary[name]
            for name in ("engine", "workers", "cores", "seconds", "runs_per_hour", "commit")
            if name in summary
        },
    }
    yield pairs("Origin", values)
    varied = {
        axis: ", ".join(shown(label) for label in labels)
        for axis, labels in record.tables.axes.items()
    }
    yield "<h3>What was varied</h3>"
    yield pairs("What was varied", varied)


def _distinct(runs: pd.DataFrame, column: str, letters: int | None = None) -> str:
    found = sorted({str(each)[:letters] for each in runs[column].dropna()})
    return ", ".join(found) or "not recorded"


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None

"""The frontier: loss and accuracy against epsilon, with what can be said of them.

A line is the monotone fit, a mark the mean over seeds it is fitted to. Bands are the 95 % t
intervals at the tested epsilons, made monotone like the means (`veiltune_analysis.frontier`).
"""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from veiltune.errors import OutputError
from veiltune_analysis.drawing import (
    BLACK,
    HAIRLINE,
    LOOKS,
    Line,
    Look,
    frame_losses,
    frame_values,
    house_style,
    name_lines,
)
from veiltune_analysis.figures.files import print_under, write_figure
from veiltune_analysis.figures.stamp import stamp_of_sweep
from veiltune_analysis.frontier import (
    LOCAL_LOSS,
    TEST_ACCURACY,
    TEST_LOSS,
    VALIDATION_ACCURACY,
    VALIDATION_LOSS,
    Frontier,
    Measure,
    at_equal_epsilon,
    findings,
    frontiers,
    monotone_fit,
    price_table,
    sweep_points,
)
from veiltune_analysis.frontier.data import EPSILON_AXIS
from veiltune_analysis.statistics import mean_interval
from veiltune_analysis.tables import SweepRecord

ENCODER, SPACE = "adapter.encoder", "privacy.example_level.space"
DRAWN = (VALIDATION_LOSS, VALIDATION_ACCURACY)
NO_PRIVACY = Look(BLACK, (0, (2, 2)), "", 1.1)
WITHIN_A_DECADE = 15.0
"""A logarithmic axis no longer than this has more numbers if they are evenly spaced."""
NOTE = (
    "Lines: monotone fit of the means (marks). Bands: 95 % t interval over seeds, made monotone. "
    "Dashed level with a grey band: without differential privacy."
)
SPACES = (
    " Output space: the gradients of the virtual tokens are clipped and noised; encoder space: "
    "those of the encoder's parameters."
)


@dataclass(frozen=True)
class Drawn:
    """A frontier, the panel it stands in, and its name there."""

    frontier: Frontier
    panel: str
    line: str


def frontier(record: SweepRecord, folder: Path) -> tuple[Path, ...]:
    """The frontier of a sweep stands in `folder`, under the sweep's name; returns the files.

    PNG, PDF and the drawn numbers as CSV; the price table, the findings, the arms compared at
    equal epsilon and the prices by site as CSV each; and the tables for a person to read as
    Markdown.

    Raises:
        OutputError: the sweep has no axis of epsilons, no whole seed, or `folder` cannot be
            written.
    """
    drawn = {measure: _drawn(record, measure) for measure in DRAWN}
    stamp = stamp_of_sweep(record).text()
    with house_style():
        panels = list(dict.fromkeys(each.panel for each in drawn[VALIDATION_LOSS]))
        figure = Figure(
            figsize=(4.6 * len(panels) + 1.0, 6.2),
            layout=ConstrainedLayoutEngine(h_pad=0.12, w_pad=0.06),
        )
        grid = figure.subplots(len(DRAWN), len(panels), squeeze=False)
        naming: list[Callable[[], None]] = []
        for measure, row in zip(DRAWN, grid, strict=True):
            for panel, axes in zip(panels, row, strict=True):
                own = [each for each in drawn[measure] if each.panel == panel]
                naming.append(_draw(axes, own, [each.frontier for each in drawn[measure]], panel))
        spaces = SPACES if SPACE in record.tables.axes else ""
        print_under(figure, f"{stamp} {NOTE}{spaces}")
        figure.draw_without_rendering()
        for name in naming:
            name()
        numbers = pd.concat([_numbers(each) for row in drawn.values() for each in row])
        files = write_figure(figure, numbers, folder, record.name)
    everything = [each.frontier for row in drawn.values() for each in row]
    everything += [each for measure in (TEST_LOSS, TEST_ACCURACY) for each in _all(record, measure)]
    tables = {
        "price": price_table(everything),
        "findings": findings(everything),
        "equal-epsilon": at_equal_epsilon(everything),
        "price-by-site": price_table(_all(record, LOCAL_LOSS, by_site=True)),
    }
    written = [
        _write(folder / f"{record.name}-{name}.csv", table) for name, table in tables.items()
    ]
    page = folder / f"{record.name}.md"
    page.write_text(_markdown(everything, stamp), encoding="utf-8")
    return files.png, files.pdf, files.csv, *written, page


def _drawn(record: SweepRecord, measure: Measure) -> list[Drawn]:
    points = sweep_points(record, measure)
    others = [axis for axis in record.tables.axes if axis != EPSILON_AXIS]
    by = ENCODER if ENCODER in others else others[-1] if len(others) > 1 else None
    found = []
    for each in frontiers(points, measure):
        labels = points.loc[points["arm"] == each.arm].iloc[0]
        panel = f"{labels[by]} prompt encoder" if by == ENCODER else str(labels[by]) if by else ""
        line = ", ".join(
            f"{labels[axis]} space" if axis == SPACE else str(labels[axis])
            for axis in others
            if axis != by
        )
        found.append(Drawn(each, panel, line or "private"))
    return found


def _all(record: SweepRecord, measure: Measure, *, by_site: bool = False) -> tuple[Frontier, ...]:
    """Every frontier of a measure; none where it was never measured."""
    points = sweep_points(record, measure, by_site=by_site)
    return () if points["value"].isna().all() else frontiers(points, measure)


def _draw(
    axes: Axes, own: Sequence[Drawn], everything: Sequence[Frontier], panel: str
) -> Callable[[], None]:
    """The panel is drawn but for the lines' names, which what is returned writes."""
    measure = own[0].frontier.measure
    epsilons = sorted({float(epsilon) for each in own for epsilon in each.frontier.epsilons})
    lines = [_line(each, LOOKS[place % len(LOOKS)]) for place, each in enumerate(own)]
    levels = _levels(own, np.array([epsilons[0], epsilons[-1]]))
    for line, each in zip(lines, own, strict=True):
        axes.plot(
            line.x, line.y, color=line.look.colour, linestyle=line.look.dash,
            linewidth=line.look.width,
        )  # fmt: skip
        axes.plot(
            line.x, each.frontier.edges()[0], color=line.look.colour, linestyle="none",
            marker=line.look.marker, markersize=4.4, markerfacecolor="white",
        )  # fmt: skip
        if line.low is not None and line.high is not None:
            axes.fill_between(
                line.x, line.low, line.high, color=line.look.colour, alpha=0.16, linewidth=0
            )
    for level in levels:
        axes.axhline(
            level.y[0], color=level.look.colour, linestyle=level.look.dash,
            linewidth=level.look.width,
        )  # fmt: skip
        if level.low is not None and level.high is not None:
            axes.axhspan(level.low[0], level.high[0], color=BLACK, alpha=0.09, linewidth=0)
    axes.set_title(panel)
    frame_values(axes, "epsilon", epsilons, [f"{epsilon:g}" for epsilon in epsilons])
    if measure.lower_is_better:
        # Every panel has the limits of all, so that they can be read side by side.
        named = [Drawn(each, "", "") for each in everything]
        every = [_line(each, NO_PRIVACY) for each in named]
        every += _levels(named, np.array([epsilons[0], epsilons[-1]]))
        frame_losses(axes, f"{measure.name} ({measure.unit})", every)
        bottom, top = axes.get_ylim()
        if top / bottom < WITHIN_A_DECADE:
            axes.yaxis.set_major_locator(MaxNLocator(6))
    else:
        _frame_shares(axes, measure.name, everything)
    return lambda: name_lines(axes, [*lines, *levels])


def _line(drawn: Drawn, look: Look) -> Line:
    fit = monotone_fit(drawn.frontier)
    if fit is None:
        # What diverged leaves a gap in the means, and nothing to fit.
        return Line(drawn.line, look, drawn.frontier.epsilons, *drawn.frontier.edges())
    return Line(drawn.line, look, fit.epsilons, fit.fitted, fit.low, fit.high)


def _levels(own: Sequence[Drawn], ends: NDArray[np.float64]) -> list[Line]:
    """The level without privacy: one for all frontiers that share it."""
    levels: dict[tuple[float, ...], str] = {}
    for each in own:
        if each.frontier.reference is not None:
            key = tuple(float(value) for value in each.frontier.reference)
            levels.setdefault(key, "no privacy" if not levels else f"no privacy, {each.line}")
    found = []
    for values, name in levels.items():
        level = mean_interval(values)
        edges = (np.full(2, value) for value in (level.mean, level.low, level.high))
        found.append(Line(name, NO_PRIVACY, ends, *edges))
    return found


def _frame_shares(axes: Axes, label: str, everything: Sequence[Frontier]) -> None:
    """The vertical axis holds every mean with room around it, within 0 and 1."""
    axes.set_ylabel(label)
    axes.grid(axis="y", color=HAIRLINE, linewidth=0.7)
    means = np.concatenate(
        [
            np.append(each.edges()[0], np.nan if each.reference is None else each.reference.mean())
            for each in everything
        ]
    )
    means = means[np.isfinite(means)]
    if means.size:
        room = max(0.35 * float(np.ptp(means)), 0.05)
        axes.set_ylim(max(0.0, means.min() - room), min(1.01, means.max() + room))


def _numbers(drawn: Drawn) -> pd.DataFrame:
    table = price_table([drawn.frontier])[["measure", "epsilon", "seeds", "mean", "low", "high"]]
    table.insert(1, "panel", drawn.panel)
    table.insert(2, "line", drawn.line)
    fit = monotone_fit(drawn.frontier)
    for name in ("fitted", "fitted_low", "fitted_high"):
        column = np.full(len(table), math.nan)
        if fit is not None:
            column[: len(fit.epsilons)] = getattr(fit, name.removeprefix("fitted_"))
        table[name] = column
    return table


def _write(path: Path, table: pd.DataFrame) -> Path:
    try:
        table.to_csv(path, index=False)
    except OSError as error:
        raise OutputError(
            f"expected to write tables to {path.parent}, got {error.strerror}; name another folder"
        ) from error
    return path


def _markdown(everything: Sequence[Frontier], stamp: str) -> str:
    lines = ["# The price of privacy", "", stamp]
    for measure in dict.fromkeys(each.measure for each in everything):
        own = [each for each in everything if each.measure == measure]
        unit = f" ({measure.unit})" if measure.unit else ""
        lines += [
            "",
            f"## {measure.name[0].upper()}{measure.name[1:]}",
            "",
            f"| arm | epsilon | {measure.name}{unit} | price, paired | price in % | seeds |",
            "|---|---|---|---|---|---|",
        ]
        lines += [
            f"| {row['arm']} | {_epsilon(row['epsilon'])} | {_pm(row, 'mean', 'low', 'high')} | "
            f"{_pm(row, 'price', 'price_low', 'price_high')} | "
            f"{_pm(row, 'percent', 'percent_low', 'percent_high', digits=1)} | {row['seeds']} |"
            for row in price_table(own).to_dict("records")
        ]
        lines += ["", "| arm | question | answer |", "|---|---|---|"]
        lines += [
            f"| {row['arm']} | {row['question']} | {row['answer']} |"
            for row in findings(own).to_dict("records")
        ]
        lines += _compared(own)
    return "\n".join([*lines, ""])


def _compared(own: Sequence[Frontier]) -> list[str]:
    """The comparisons at equal epsilon; nothing where there are none."""
    table = at_equal_epsilon(own)
    if table.empty:
        return []
    counted = int(table["comparisons"].iloc[0])
    lines = [
        "",
        f"Arms at equal epsilon: first - second, paired by seed; p corrected for {counted} "
        f"comparisons (Holm); the effect is d_z with Hedges' correction.",
        "",
        "| epsilon | first | second | difference | effect | p, corrected | seeds | verdict |",
        "|---|---|---|---|---|---|---|---|",
    ]
    return lines + [
        f"| {_epsilon(row['epsilon'])} | {row['first']} | {row['second']} | "
        f"{_interval(row, 'difference', 'low', 'high')} | "
        f"{_interval(row, 'effect', 'effect_low', 'effect_high', digits=1)} | "
        f"{_p(row['p_holm'])} | {row['seeds']} | {row['verdict']} |"
        for row in table.to_dict("records")
    ]


def _p(value: float) -> str:
    if math.isnan(value):
        return "not known"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _epsilon(value: float) -> str:
    return "none" if math.isinf(value) else f"{value:g}"


def _pm(row: Mapping[Hashable, Any], mean: str, low: str, high: str, digits: int = 3) -> str:
    if math.isinf(row["epsilon"]) and mean != "mean":
        return ""
    return _interval(row, mean, low, high, digits)


def _interval(row: Mapping[Hashable, Any], mean: str, low: str, high: str, digits: int = 3) -> str:
    if not math.isfinite(row[mean]):
        return "not known"
    text = f"{row[mean]:.{digits}f}"
    if not math.isfinite(row[low]):
        return text
    return f"{text} ({row[low]:.{digits}f} to {row[high]:.{digits}f})"

"""The report's frontier: loss and accuracy against epsilon, what privacy costs, and the findings.

The numbers are those of `veiltune_analysis.frontier`; here they are only shown.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from veiltune.errors import OutputError
from veiltune_analysis.frontier import (
    VALIDATION_ACCURACY,
    VALIDATION_LOSS,
    Frontier,
    Measure,
    findings,
    frontiers,
    monotone_fit,
    price_table,
    sweep_points,
)
from veiltune_analysis.frontier.data import EPSILON_AXIS
from veiltune_analysis.report.axes import Axes
from veiltune_analysis.report.charts import Axis, Chart, Curve, draw
from veiltune_analysis.report.looks import Look, look
from veiltune_analysis.report.page import text
from veiltune_analysis.report.parts import (
    Cell,
    Row,
    ends,
    figure,
    paragraph,
    table,
    word,
)
from veiltune_analysis.statistics import Interval, mean_interval
from veiltune_analysis.tables import SweepRecord

LEVEL = Look("level", "3 3", 0)
NOTE = (
    "Marks are means over seeds, lines their monotone fit, bands the 95 % t intervals made "
    "monotone in the same way; the dashed level is without differential privacy. Prices are "
    "paired by seed."
)


def frontier_part(record: SweepRecord, axes: Axes) -> list[str]:
    """The frontier as HTML: charts, answers and prices; nothing where no epsilon varies."""
    if EPSILON_AXIS not in axes.labels:
        return []
    try:
        found = {measure: _frontiers(record, measure, axes) for measure in MEASURES}
    except OutputError as error:
        return [paragraph(f"No frontier: {error}.")]
    charts = [
        _chart(measure, panel, own, each)
        for measure, each in found.items()
        for panel, own in _panels(each).items()
    ]
    everything = [each for own in found.values() for each in own]
    return [
        draw(charts, "frontier"),
        f'<p class="quiet">{text(NOTE)}</p>',
        _answers(everything),
        _prices(everything, axes),
    ]


MEASURES = (VALIDATION_LOSS, VALIDATION_ACCURACY)


@dataclass(frozen=True)
class _Own:
    """A frontier, how its arm is called in a table and in its panel, and its tokens and look."""

    frontier: Frontier
    arm: str
    panel: str
    name: str
    tokens: Sequence[str]
    look: Look


def _frontiers(record: SweepRecord, measure: Measure, axes: Axes) -> list[_Own]:
    points = sweep_points(record, measure)
    if points["value"].isna().all():
        return []
    others = axes.others(EPSILON_AXIS)
    # With several other axes the last gives the panels, so that no chart has too many bands.
    inner, outer = (others[:-1], others[-1:]) if len(others) > 1 else (others, [])
    found = []
    looks: dict[str, Look] = {}
    for each in frontiers(points, measure):
        first = points.loc[points["arm"] == each.arm].iloc[0]
        labels = {str(axis): label for axis, label in first.items()}
        name = axes.name(labels, inner)
        drawn = looks.setdefault(name, look(len(looks)))
        panel = axes.name(labels, outer) if outer else ""
        found.append(
            _Own(each, axes.name(labels, others), panel, name, axes.tokens(labels, others), drawn)
        )
    return found


def _panels(found: Sequence[_Own]) -> dict[str, list[_Own]]:
    """The frontiers by the panel they stand in."""
    panels: dict[str, list[_Own]] = {}
    for each in found:
        panels.setdefault(each.panel, []).append(each)
    return panels


def _chart(measure: Measure, panel: str, own: Sequence[_Own], found: Sequence[_Own]) -> Chart:
    """The chart of some frontiers, on the scale of all that are found."""
    epsilons = sorted({float(value) for each in found for value in each.frontier.epsilons})
    curves = [_curve(each) for each in own] + _levels(own, epsilons)
    every = [_curve(each) for each in found] + _levels(found, epsilons)
    common = [token for token in own[0].tokens if all(token in each.tokens for each in own)]
    marks = [(value, f"{value:g}") for value in epsilons]
    unit = f" ({measure.unit})" if measure.unit else ""
    return Chart(
        f"{measure.name[0].upper()}{measure.name[1:]} against epsilon{panel and f', {panel}'}",
        Axis("epsilon", is_log=True, marks=marks),
        Axis(f"{measure.name}{unit}", is_log=measure.lower_is_better),
        curves,
        common if panel else (),
        every,
    )


def _curve(own: _Own) -> Curve:
    mean, low, high = own.frontier.edges()
    fit = monotone_fit(own.frontier)
    drawn = (mean, low, high) if fit is None else (fit.fitted, fit.low, fit.high)
    said = [
        _said(mean_interval(list(column)), percent=not own.frontier.measure.lower_is_better)
        for column in own.frontier.values.T
    ]
    x = [float(value) for value in own.frontier.epsilons]
    y, band_low, band_high = ([float(value) for value in values] for values in drawn)
    points = (x, [float(value) for value in mean])
    return Curve(own.name, own.look, x, y, said, band_low, band_high, own.tokens, points=points)


def _levels(found: Sequence[_Own], epsilons: Sequence[float]) -> list[Curve]:
    """The level without privacy: one for all arms that share their non-private runs.

    It stays while any choice that all of them have in common is shown.
    """
    shared: dict[tuple[float, ...], list[_Own]] = {}
    for each in found:
        if each.frontier.reference is not None:
            key = tuple(float(value) for value in each.frontier.reference)
            shared.setdefault(key, []).append(each)
    curves = []
    for values, group in shared.items():
        level = mean_interval(values)
        tokens = [token for token in group[0].tokens if all(token in x.tokens for x in group)]
        words = [set(each.name.split(", ")) for each in group]
        alike = [part for part in group[0].name.split(", ") if all(part in own for own in words)]
        name = ", ".join(["no privacy", *(alike if len(shared) > 1 else [])])
        said = _said(level, percent=not group[0].frontier.measure.lower_is_better)
        edges = [[value] * len(epsilons) for value in (level.mean, level.low, level.high)]
        curves.append(
            Curve(
                name,
                LEVEL,
                epsilons,
                edges[0],
                [said] * len(epsilons),
                edges[1],
                edges[2],
                tokens,
                is_level=True,
            )
        )
    return curves


def _said(interval: Interval, *, percent: bool) -> str:
    scale, unit, digits = (100, " %", 1) if percent else (1, "", 3)
    mean = f"{scale * interval.mean:.{digits}f}{unit}"
    if not interval.is_known:
        return mean
    edges = (f"{scale * edge:.{digits}f}" for edge in (interval.low, interval.high))
    return f"{mean} ({' to '.join(edges)})"


def _answers(everything: Sequence[_Own]) -> str:
    rows = [
        Row(
            [
                word(each.arm),
                word(each.frontier.measure.name),
                word(row["question"]),
                word(row["answer"]),
                figure(row["seeds"], 0),
            ],
            each.tokens,
        )
        for each in everything
        for row in findings([each.frontier]).to_dict("records")
    ]
    header = ["arm", "measure", "question", "answer, with its 95 % interval", "seeds"]
    return table("What the frontier says", header, rows)


def _prices(everything: Sequence[_Own], axes: Axes) -> str:
    header = ["arm", "measure", "epsilon", "mean", "95 % interval", "price", "95 % interval"]
    rows = [
        Row(_price_row(each, row), [*each.tokens, _epsilon_token(row["epsilon"], axes)])
        for each in everything
        for row in price_table([each.frontier]).to_dict("records")
    ]
    return table("The price of privacy", [*header, "price in %", "95 % interval", "seeds"], rows)


def _epsilon_token(epsilon: float, axes: Axes) -> str:
    """The token of an epsilon, infinity being the label "none"."""
    numbers = {
        math.inf if label is None else float(label): label
        for label in axes.labels[EPSILON_AXIS]
        if label is None or not isinstance(label, str)
    }
    return axes.token(EPSILON_AXIS, numbers[epsilon])


def _price_row(own: _Own, row: Mapping[Hashable, Any]) -> list[Cell]:
    is_private = math.isfinite(row["epsilon"])
    # Without privacy stands after every epsilon in whichever order.
    epsilon = Cell(f"{row['epsilon']:g}" if is_private else "none", row["epsilon"], True)
    return [
        word(own.arm),
        word(own.frontier.measure.name),
        epsilon,
        figure(row["mean"]),
        ends(row["low"], row["high"], 3),
        figure(row["price"]),
        ends(row["price_low"], row["price_high"], 3),
        figure(row["percent"], 1),
        ends(row["percent_low"], row["percent_high"], 1),
        figure(row["seeds"], 0),
    ]

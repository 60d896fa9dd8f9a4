"""The report's curves of a sweep: a chart for each combination of labels but those of one axis."""

from collections.abc import Mapping
from itertools import product
from typing import Any

import pandas as pd

from veiltune_analysis.report.axes import Axes
from veiltune_analysis.report.charts import Axis, Chart, Curve, draw
from veiltune_analysis.report.parts import many, paragraph
from veiltune_analysis.statistics import mean_interval
from veiltune_analysis.tables import SweepRecord

MOST_PANELS = 12
LOSS = "validation loss (nats per example)"


def curves_part(record: SweepRecord, axes: Axes) -> list[str]:
    """Loss by round as HTML: means over seeds with their intervals, on one scale."""
    rounds = record.tables.complete().rounds
    if rounds.empty:
        return [paragraph("No run is complete: there is nothing to draw yet.")]
    others = axes.others(axes.line_axis)
    panels = list(product(*[axes.labels[axis] for axis in others]))
    charts = []
    for labels in panels[:MOST_PANELS]:
        named = dict(zip(others, labels, strict=True))
        curves = _panel_curves(rounds, axes, named)
        if curves:
            title = axes.name(named, others) if others else "Loss by round"
            tokens = axes.tokens(named, others)
            charts.append(Chart(title, Axis("round"), Axis(LOSS, is_log=True), curves, tokens))
    everything = [curve for chart in charts for curve in chart.curves]
    charts = [
        Chart(chart.title, chart.x, chart.y, chart.curves, chart.of, everything) for chart in charts
    ]
    left = len(panels) - MOST_PANELS
    return [
        draw(charts, "curves"),
        '<p class="quiet">The shared prompt on validation examples after each round: mean over '
        "seeds with the 95 % t interval. All charts have one scale.</p>",
        *([paragraph(f"{left} more panels are not drawn; the tables have them.")] * (left > 0)),
    ]


def _panel_curves(rounds: pd.DataFrame, axes: Axes, named: Mapping[str, Any]) -> list[Curve]:
    own = rounds[_where(rounds, axes, named)]
    axis = axes.line_axis
    labels = axes.labels[axis] if axis else [None]
    curves = []
    for label, look in zip(labels, axes.looks(), strict=True):
        chosen = own[_where(own, axes, {axis: label})] if axis else own
        by_run = chosen.groupby(["round", "run"])["global_loss"].mean().dropna()
        by_round = [(at, list(group)) for at, group in by_run.groupby(level="round")]
        if not by_round:
            continue
        means = [mean_interval(values) for _, values in by_round]
        said = [
            f"{each.mean:.3f}"
            + (f" ({each.low:.3f} to {each.high:.3f})" if each.is_known else "")
            + f", {many(each.seeds, 'run')}"
            for each in means
        ]
        name = axes.name({axis: label}, [axis]) if axis else "all runs"
        curves.append(
            Curve(
                name,
                look,
                [float(str(at)) for at, _ in by_round],
                [each.mean for each in means],
                said,
                [each.low for each in means],
                [each.high for each in means],
                [axes.token(axis, label)] if axis else [],
            )
        )
    return curves


def _where(table: pd.DataFrame, axes: Axes, named: Mapping[str, Any]) -> pd.Series:
    """Which rows have these labels."""
    found = pd.Series(True, index=table.index)
    for axis, label in named.items():
        token = axes.token(axis, label)
        found &= pd.Series([axes.token(axis, each) == token for each in table[axis]], table.index)
    return found

"""Line charts as SVG that stands in the page: read and printed without the script.

Beside each chart stand its values as JSON, ready to be shown, from which the script reads what is
under the pointer. Lengths are in the units of the SVG's view box, about a pixel each.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.ticker import LogLocator, MaxNLocator
from numpy.typing import NDArray

from veiltune_analysis.drawing import spread
from veiltune_analysis.report.looks import Look, dashed, marker
from veiltune_analysis.report.page import data_block, text

WIDTH, HEIGHT = 460.0, 290.0
LEFT, TOP, BOTTOM = 46.0, 30.0, 40.0
LINE_GAP = 14.0
LETTER = 6.3
LONGEST_NAME = 22


@dataclass(frozen=True)
class Curve:
    """A curve of a chart, and the edges of its band if it has one; values may be NaN."""

    name: str
    look: Look
    x: Sequence[float]
    y: Sequence[float]
    said: Sequence[str]
    """What the script shows of each point."""
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    of: Sequence[str] = ()
    is_level: bool = False
    """Whether it is a level across the chart, drawn without markers."""
    points: tuple[Sequence[float], Sequence[float]] | None = None
    """Measured points (x, y) where the curve itself is a fit."""


@dataclass(frozen=True)
class Axis:
    """An axis: its name, its scale, and the marks on it where they are not the usual ones."""

    name: str
    is_log: bool = False
    marks: Sequence[tuple[float, str]] = ()
    limits: tuple[float, float] | None = None


@dataclass(frozen=True)
class Chart:
    """A chart of some curves; `y_over` are the curves whose heights frame it, else its own."""

    title: str
    x: Axis
    y: Axis
    curves: Sequence[Curve]
    of: Sequence[str] = ()
    framed_by: Sequence[Curve] = ()


def draw(charts: Sequence[Chart], prefix: str) -> str:
    """The HTML of several charts side by side; `prefix` makes their ids the page's own."""
    drawn = "\n".join(_figure(chart, f"{prefix}-{at}") for at, chart in enumerate(charts))
    return f'<div class="charts">{drawn}</div>'


def _figure(chart: Chart, name: str) -> str:
    of = f' data-of="{" ".join(chart.of)}"' if chart.of else ""
    if not any(np.isfinite(np.asarray(curve.y, dtype=float)).any() for curve in chart.curves):
        inner = '<p class="nothing">Nothing was measured.</p>'
    else:
        inner = _Drawing(chart, name).html()
    return f'<figure class="chart"{of}><h3>{text(chart.title)}</h3>{inner}</figure>'


@dataclass(frozen=True)
class _Scale:
    """Values to places on the page."""

    low: float
    high: float
    start: float
    end: float
    is_log: bool

    def __call__(self, value: float) -> float:
        low, high = self.low, self.high
        if self.is_log:
            value, low, high = np.log([max(value, self.low * 1e-3), self.low, self.high])
        return float(self.start + (value - low) / (high - low) * (self.end - self.start))


class _Drawing:
    """One chart with its places worked out."""

    def __init__(self, chart: Chart, name: str) -> None:
        self.chart, self.name = chart, name
        longest = max(len(_short(curve.name)) for curve in chart.curves)
        self.right = WIDTH - 20 - LETTER * longest
        low, high = chart.x.limits or _range(np.concatenate([_array(c.x) for c in chart.curves]))
        self.x = _Scale(low, high, LEFT + 8, self.right - 6, chart.x.is_log)
        low, high = chart.y.limits or _heights(chart)
        self.y = _Scale(low, high, HEIGHT - BOTTOM, TOP, chart.y.is_log)

    def html(self) -> str:
        clip = (
            f'<clipPath id="{self.name}"><rect x="{LEFT}" y="{TOP - 4}" '
            f'width="{self.right - LEFT:.1f}" height="{HEIGHT - BOTTOM - TOP + 4}"/></clipPath>'
        )
        curves = "\n".join(self._curve(curve) for curve in self.chart.curves)
        title = f"{self.chart.title}: {self.chart.y.name} against {self.chart.x.name}"
        return (
            f'<div class="plot"><svg viewBox="0 0 {WIDTH:g} {HEIGHT:g}" role="img" '
            f'aria-label="{text(title)}">{clip}{self._frame()}\n{curves}\n'
            f'<path class="cursor" d="M0 {TOP}V{HEIGHT - BOTTOM}"/></svg>'
            f'<output class="values" aria-live="polite"></output></div>{self._values()}'
        )

    def _frame(self) -> str:
        foot = HEIGHT - BOTTOM
        parts = [f'<text class="name" x="0" y="12">{text(self.chart.y.name)}</text>']
        for value, shown in _marks(self.chart.y, self.y):
            y = self.y(value)
            parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{self.right:.1f}"/>')
            parts.append(
                f'<text class="mark-y" x="{LEFT - 6}" y="{y + 4:.1f}">{text(shown)}</text>'
            )
        parts.append(f'<path class="axis" d="M{LEFT} {foot}H{self.right:.1f}"/>')
        for value, shown in _marks(self.chart.x, self.x):
            x = self.x(value)
            parts.append(f'<path class="axis" d="M{x:.1f} {foot}v4"/>')
            parts.append(f'<text class="mark-x" x="{x:.1f}" y="{foot + 17}">{text(shown)}</text>')
        middle = (LEFT + self.right) / 2
        parts.append(
            f'<text class="name mark-x" x="{middle:.1f}" y="{HEIGHT - 5}">'
            f"{text(self.chart.x.name)}</text>"
        )
        return "".join(parts)

    def _curve(self, curve: Curve) -> str:
        x, y = _array(curve.x), _array(curve.y)
        seen = np.isfinite(x) & np.isfinite(y)
        if not seen.any():
            return ""
        parts = []
        if curve.low is not None and curve.high is not None:
            parts.append(self._band(x, _array(curve.low), _array(curve.high)))
        places = [(self.x(a), self.y(b)) for a, b in zip(x[seen], y[seen], strict=True)]
        line = "L".join(f"{a:.1f} {b:.1f}" for a, b in places)
        parts.append(f'<path class="line" d="M{line}"{dashed(curve.look)}/>')
        parts += self._marks_of(curve, places)
        of = f' data-of="{" ".join(curve.of)}"' if curve.of else ""
        clipped = f'<g clip-path="url(#{self.name})">{"".join(parts)}</g>'
        name = self._end(curve, places[-1])
        return f'<g class="curve {curve.look.ink}"{of}>{clipped}{name}</g>'

    def _marks_of(self, curve: Curve, places: Sequence[tuple[float, float]]) -> list[str]:
        if curve.points is not None:
            places = [
                (self.x(a), self.y(b))
                for a, b in zip(*curve.points, strict=True)
                if np.isfinite(a) and np.isfinite(b)
            ]
        elif curve.is_level:
            return []
        stride = max(1, len(places) // 8)
        return [marker(curve.look.marker, a, b) for a, b in places[::stride]]

    def _band(
        self, x: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]
    ) -> str:
        seen = np.isfinite(low) & np.isfinite(high) & np.isfinite(x)
        if seen.sum() < 2:
            return ""
        # Far outside the axes an edge says nothing more, and an SVG has limits of its own.
        near = [
            [min(max(self.y(value), -HEIGHT), 2 * HEIGHT) for value in edge[seen]]
            for edge in (high, low)
        ]
        across = [self.x(value) for value in x[seen]]
        there = [f"{a:.1f} {b:.1f}" for a, b in zip(across, near[0], strict=True)]
        back = [f"{a:.1f} {b:.1f}" for a, b in zip(across[::-1], near[1][::-1], strict=True)]
        return f'<path class="band" d="M{"L".join(there + back)}Z"/>'

    def _end(self, curve: Curve, end: tuple[float, float]) -> str:
        y = self._name_heights()[id(curve)]
        shown = _short(curve.name)
        whole = f"<title>{text(curve.name)}</title>" if shown != curve.name else ""
        right = self.right + 8
        return (
            f'<path class="lead" d="M{end[0] + 5:.1f} {end[1]:.1f}L{right:.1f} {y:.1f}"/>'
            f'<text class="end" x="{right + 3:.1f}" y="{y + 4:.1f}">{text(shown)}{whole}</text>'
        )

    def _name_heights(self) -> dict[int, float]:
        """Where the names stand: at the ends of their curves, without overlap."""
        ends = {}
        for curve in self.chart.curves:
            seen = _array(curve.y)[np.isfinite(_array(curve.y))]
            if seen.size:
                ends[id(curve)] = self.y(float(seen[-1]))
        room = HEIGHT - BOTTOM - TOP
        heights = [1 - (y - TOP) / room for y in ends.values()]
        placed = spread(heights, gap=LINE_GAP / room)
        return {key: TOP + (1 - y) * room for key, y in zip(ends, placed, strict=True)}

    def _values(self) -> str:
        """What the script shows: each place along x, and there each curve's words."""
        places = sorted({float(x) for curve in self.chart.curves for x in curve.x})
        marks = dict(self.chart.x.marks)
        curves = []
        for curve in self.chart.curves:
            if not np.isfinite(_array(curve.y)).any():
                continue  # it is not drawn either, and the script counts what is drawn
            said = {
                float(x): words
                for x, y, words in zip(curve.x, curve.y, curve.said, strict=True)
                if np.isfinite(y)
            }
            curves.append({"name": curve.name, "said": [said.get(x) for x in places]})
        return data_block(
            {
                "x": [round(self.x(x), 1) for x in places],
                "at": [f"{self.chart.x.name} {marks.get(x, f'{x:g}')}" for x in places],
                "curves": curves,
            }
        )


def _marks(axis: Axis, scale: _Scale) -> list[tuple[float, str]]:
    if axis.marks:
        return list(axis.marks)
    # Powers of ten alone would leave a short axis without a number.
    is_short = scale.low > 0 and scale.high / scale.low < 8
    locator = (
        LogLocator(subs=(1, 2, 5))
        if axis.is_log and not is_short
        else MaxNLocator(5, steps=[1, 2, 5, 10])
    )
    ticks = locator.tick_values(scale.low, scale.high)
    inside = [float(tick) for tick in ticks if scale.low <= tick <= scale.high]
    return [(tick, f"{tick:.10g}") for tick in inside]


def _heights(chart: Chart) -> tuple[float, float]:
    """The limits of the vertical axis: all values, and of the bands what leaves those readable."""
    curves = chart.framed_by or chart.curves
    values = _finite([c.y for c in curves] + [c.points[1] for c in curves if c.points])
    edges = _finite([edge for c in curves for edge in (c.low, c.high) if edge is not None])
    if chart.y.is_log:
        values, edges = values[values > 0], edges[edges > 0]
        if not values.size:
            return 0.1, 1.0
        low, high = float(values.min()), float(values.max())
        within = edges[(edges > low / 1.5) & (edges < high * 1.5)]
        both = np.concatenate([values, within])
        return float(both.min()) / 1.06, float(both.max()) * 1.06
    low, high = _range(values)
    room = (high - low) / 2
    within = edges[(edges > low - room) & (edges < high + room)]
    low, high = _range(np.concatenate([values, within]))
    return low - 0.04 * (high - low), high + 0.02 * (high - low)


def _range(values: NDArray[np.float64]) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    # Means of equal values differ in their last digit, which is no difference to draw.
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        margin = abs(low) * 0.05 or 0.5
        return low - margin, high + margin
    return low, high


def _finite(columns: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    values = np.concatenate([np.empty(0), *[_array(column) for column in columns]])
    return np.asarray(values[np.isfinite(values)])


def _array(values: Sequence[float]) -> NDArray[np.float64]:
    return np.asarray(values, dtype=np.float64)


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"

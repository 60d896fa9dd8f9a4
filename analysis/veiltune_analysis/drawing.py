"""How lines look, and the parts every figure is made of.

Each line differs in colour, dash and marker, so that it reads in grey print and with any colour
vision; the colours are those of Okabe and Ito (https://jfly.uni-koeln.de/color/). Lines carry
their names at their right end, outside the axes, so that nothing covers data.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import (
    EngFormatter,
    FixedFormatter,
    FixedLocator,
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullLocator,
)
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

INK, QUIET, HAIRLINE = "#222222", "#666666", "#e4e4e4"
BLUE, VERMILLION, ORANGE = "#0072B2", "#D55E00", "#E69F00"
GREEN, PURPLE, SKY, BLACK = "#009E73", "#CC79A7", "#56B4E9", "#000000"


def house_style() -> AbstractContextManager[None]:
    """Within this context figures look alike; outside it the caller's settings hold again."""
    return mpl.rc_context(
        {
            "font.family": "DejaVu Sans",
            "font.size": 8.5,
            "axes.titlesize": 9.5,
            "axes.titlelocation": "left",
            "axes.titlepad": 8.0,
            "axes.labelsize": 8.5,
            "axes.edgecolor": QUIET,
            "axes.labelcolor": INK,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.axisbelow": True,
            "xtick.color": QUIET,
            "ytick.color": QUIET,
            "xtick.labelcolor": INK,
            "ytick.labelcolor": INK,
            "text.color": INK,
            "pdf.fonttype": 42,
            "svg.hashsalt": "veiltune",
        }
    )


@dataclass(frozen=True)
class Look:
    """How one line is drawn; `dash` is a matplotlib line style."""

    colour: str
    dash: Any
    marker: str
    width: float = 1.5


ARM_LOOKS = {
    "federated": Look(BLUE, "-", "o", 2.0),
    "centralised": Look(VERMILLION, (0, (5, 2)), "s"),
    "centralised (equal steps)": Look(ORANGE, (0, (6, 2, 1, 2)), "^"),
}
LOOKS = (
    Look(BLUE, "-", "o", 2.0),
    Look(VERMILLION, (0, (5, 2)), "s"),
    Look(GREEN, (0, (6, 2, 1, 2)), "^"),
    Look(PURPLE, (0, (1, 1.2)), "D"),
    Look(ORANGE, (0, (3, 1.5)), "v"),
    Look(BLACK, (0, (8, 2)), "P"),
)
"""Of lines that are no arm, in the order in which they are named."""
SITE_COLOURS = (GREEN, PURPLE, SKY, BLACK, ORANGE)
SITE_DASHES: tuple[Any, ...] = ((0, (4, 1.5)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)))
SITE_MARKERS = "Dv^sP<>"


@dataclass(frozen=True)
class Line:
    """A line to draw: its name, points, look, and the edges of its band if it has one."""

    name: str
    look: Look
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    low: NDArray[np.float64] | None = None
    high: NDArray[np.float64] | None = None


def site_look(place: int) -> Look:
    """The look of the site at `place`; 105 sites pass before a look comes again."""
    return Look(
        SITE_COLOURS[place % len(SITE_COLOURS)],
        SITE_DASHES[place % len(SITE_DASHES)],
        SITE_MARKERS[place % len(SITE_MARKERS)],
    )


def draw_lines(axes: Axes, lines: Sequence[Line]) -> None:
    """The lines and their bands are on the axes; markers are sparse and do not coincide."""
    for place, line in enumerate(lines):
        stride = max(1, len(line.x) // 7)
        offset = place * stride // max(1, len(lines))
        axes.plot(
            line.x,
            line.y,
            color=line.look.colour,
            linestyle=line.look.dash,
            linewidth=line.look.width,
            marker=line.look.marker,
            markersize=3.8,
            markevery=(offset, stride),
        )
        if line.low is not None and line.high is not None:
            axes.fill_between(
                line.x, line.low, line.high, color=line.look.colour, alpha=0.16, linewidth=0
            )


FAR_ABOVE = 4.0
"""A start so many times above all later losses is left out of the axis."""


def frame_rounds(axes: Axes, label: str) -> None:
    """The horizontal axis counts whole rounds."""
    axes.set_xlabel(label)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.margins(x=0.02)


def frame_losses(axes: Axes, label: str, lines: Sequence[Line]) -> None:
    """The vertical axis is logarithmic and holds every line, and bands as far as is readable.

    With few seeds a band can reach below zero or far above every line. The axis ends at a third
    of the lowest point and at three times the highest; a band beyond that is cut off there. An
    untuned start far above everything after it would press the rest flat: it is left above the
    axis, and written there.
    """
    axes.set_ylabel(label)
    axes.grid(axis="y", color=HAIRLINE, linewidth=0.7)
    points = _positive([line.y for line in lines])
    if points.size == 0:
        return
    later = _positive([line.y[line.x > 0] for line in lines])
    leaves_start_out = later.size > 0 and points.max() > FAR_ABOVE * later.max()
    if leaves_start_out:
        _write_start(axes, float(points.max()))
        points = later
    edges = _positive(
        [
            edge[line.x > 0] if leaves_start_out else edge
            for line in lines
            for edge in (line.low, line.high)
            if edge is not None
        ]
    )
    drawn = np.concatenate([points, edges])
    bottom = max(float(drawn.min()), float(points.min()) / 3) / 1.1
    top = min(float(drawn.max()), float(points.max()) * 3) * 1.1
    axes.set_yscale("log", nonpositive="clip")
    axes.set_ylim(bottom, top)
    # Powers of ten alone would leave a short axis without a number.
    is_short = top / bottom < 4
    axes.yaxis.set_major_locator(MaxNLocator(5) if is_short else LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _write_start(axes: Axes, loss: float) -> None:
    axes.annotate(
        f"untuned: {loss:.3g}, above the axis",
        xy=(0.98, 0.97),
        xycoords="axes fraction",
        ha="right",
        va="top",
        fontsize=7,
        color=QUIET,
    )


def frame_values(axes: Axes, label: str, values: Sequence[float], named: Sequence[str]) -> None:
    """The horizontal axis is logarithmic and has a tick, with its name, at each value alone."""
    axes.set_xlabel(label)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(list(values)))
    axes.xaxis.set_major_formatter(FixedFormatter(list(named)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.margins(x=0.06)


def frame_names(axes: Axes, label: str, names: Sequence[str]) -> None:
    """The horizontal axis has the names in order, at 1, 2 and so on."""
    axes.set_xlabel(label)
    axes.set_xticks(range(1, len(names) + 1), list(names))
    axes.set_xlim(0.7, len(names) + 0.3)


def frame_sizes(axes: Axes, label: str) -> None:
    """The vertical axis is logarithmic; one that spans few powers of ten has ticks between them."""
    axes.set_ylabel(label)
    axes.set_yscale("log")
    bottom, top = axes.get_ylim()
    if top / bottom < 500:
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        plain = FuncFormatter(lambda value, _: f"{value:g}")
        axes.yaxis.set_major_formatter(EngFormatter(sep="") if bottom >= 1 else plain)
    axes.yaxis.set_minor_locator(NullLocator())
    axes.grid(axis="y", color=HAIRLINE, linewidth=0.7)


def name_lines(axes: Axes, lines: Sequence[Line]) -> None:
    """Each line has its name right of the axes, at the height of its end, without overlap.

    Call it when both axes have their final limits.
    """
    ends = []
    for line in lines:
        seen = np.flatnonzero(np.isfinite(line.y))
        if seen.size:
            ends.append((line, line.x[seen[-1]], line.y[seen[-1]]))
    to_fraction = axes.transData + axes.transAxes.inverted()
    heights = [float(to_fraction.transform((x, y))[1]) for _, x, y in ends]
    height_in = axes.get_position().height * axes.figure.get_figure(root=True).get_figheight()
    places = spread(heights, gap=0.16 / height_in)
    for (line, x, y), place in zip(ends, places, strict=True):
        axes.annotate(
            line.name,
            xy=(x, y),
            xytext=(1.05, place),
            textcoords="axes fraction",
            va="center",
            fontsize=8,
            color=INK,
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": line.look.colour,
                "linewidth": 0.9,
                "shrinkA": 1,
                "shrinkB": 2,
            },
        )


def spread(heights: Sequence[float], gap: float) -> list[float]:
    """The heights, moved as little as possible so that neighbours are `gap` apart within [0, 1].

    The least sum of squared moves is the isotonic regression of the sorted heights less their
    rank times the gap. Where there is no room for the gap, the heights share [0, 1] evenly.
    """
    if not heights:
        return []
    n = len(heights)
    room = min(gap, 1 / (n - 1)) if n > 1 else gap
    order = np.argsort(heights, kind="stable")
    ranks = np.arange(n) * room
    fitted = isotonic_regression(np.asarray(heights, dtype=np.float64)[order] - ranks).x
    placed = np.empty(n)
    placed[order] = np.clip(fitted, 0, 1 - ranks[-1]) + ranks
    return [float(place) for place in placed]


def _positive(arrays: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    values = np.concatenate([np.empty(0), *arrays])
    return np.asarray(values[np.isfinite(values) & (values > 0)])

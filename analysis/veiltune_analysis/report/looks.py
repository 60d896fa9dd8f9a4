"""How curves look: a colour, a dash and a marker each, so that they read in grey and in any vision.

Colours are classes of the style sheet, which gives each of them for light and for dark: `c0`... are
those of Okabe and Ito (https://jfly.uni-koeln.de/color/) for labels without an order, `o0`... a
scale from light to dark for labels with one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

CLASSES, STEPS = 7, 6
DASHES = ("", "7 3", "2 2.5", "9 3 2 3", "4 2.5", "11 3", "1 3")


@dataclass(frozen=True)
class Look:
    """How one curve is drawn: a class of the style sheet, a dash pattern, a marker's number."""

    ink: str
    dash: str
    marker: int


def look(place: int) -> Look:
    """The look of the label at `place`; 245 pass before one comes again."""
    return Look(f"c{place % CLASSES}", DASHES[place % len(DASHES)], place % len(MARKERS))


def ordered_looks(count: int) -> list[Look]:
    """Looks for `count` labels that have an order, from light to dark."""
    steps = [round(place * (STEPS - 1) / max(1, count - 1)) for place in range(count)]
    return [
        Look(f"o{step}", DASHES[place % len(DASHES)], place % len(MARKERS))
        for place, step in enumerate(steps)
    ]


def marker(number: int, x: float, y: float) -> str:
    """The SVG of a marker at a place."""
    return f'<path class="mark" d="{MARKERS[number](x, y)}"/>'


def swatch(look: Look) -> str:
    """A short piece of the curve, for a legend."""
    return (
        '<svg class="swatch" viewBox="0 0 30 10" aria-hidden="true">'
        f'<g class="{look.ink}"><path class="line" d="M1 5H29"{dashed(look)}/>'
        f"{marker(look.marker, 15, 5)}</g></svg>"
    )


def dashed(look: Look) -> str:
    """The attribute that dashes a line, if it is dashed."""
    return f' stroke-dasharray="{look.dash}"' if look.dash else ""


def _polygon(*corners: tuple[float, float]) -> Callable[[float, float], str]:
    def path(x: float, y: float) -> str:
        places: Sequence[str] = [f"{x + dx:.1f} {y + dy:.1f}" for dx, dy in corners]
        return f"M{'L'.join(places)}Z"

    return path


def _circle(x: float, y: float) -> str:
    return f"M{x - 3:.1f} {y:.1f}a3 3 0 1 0 6 0a3 3 0 1 0 -6 0Z"


MARKERS: tuple[Callable[[float, float], str], ...] = (
    _circle,
    _polygon((-2.8, -2.8), (2.8, -2.8), (2.8, 2.8), (-2.8, 2.8)),
    _polygon((0, -3.6), (3.4, 2.6), (-3.4, 2.6)),
    _polygon((0, -3.9), (3.9, 0), (0, 3.9), (-3.9, 0)),
    _polygon((0, 3.6), (3.4, -2.6), (-3.4, -2.6)),
)

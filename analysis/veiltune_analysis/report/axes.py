"""The axes of a sweep as the report's choices: one axis is drawn as lines, the others as panels."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from veiltune_analysis.frontier.data import EPSILON_AXIS
from veiltune_analysis.report.choices import Choice
from veiltune_analysis.report.looks import Look, look, ordered_looks
from veiltune_analysis.tables import Label

NO_PRIVACY = Look("c6", "", 0)
"""How the label "none" of a numeric axis is drawn: apart from the scale of the others."""


class Axes:
    """A sweep's axes with the words, looks and tokens of their labels."""

    def __init__(self, axes: Mapping[str, Sequence[Label]]) -> None:
        self.labels = {axis: list(labels) for axis, labels in axes.items()}
        self.line_axis = _line_axis(self.labels)
        self.choices = [
            Choice(
                place,
                self.title(axis),
                [shown(label) for label in labels],
                self.looks() if axis == self.line_axis else None,
            )
            for place, (axis, labels) in enumerate(self.labels.items())
        ]

    def title(self, axis: str) -> str:
        """The axis for a person to read: the last part of its key, where that is its alone."""
        last = axis.rpartition(".")[2]
        alike = [each for each in self.labels if each.rpartition(".")[2] == last]
        return (last if len(alike) == 1 else axis).replace("_", " ")

    def looks(self) -> list[Look]:
        """How the line of each label of the line axis is drawn."""
        labels = self.labels[self.line_axis] if self.line_axis else [None]
        numbers = [label for label in labels if _is_number(label)]
        if len(numbers) < 2 or any(not _is_number(label) and label is not None for label in labels):
            return [look(place) for place in range(len(labels))]
        order = np.argsort(np.argsort(np.array(numbers, dtype=float)))
        scale = ordered_looks(len(numbers))
        ranked = iter([scale[place] for place in order])
        return [NO_PRIVACY if label is None else next(ranked) for label in labels]

    def token(self, axis: str, label: Label) -> str:
        """The token of one label."""
        place = [_plain(each) for each in self.labels[axis]].index(_plain(label))
        return self.choices[list(self.labels).index(axis)].token(place)

    def tokens(self, row: Mapping[str, Any], axes: Sequence[str] | None = None) -> list[str]:
        """The tokens of a table's row, on these axes or all."""
        return [self.token(axis, row[axis]) for axis in (self.labels if axes is None else axes)]

    def others(self, axis: str | None) -> list[str]:
        """All axes but one."""
        return [each for each in self.labels if each != axis]

    def name(self, labels: Mapping[str, Any], axes: Sequence[str]) -> str:
        """Labels for a person to read: words stand alone, other labels after their axis."""
        parts = [
            str(label) if isinstance(label, str) else f"{self.title(axis)} {shown(label)}"
            for axis, label in ((axis, labels[axis]) for axis in axes)
        ]
        return ", ".join(parts) or "all runs"


def shown(label: Any) -> str:
    """A label for a person to read."""
    plain = _plain(label)
    if plain is None:
        return "none"
    if isinstance(plain, bool):
        return "yes" if plain else "no"
    return f"{plain:g}" if isinstance(plain, float) else str(plain)


def _line_axis(labels: Mapping[str, Sequence[Label]]) -> str | None:
    """Epsilons are lines; else the axis with most labels, of equals the last."""
    if EPSILON_AXIS in labels:
        return EPSILON_AXIS
    return max(reversed(list(labels)), key=lambda axis: len(labels[axis]), default=None)


def _plain(label: Any) -> Any:
    """A table holds an absent label as NaN, and whole numbers as floats, where a column mixes."""
    if isinstance(label, np.generic):
        label = label.item()
    return None if isinstance(label, float) and math.isnan(label) else label


def _is_number(label: Label) -> bool:
    return isinstance(label, int | float) and not isinstance(label, bool)

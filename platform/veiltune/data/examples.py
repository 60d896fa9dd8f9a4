"""One labelled text, and a data set split into training, validation and test."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Example:
    """A text with its label, and the group (sector, department, author) it came from, if known."""

    text: str
    label: str
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Dataset:
    """Three splits of one corpus and the label set, in the order in which labels are reported."""

    name: str
    labels: tuple[str, ...]
    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    test: tuple[Example, ...]
    synthetic: bool = False
    """True when the texts were made by a program; every report says so."""


def label_counts(examples: Sequence[Example], labels: Sequence[str]) -> dict[str, int]:
    """The number of examples of each label, in the order of `labels`, zeros included."""
    counts = Counter(example.label for example in examples)
    return {label: counts[label] for label in labels}

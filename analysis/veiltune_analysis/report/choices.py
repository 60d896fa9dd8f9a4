"""What the reader may hide: the sites of a run, the labels of each axis of a sweep.

Every label has a token. Whatever carries a token in its attribute `data-of` (a curve, a chart, a
row) is hidden while the box of that label is not ticked. Rules of the page's style do it, so that
it works without the script.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from veiltune_analysis.report.looks import Look, swatch
from veiltune_analysis.report.page import text


@dataclass(frozen=True)
class Choice:
    """The labels of one axis, which the reader can show or hide; `place` numbers the axes."""

    place: int
    title: str
    labels: Sequence[str]
    looks: Sequence[Look] | None = None
    """How the curve of each label is drawn, where labels are curves."""

    def token(self, place: int) -> str:
        """The token of the label at `place`."""
        return f"a{self.place}-{place}"


def boxes(choices: Sequence[Choice]) -> str:
    """A box to tick for each label of each choice that has several."""
    inner = "".join(_fieldset(choice) for choice in choices if len(choice.labels) > 1)
    return f'<form class="choices">{inner}</form>' if inner else ""


def rules(choices: Sequence[Choice]) -> str:
    """The CSS that hides what belongs to a label whose box is not ticked."""
    return "".join(
        f'body:has(#{token}:not(:checked)) [data-of~="{token}"]{{display:none}}\n'
        for choice in choices
        for token in (choice.token(place) for place in range(len(choice.labels)))
    )


def _fieldset(choice: Choice) -> str:
    labels = "".join(
        f'<label><input type="checkbox" id="{choice.token(place)}" checked>'
        f"{swatch(choice.looks[place]) if choice.looks else ''}{text(label)}</label>"
        for place, label in enumerate(choice.labels)
    )
    return f"<fieldset><legend>{text(choice.title)}</legend>{labels}</fieldset>"

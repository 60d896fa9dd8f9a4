"""How a text and its label become what a language model reads.

A template opens with the virtual prompt, whose place the trained virtual tokens take, and ends with
the label, which the model has to predict. Everything between them is the context.
"""

import re
import string
from dataclasses import dataclass

from veiltune.errors import DataError

PROMPT_MARKER = "<|VIRTUAL_PROMPT_0|>"
DEFAULT_TEMPLATE = "<|VIRTUAL_PROMPT_0|> {sentence} sentiment:{label}"
"""The template of the reference experiment (NVFlare's NeMo prompt-learning example)."""

_ANY_MARKER = re.compile(r"<\|VIRTUAL_PROMPT_\d+\|>")


@dataclass(frozen=True, slots=True)
class Template:
    """The fixed words around a text, and what parts the label from them.

    Two spaces need a rule, because byte-level BPE spells a word with its leading space as one token
    and the bare word as another:

    * The one space between the marker and what follows is dropped. The context follows virtual
      tokens, not words, so it opens as a text does: `Sales rose`, not ` Sales rose`. (NeMo keeps
      the space; only the first token differs. To keep it, write two.)
    * The space before the label belongs to the label, so that the answer is the token of the whole
      word. `sentiment:{label}` and `sentiment: {label}` therefore mean the same, as they do with
      the reference's labels, which carry their own leading space.

    >>> template = Template.parse(DEFAULT_TEMPLATE)
    >>> template.context("Sales rose .") + template.answer("positive")
    'Sales rose . sentiment: positive'
    """

    before: str
    """Words before the text."""
    after: str
    """Words after the text, without trailing white space."""
    gap: str
    """The white space that opens every answer."""

    @classmethod
    def parse(cls, template: str) -> "Template":
        """The template that the notation describes; `{{` and `}}` stand for braces.

        Raises: DataError when the marker is missing, not first or repeated, when `{sentence}` or
        `{label}` is missing or repeated, when another placeholder occurs, or when anything but
        white space follows `{label}`.
        """
        body = _body(template)
        before, after, rest = _words(body)
        if rest.strip():
            raise DataError(
                "a template must end with {label}, because a causal model predicts the label before"
                " it reads what follows, but text follows it; move that text before {label}"
            )
        words = after.rstrip()
        return cls(before, words, after[len(words) :] or " ")

    def context(self, text: str) -> str:
        """Everything the model reads between the virtual tokens and the label."""
        return f"{self.before}{text}{self.after}"

    def answer(self, label: str) -> str:
        """What the model has to write after the context, white space first."""
        return f"{self.gap}{label}"


def _body(template: str) -> str:
    """What follows the marker and its one space."""
    markers = _ANY_MARKER.findall(template)
    if markers != [PROMPT_MARKER]:
        came = f"it has {', '.join(markers)}" if markers else "it has none"
        raise DataError(
            f"a template must hold the virtual prompt {PROMPT_MARKER} exactly once, but {came};"
            f" begin it as in {DEFAULT_TEMPLATE!r}"
        )
    opening, _, body = template.partition(PROMPT_MARKER)
    if opening.strip():
        raise DataError(
            f"a template must begin with {PROMPT_MARKER}, because p-tuning puts the virtual tokens"
            " before all text (as PEFT does), but words come first; move them after the marker"
        )
    return body.removeprefix(" ")


def _words(body: str) -> tuple[str, str, str]:
    """The words before the text, between text and label, and after the label."""
    try:
        pieces = list(string.Formatter().parse(body))
    except ValueError as error:
        raise DataError(
            f"a template's braces must pair up ({error}); write {{{{ or }}}} for a plain brace"
        ) from None
    words = [""]
    fields: list[str] = []
    for literal, field, specification, conversion in pieces:
        words[-1] += literal
        if field is None:
            continue
        if field not in ("sentence", "label") or specification or conversion:
            shown = field + (f"!{conversion}" if conversion else "")
            shown += f":{specification}" if specification else ""
            raise DataError(
                f"a template knows the placeholders {{sentence}} and {{label}}, got {{{shown}}};"
                " rename it, or double its braces if they are text"
            )
        fields.append(field)
        words.append("")
    for field, meaning in (("sentence", "the text"), ("label", "what the model predicts")):
        if fields.count(field) != 1:
            came = f"{fields.count(field)} times" if field in fields else "nowhere"
            raise DataError(
                f"a template must hold {{{field}}}, {meaning}, exactly once, but it stands {came};"
                f" write it as in {DEFAULT_TEMPLATE!r}"
            )
    if fields[0] == "label":
        # The text stands after the label, where it can no longer help to predict it.
        return "", words[0], "{sentence}"
    return words[0], words[1], words[2]

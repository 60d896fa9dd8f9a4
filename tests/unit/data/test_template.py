"""A template parts text, words and label, and refuses what p-tuning cannot use."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from veiltune.data.template import DEFAULT_TEMPLATE, PROMPT_MARKER, Template
from veiltune.errors import DataError


def test_reference_template() -> None:
    template = Template.parse(DEFAULT_TEMPLATE)
    assert template.context("Sales rose .") == "Sales rose . sentiment:"
    assert template.answer("positive") == " positive"


@pytest.mark.parametrize(
    ("notation", "context", "answer"),
    [
        ("{sentence} sentiment:{label}", "T sentiment:", " L"),
        ("{sentence} sentiment: {label}", "T sentiment:", " L"),
        ("{sentence}\nLabel:\n{label}\n", "T\nLabel:", "\nL"),
        ("  {sentence}{label}", " T", " L"),
        (" Headline: {sentence}\nTone:{label}", "Headline: T\nTone:", " L"),
        (" {{x}} {sentence} }}{label}", "{x} T }", " L"),
    ],
)
def test_spaces_and_words(notation: str, context: str, answer: str) -> None:
    template = Template.parse(PROMPT_MARKER + notation)
    assert (template.context("T"), template.answer("L")) == (context, answer)


@given(st.text())
def test_a_text_is_taken_as_it_is(text: str) -> None:
    assert Template.parse(DEFAULT_TEMPLATE).context(text) == text + " sentiment:"


@pytest.mark.parametrize(
    ("notation", "message"),
    [
        ("{sentence} sentiment:{label}", "must hold the virtual prompt .* it has none; begin it"),
        ("<|VIRTUAL_PROMPT_1|> {sentence}{label}", "exactly once, but it has <.VIRTUAL_PROMPT_1.>"),
        (f"{PROMPT_MARKER} {{sentence}} {PROMPT_MARKER}{{label}}", "exactly once"),
        (f"Read {PROMPT_MARKER} {{sentence}}{{label}}", "must begin with .* puts the virtual"),
        (f"{PROMPT_MARKER} {{sentence}} sentiment:", "must hold {label}.* it stands nowhere"),
        (f"{PROMPT_MARKER} sentiment:{{label}}", "must hold {sentence}.* it stands nowhere"),
        (f"{PROMPT_MARKER} {{sentence}}{{sentence}}{{label}}", "{sentence}.* it stands 2 times"),
        (f"{PROMPT_MARKER} {{sentence}}{{label}}{{label}}", "{label}.* it stands 2 times"),
        (f"{PROMPT_MARKER} {{sentence}}: {{label}}.", "must end with {label}, because a causal"),
        (f"{PROMPT_MARKER} {{label}}: {{sentence}}", "must end with {label}, because a causal"),
        (f"{PROMPT_MARKER} {{text}} sentiment:{{label}}", "got {text}; rename it"),
        (f"{PROMPT_MARKER} {{}} sentiment:{{label}}", "got {}; rename it"),
        (f"{PROMPT_MARKER} {{sentence!r}}{{label:>9}}", "got {sentence!r}; rename it"),
        (f"{PROMPT_MARKER} {{sentence}} {{ {{label}}", "braces|placeholders"),
        (f"{PROMPT_MARKER} {{sentence}} }} {{label}}", "braces must pair up"),
        ("", "must hold the virtual prompt"),
    ],
)
def test_refused(notation: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Template.parse(notation)

"""Examples become tokens that fit the window; only texts are cut, and the cut ones are counted."""

import copy
import logging
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from veiltune.data.encoding import encode
from veiltune.data.examples import Example
from veiltune.data.template import DEFAULT_TEMPLATE, Template
from veiltune.errors import DataError

LABELS = ("positive", "negative", "neutral")
TEMPLATE = Template.parse(DEFAULT_TEMPLATE)
Tokenizer = Any  # transformers ships no types

once_for_all = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def test_context_and_answer_are_what_joint_tokenisation_sees(byte_level: Tokenizer) -> None:
    encoded = encode(
        [Example("Sales rose .", "neutral")], LABELS, TEMPLATE, byte_level, 64, virtual_tokens=10
    )
    joint = byte_level("Sales rose . sentiment: neutral", add_special_tokens=False)["input_ids"]
    assert encoded.context_ids[0] + list(encoded.label_ids[2]) == joint
    assert encoded.label_index == [2]
    assert encoded.truncated == 0
    assert len(encoded) == 1
    # The space belongs to the label, so byte-level BPE spells each label as one token.
    assert [len(ids) for ids in encoded.label_ids] == [1, 1, 1]


def test_a_context_opens_as_a_text_does(byte_level: Tokenizer) -> None:
    encoded = encode([Example("Sales", "neutral")], LABELS, TEMPLATE, byte_level, 64, 10)
    assert byte_level.convert_ids_to_tokens(encoded.context_ids[0])[0] == "Sales"


@once_for_all
@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=40), max_size=4), st.integers(3, 40))
def test_cut_from_the_text_and_never_from_words_or_label(
    byte_level: Tokenizer, texts: list[str], room: int
) -> None:
    window = 10 + room + 1
    encoded = encode(
        [Example(text, "neutral") for text in texts], LABELS, TEMPLATE, byte_level, window, 10
    )
    whole = [byte_level(TEMPLATE.context(text), add_special_tokens=False) for text in texts]
    assert encoded.truncated == sum(len(ids["input_ids"]) > room for ids in whole)
    for text, ids, all_ids in zip(texts, encoded.context_ids, whole, strict=True):
        assert len(ids) <= room
        read = byte_level.decode(ids, clean_up_tokenization_spaces=False)
        assert read.endswith(" sentiment:")
        if len(all_ids["input_ids"]) <= room:
            assert read == TEMPLATE.context(text)
        else:
            assert text.startswith(read.removesuffix(" sentiment:"))


@pytest.mark.parametrize("room", range(4, 30))
def test_as_little_is_cut_as_needed(word_level: Tokenizer, room: int) -> None:
    # One token a word and "sentiment", ":" behind the text: the room fills to the last token.
    example = Example("Sales rose in Finland . " * 40, "neutral")
    encoded = encode([example], LABELS, TEMPLATE, word_level, room + 11, 10)
    assert len(encoded.context_ids[0]) == room
    expected = word_level(TEMPLATE.context(" ".join(example.text.split()[: room - 2])))["input_ids"]
    assert encoded.context_ids[0] == expected


def test_a_long_text_costs_few_trials(byte_level: Tokenizer) -> None:
    calls = 0

    def counting(text: list[str], **options: Any) -> Any:
        nonlocal calls
        calls += 1
        return byte_level(text, **options)

    example = Example("Sales rose in Finland . " * 2000, "neutral")
    encoded = encode([example], LABELS, TEMPLATE, counting, 128, 10)
    assert (len(encoded.context_ids[0]), encoded.truncated) == (117, 1)
    assert calls < 15


def test_the_tokenizer_does_not_cry_over_a_text_that_is_cut(
    byte_level: Tokenizer, caplog: pytest.LogCaptureFixture
) -> None:
    short = copy.deepcopy(byte_level)
    short.model_max_length = 8
    logging.getLogger("transformers").addHandler(caplog.handler)  # it does not propagate
    try:
        encode([Example("Sales rose " * 20, "neutral")], LABELS, TEMPLATE, short, 64, 10)
    finally:
        logging.getLogger("transformers").removeHandler(caplog.handler)
    assert not caplog.records


def test_no_examples(byte_level: Tokenizer) -> None:
    encoded = encode([], LABELS, TEMPLATE, byte_level, 64, 10)
    assert (encoded.context_ids, encoded.label_index, encoded.truncated) == ([], [], 0)


def test_a_text_may_vanish_while_words_remain(byte_level: Tokenizer) -> None:
    words = len(byte_level(" sentiment:")["input_ids"])
    # The first letter takes more tokens than there is room.
    encoded = encode([Example("\U0001f600", "neutral")], LABELS, TEMPLATE, byte_level, words + 2, 0)
    assert byte_level.decode(encoded.context_ids[0]) == " sentiment:"
    bare = Template.parse("<|VIRTUAL_PROMPT_0|> {sentence}{label}")
    with pytest.raises(DataError, match="1 of 1 examples come out of the tokenizer without any"):
        encode([Example("\U0001f600", "neutral")], LABELS, bare, byte_level, 2, 0)


def test_no_room_for_text(byte_level: Tokenizer) -> None:
    with pytest.raises(DataError, match=r"window of 12 tokens .* 10 virtual tokens, .* use fewer"):
        encode([Example("x", "neutral")], LABELS, TEMPLATE, byte_level, 12, 10)


def test_unknown_label(byte_level: Tokenizer) -> None:
    with pytest.raises(DataError, match=r"one of the labels positive, .* but 1 of 2 carry"):
        encode([Example("x", "neutral"), Example("y", "odd")], LABELS, TEMPLATE, byte_level, 64, 10)


def test_labels_the_model_cannot_tell_apart(word_level: Tokenizer) -> None:
    with pytest.raises(DataError, match="must tell the labels yes, no apart, but gives two"):
        encode([], ("yes", "no"), TEMPLATE, word_level, 64, 10)


def test_a_label_without_tokens(word_level: Tokenizer) -> None:
    with pytest.raises(DataError, match="gives no token for the label '\\\\u3000'"):
        encode([], ("positive", "\u3000"), TEMPLATE, word_level, 64, 10)

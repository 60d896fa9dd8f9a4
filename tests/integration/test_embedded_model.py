"""The language model that ships with veiltune: small, quiet, and in the know without being told."""

import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer

import veiltune.backbone
from veiltune.backbone.probes import polarity_probes, untuned_loss
from veiltune.data.headlines import Grammar
from veiltune.data.lexicon import SENTIMENTS

FOLDER = Path(veiltune.backbone.__file__).parent / "embedded"


class Listener(logging.Handler):
    """Keeps every message of warning level and above in a list."""

    def __init__(self, messages: list[str]) -> None:
        super().__init__(logging.WARNING)
        self.messages = messages

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


class Embedded:
    """The model and its tokenizer, with everything that was said while they were loaded."""

    def __init__(self) -> None:
        said = logging.getLogger("transformers")
        self.messages: list[str] = []
        handler = Listener(self.messages)
        said.addHandler(handler)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model = AutoModelForCausalLM.from_pretrained(FOLDER, dtype=torch.float32)
            self.tokenizer: Any = AutoTokenizer.from_pretrained(FOLDER)
        said.removeHandler(handler)
        self.messages += [str(warning.message) for warning in caught]
        self.model: Any = model.eval()


@pytest.fixture(scope="module")
def embedded() -> Iterator[Embedded]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield Embedded()
    torch.set_num_threads(threads)


def test_it_loads_without_a_warning(embedded: Embedded) -> None:
    assert embedded.messages == []


def test_the_folder_is_small_and_says_what_it_is() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) <= 10 * 1024**2
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert "synthetic" in card and "Apache-2.0" in card


def test_it_is_a_small_gpt2_held_in_half_precision_and_used_in_single(embedded: Embedded) -> None:
    config = embedded.model.config
    assert (config.model_type, config.n_embd, config.n_layer, config.n_head) == ("gpt2", 128, 4, 4)
    assert config.n_positions == 256
    assert config.vocab_size == len(embedded.tokenizer)
    assert {parameter.dtype for parameter in embedded.model.parameters()} == {torch.float32}
    for parameter in embedded.model.parameters():
        assert torch.equal(parameter, parameter.half().float())


def test_it_knows_the_sentiment_of_clear_headlines_in_every_frame(embedded: Embedded) -> None:
    for frame, share in polarity_probes(embedded.model, embedded.tokenizer, count=300).items():
        assert share >= 0.95, frame


def test_it_does_not_do_the_task_unasked(embedded: Embedded) -> None:
    assert untuned_loss(embedded.model, embedded.tokenizer, count=150) > 5


def test_it_also_knows_far_into_its_window(embedded: Embedded) -> None:
    text = Grammar("far").headline(sentiment="positive", two_clauses=0.0).text
    ids = embedded.tokenizer(f"{text} the outlook looks")["input_ids"]
    bright = embedded.tokenizer(" bright")["input_ids"][0]
    bleak = embedded.tokenizer(" bleak")["input_ids"][0]
    for start in (0, 60, 120, 256 - len(ids)):
        positions = torch.arange(start, start + len(ids))[None]
        with torch.no_grad():
            logits = embedded.model(input_ids=torch.tensor([ids]), position_ids=positions).logits
        assert logits[0, -1, bright] > logits[0, -1, bleak] + 2


@pytest.mark.parametrize("label", SENTIMENTS)
def test_a_label_is_one_token_after_the_template_too(embedded: Embedded, label: str) -> None:
    alone = embedded.tokenizer(f" {label}")["input_ids"]
    stem = embedded.tokenizer("Sales rose . sentiment:")["input_ids"]
    whole = embedded.tokenizer(f"Sales rose . sentiment: {label}")["input_ids"]
    assert len(alone) == 1 and whole == stem + alone


def test_nothing_is_added_before_or_after_a_text(embedded: Embedded) -> None:
    special = set(embedded.tokenizer.all_special_ids)
    assert not special & set(embedded.tokenizer("Sales rose .")["input_ids"])
    assert embedded.tokenizer.bos_token_id != embedded.tokenizer.pad_token_id


def test_digits_stand_alone(embedded: Embedded) -> None:
    assert embedded.tokenizer.convert_ids_to_tokens(embedded.tokenizer("12.5")["input_ids"]) == [
        "1",
        "2",
        ".",
        "5",
    ]


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.text(), st.binary().map(lambda raw: raw.decode("latin-1"))))
def test_any_text_can_be_written_and_read_back(embedded: Embedded, text: str) -> None:
    text = text.encode("utf-8", "replace").decode("utf-8")
    ids = embedded.tokenizer(text, add_special_tokens=False)["input_ids"]
    if "<|" not in text:
        assert embedded.tokenizer.decode(ids) == text


def test_the_corpus_is_short_in_its_tokens(embedded: Embedded) -> None:
    grammar = Grammar("lengths")
    lengths = [len(embedded.tokenizer(grammar.headline().text)["input_ids"]) for _ in range(500)]
    assert sum(lengths) / len(lengths) < 18 and max(lengths) < 64

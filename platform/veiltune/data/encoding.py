"""Turns examples into token ids that fit the model's window, labels never cut."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from veiltune.data.examples import Example
from veiltune.data.template import Template
from veiltune.errors import DataError


class Tokenizer(Protocol):
    """What is used of a Hugging Face tokenizer."""

    def __call__(
        self, text: list[str], *, add_special_tokens: bool, verbose: bool
    ) -> Mapping[str, Any]: ...


@dataclass(frozen=True, slots=True)
class EncodedExamples:
    """Examples as token ids, without the virtual tokens, which have none."""

    context_ids: list[list[int]]
    """What the model reads after the virtual tokens and before the label, one list an example."""
    label_index: list[int]
    """Place of each example's label in the label set."""
    truncated: int
    """Number of examples whose text was cut to fit."""
    label_ids: tuple[tuple[int, ...], ...]
    """Tokens of each label of the set, opening white space included; none is empty."""

    def __len__(self) -> int:
        return len(self.label_index)


def encode(
    examples: Sequence[Example],
    labels: Sequence[str],
    template: Template,
    tokenizer: Tokenizer,
    window: int,
    virtual_tokens: int,
) -> EncodedExamples:
    """Token ids such that virtual tokens, context and any label together fit the window.

    A context that is too long loses the end of its text, as little as needed; the template's words
    and the label stay whole. `window` is the number of positions of the model.

    Raises: DataError when an example's label is not in the set, when two labels have the same
    tokens or one has none, when the window leaves no room for text, or a context has no tokens.
    """
    place = {label: index for index, label in enumerate(labels)}
    unknown = sum(example.label not in place for example in examples)
    if unknown:
        raise DataError(
            f"every example must carry one of the labels {', '.join(labels)}, but {unknown} of"
            f" {len(examples)} carry another; correct the data or the label set"
        )
    label_ids = _label_ids(labels, template, tokenizer)
    room = _room(label_ids, template, tokenizer, window, virtual_tokens)
    texts = [example.text for example in examples]
    context_ids = _tokens(tokenizer, [template.context(text) for text in texts])
    too_long = [at for at, ids in enumerate(context_ids) if len(ids) > room]
    for at in too_long:
        context_ids[at] = _truncated(texts[at], context_ids[at], room, template, tokenizer)
    if not all(context_ids):
        raise DataError(
            f"{sum(not ids for ids in context_ids)} of {len(examples)} examples come out of the"
            " tokenizer without any token; add words to the template or remove those rows"
        )
    return EncodedExamples(
        context_ids, [place[example.label] for example in examples], len(too_long), label_ids
    )


def _tokens(tokenizer: Tokenizer, texts: list[str]) -> list[list[int]]:
    if not texts:
        return []
    # Not verbose: a text beyond the model's length is expected here, and is cut.
    encoded = tokenizer(texts, add_special_tokens=False, verbose=False)
    return [list(ids) for ids in encoded["input_ids"]]


def _label_ids(
    labels: Sequence[str], template: Template, tokenizer: Tokenizer
) -> tuple[tuple[int, ...], ...]:
    label_ids = tuple(map(tuple, _tokens(tokenizer, [template.answer(label) for label in labels])))
    for label, ids in zip(labels, label_ids, strict=True):
        if not ids:
            raise DataError(
                f"the tokenizer gives no token for the label {label!r}; rename the label or use"
                " another model"
            )
    if len(set(label_ids)) < len(label_ids):
        raise DataError(
            f"the tokenizer must tell the labels {', '.join(labels)} apart, but gives two of them"
            " the same tokens; rename one or use another model"
        )
    return label_ids


def _room(
    label_ids: Sequence[Sequence[int]],
    template: Template,
    tokenizer: Tokenizer,
    window: int,
    virtual_tokens: int,
) -> int:
    """The most tokens that a context may have."""
    longest_label = max(map(len, label_ids))
    words = len(_tokens(tokenizer, [template.context("")])[0])
    room = window - virtual_tokens - longest_label
    if room <= words:
        raise DataError(
            f"the model's window of {window} tokens must leave room for text, but {virtual_tokens}"
            f" virtual tokens, {words} of the template and {longest_label} of the longest label"
            " fill it; use fewer virtual tokens, a shorter template or a model with a longer window"
        )
    return room


def _truncated(
    text: str, ids: list[int], room: int, template: Template, tokenizer: Tokenizer
) -> list[int]:
    """The ids of a context whose text was cut at its end until they number at most `room`.

    The cut is sought in characters and each trial is tokenised as a whole, because tokens of the
    text and of the template's words can merge, and not every tokenizer says which token came from
    where. The search narrows between a length that fits and one that does not, guessing by tokens
    a character and halving every other time.
    """
    fits, best = 0, _tokens(tokenizer, [template.context("")])[0]
    fails, fails_tokens = len(text), len(ids)
    by_guess = True
    while fails - fits > 1:
        if by_guess:
            share = (room + 0.5 - len(best)) / (fails_tokens - len(best))
            trial = min(max(fits + int((fails - fits) * share), fits + 1), fails - 1)
        else:
            trial = (fits + fails) // 2
        by_guess = not by_guess
        found = _tokens(tokenizer, [template.context(text[:trial].rstrip())])[0]
        if len(found) <= room:
            fits, best = trial, found
        else:
            fails, fails_tokens = trial, len(found)
    return best

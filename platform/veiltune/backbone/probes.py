"""What the embedded model knows before it is tuned, asked in its own words.

A probe is a clear headline of one clause, followed by the opening of a commentary sentence from
pretraining ("the outlook looks"). The model is right when the words that reveal the headline's
sentiment are together more probable than those of either other sentiment. Label words are never
part of a probe, and the task's template is only used to show that the model does not follow it yet.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from veiltune.data.commentary import FRAMES, REVEALING, VIEW, Frame
from veiltune.data.headlines import Grammar, Headline
from veiltune.data.lexicon import SENTIMENTS


def clear_headlines(count: int, seed: int) -> list[Headline]:
    """Headlines of one clause with a clear sentiment, all sectors and sentiments equally common."""
    grammar = Grammar(f"probes {seed}")
    headlines: list[Headline] = []
    while len(headlines) < count:
        sentiment = SENTIMENTS[len(headlines) % len(SENTIMENTS)]
        headline = grammar.headline(sentiment=sentiment, two_clauses=0.0)
        if headline.clear:
            headlines.append(headline)
    return headlines


def polarity_probes(
    model: Any, tokenizer: Any, count: int = 600, seed: int = 0
) -> dict[str, float]:
    """The share of clear headlines whose sentiment the model knows, by frame, label words excluded.

    `model` is a causal language model of Hugging Face in evaluation mode, `tokenizer` its
    tokenizer. A commentary frame that can be told from its opening words is probed; the others
    start like one of those or name their word first.
    """
    headlines = clear_headlines(count, seed)
    truth = torch.tensor([SENTIMENTS.index(headline.sentiment) for headline in headlines])
    result: dict[str, float] = {}
    for frame in FRAMES:
        if frame.field == VIEW:
            continue
        opening = frame.text.split(" {w}")[0]
        texts = [f"{h.text} {opening.format(c=h.company)}" for h in headlines]
        probability = _next_token(model, tokenizer, texts).softmax(-1)
        words = [_first_tokens(tokenizer, frame, sentiment) for sentiment in SENTIMENTS]
        score = torch.stack([probability[:, ids].sum(1) for ids in words], 1)
        result[frame.text] = (score.argmax(1) == truth).double().mean().item()
    return result


def untuned_loss(model: Any, tokenizer: Any, count: int = 600, seed: int = 0) -> float:
    """The mean loss in nats of the right label after "{headline} sentiment:" without a prompt."""
    headlines = clear_headlines(count, seed)
    logits = _next_token(model, tokenizer, [f"{h.text} sentiment:" for h in headlines])
    labels = torch.tensor([_ids(tokenizer, f" {h.sentiment}")[0] for h in headlines])
    return torch.nn.functional.cross_entropy(logits, labels).item()


def _next_token(model: Any, tokenizer: Any, texts: Sequence[str]) -> Tensor:
    """The logits of the token after each text, (texts, vocabulary)."""
    rows = [[tokenizer.bos_token_id, *_ids(tokenizer, text)] for text in texts]
    last = torch.tensor([len(row) - 1 for row in rows])
    width = int(last.max()) + 1
    # Padding stands on the right, where a causal model's earlier positions cannot see it.
    ids = torch.tensor([row + [tokenizer.pad_token_id] * (width - len(row)) for row in rows])
    mask = (torch.arange(width) <= last[:, None]).long()
    with torch.no_grad():
        logits: Tensor = model(input_ids=ids, attention_mask=mask).logits
    return logits[torch.arange(len(rows)), last].float()


def _first_tokens(tokenizer: Any, frame: Frame, sentiment: str) -> list[int]:
    """The first token of each word with which the frame reveals a sentiment."""
    return sorted({_ids(tokenizer, f" {word}")[0] for word in REVEALING[frame.field][sentiment]})


def _ids(tokenizer: Any, text: str) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids

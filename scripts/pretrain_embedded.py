"""Train the small language model that ships with veiltune, from synthetic headlines only.

    python scripts/pretrain_embedded.py

About ten minutes on one CPU core. It draws its corpus from the grammar of
`veiltune.data.headlines`, trains a byte-level tokenizer and a GPT-2 of about one million parameters
on it, measures what the model knows, and writes everything into the package. The model never sees
the task's template, and sees the label words in one kind of sentence only, so a prompt has
something to tune. The same seed and thread count on the same machine give the same weights; another
kind of processor rounds differently.
"""

import argparse
import json
import math
import random
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from veiltune.backbone.probes import polarity_probes, untuned_loss
from veiltune.data.commentary import document
from veiltune.data.headlines import Grammar

FOLDER = Path(__file__).parents[1] / "platform" / "veiltune" / "backbone" / "embedded"
END = "<|endoftext|>"
PADDING = "<|padding|>"
# The tokenizer's trainer numbers the special tokens first, in their order.
END_ID, PADDING_ID = 0, 1
POSITIONS = 256
# GPT-2's way of cutting text into words, but every digit stands alone.
WORDS = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
HEADLINE_WEIGHT = 0.1
"""The loss weight of a headline's tokens; commentary, in which sentiment can be read, has 1."""


def main() -> None:
    """Train, measure and save."""
    parser = argparse.ArgumentParser(description="Train the embedded language model.")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the files are written")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    started = time.monotonic()
    tokenizer = train_tokenizer(options.seed)
    model = new_model(tokenizer)
    loss = pretrain(model, tokenizer, options.steps, options.seed)
    model.eval()
    # What is measured is what is shipped: weights rounded to half precision.
    model.half().float()
    figures = {
        "parameters": model.num_parameters(),
        "pretraining_loss": round(loss, 3),
        "untuned_task_loss": round(untuned_loss(model, tokenizer), 2),
        "probes": {frame: round(s, 4) for frame, s in polarity_probes(model, tokenizer).items()},
        "seconds": round(time.monotonic() - started),
    }
    # GPT-2's own activation under the name of torch's fused kernel: the same function, and a
    # p-tuning step takes a quarter less time.
    model.config.activation_function = "gelu_pytorch_tanh"
    model.half().save_pretrained(options.folder)
    tokenizer.save_pretrained(options.folder)
    for path in options.folder.iterdir():
        path.chmod(0o644)  # a file of weights is written readable by its owner only
    print(json.dumps(figures, indent=2))


def train_tokenizer(
    seed: int, entries: int = 1792, documents: int = 20_000
) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer of the grammar's language; any text can be written in it."""
    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    words.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=entries,
        special_tokens=[END, PADDING],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    words.train_from_iterator(corpus(f"tokenizer {seed}", documents), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        bos_token=END,
        eos_token=END,
        pad_token=PADDING,
        model_max_length=POSITIONS,
        clean_up_tokenization_spaces=False,
    )


def corpus(stream: str, documents: int) -> Iterator[str]:
    """The texts of that many pretraining documents."""
    grammar = Grammar(stream)
    for _ in range(documents):
        yield "".join(passage.text for passage in document(grammar))


def new_model(tokenizer: PreTrainedTokenizerFast) -> GPT2LMHeadModel:
    """A GPT-2 with four layers of width 128, not yet trained."""
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=len(tokenizer),
            n_positions=POSITIONS,
            n_embd=128,
            n_layer=4,
            n_head=4,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=END_ID,
            eos_token_id=END_ID,
            pad_token_id=PADDING_ID,
        )
    )


def pretrain(
    model: GPT2LMHeadModel,
    tokenizer: PreTrainedTokenizerFast,
    steps: int,
    seed: int,
    batch: int = 48,
    rate: float = 3e-3,
    warm_up: int = 100,
) -> float:
    """Train the model in place by AdamW with a cosine schedule; returns the last step's loss."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.98), weight_decay=0.01)
    batches = encoded(Grammar(f"pretraining {seed}"), tokenizer, batch)
    places = random.Random(f"positions {seed}")
    value = math.nan
    for step in range(steps):
        cosine = 0.5 + 0.5 * math.cos(math.pi * step / steps)
        optimizer.param_groups[0]["lr"] = rate * min(1.0, (step + 1) / warm_up) * cosine
        ids, weight = next(batches)
        positions = starts(places, batch, ids.shape[1] - 1)[:, None] + torch.arange(
            ids.shape[1] - 1
        )
        logits = model(input_ids=ids[:, :-1], position_ids=positions).logits
        losses = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none"
        )
        loss = (losses * weight[:, 1:].flatten()).sum() / weight[:, 1:].sum()
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        value = loss.item()
        if step % 100 == 99:
            print(f"step {step + 1} of {steps}: loss {value:.3f}", flush=True)
    return value


def encoded(
    grammar: Grammar, tokenizer: PreTrainedTokenizerFast, batch: int, pool: int = 8
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of fresh documents without end: token ids and loss weights, both (batch, tokens).

    Documents of like length share a batch, out of a pool of so many batches: a third of the time
    of batches drawn at random, most of which would be padding. Padding has weight 0.
    """
    mixing = random.Random("batches")
    while True:
        rows: list[tuple[list[int], list[float]]] = []
        for _ in range(batch * pool):
            passages = document(grammar)
            # Passages start at a space, where the tokenizer cuts anyway: joined, they are the text.
            pieces = tokenizer([p.text for p in passages], add_special_tokens=False)["input_ids"]
            ids, weight = [END_ID], [0.0]
            for passage, piece in zip(passages, pieces, strict=True):
                ids += piece
                weight += [1.0 if passage.commentary else HEADLINE_WEIGHT] * len(piece)
            rows.append(([*ids, END_ID][:POSITIONS], [*weight, HEADLINE_WEIGHT][:POSITIONS]))
        rows.sort(key=lambda row: len(row[0]))
        for first in mixing.sample(range(0, len(rows), batch), pool):
            part = rows[first : first + batch]
            width = len(part[-1][0])
            yield (
                torch.tensor([ids + [END_ID] * (width - len(ids)) for ids, _ in part]),
                torch.tensor([weight + [0.0] * (width - len(weight)) for _, weight in part]),
            )


def starts(places: random.Random, batch: int, width: int) -> Tensor:
    """Where each document begins, (batch,): mostly where a prompt would end, sometimes anywhere.

    So every position is trained, and a long text or a long prompt meets no position it never saw.
    """
    room = POSITIONS - width
    near = min(41, room + 1)
    return torch.tensor(
        [
            places.randrange(near) if places.random() < 0.8 else places.randrange(room + 1)
            for _ in range(batch)
        ]
    )


if __name__ == "__main__":
    main()

"""The seam where privacy enters training: which examples a step sees, and what gradient they give.

The platform's own rule shuffles and takes the plain gradient. A private rule samples as its
accounting assumes, clips each example, adds noise and charges the site's budget.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Protocol

import torch

from veiltune.adapter import PromptEncoder
from veiltune.backbone import FrozenModel, LabelBatch, label_batch, label_losses
from veiltune.data.encoding import EncodedExamples

# Batches are sorted by length inside groups of this many, which saves padding and keeps the order
# random at the scale of an epoch.
GROUPED_BATCHES = 6


class GradientRule(Protocol):
    """How a site turns its examples into a gradient on the encoder's parameters."""

    def begin_round(self, round_index: int, examples: int, steps: int) -> float:
        """Called before a round's first step; a rule that may not train raises here.

        Returns the epsilon that the site has spent when the round is done; NaN where none is.
        """
        ...

    def sample(
        self, lengths: Sequence[int], batch_size: int, steps: int, generator: torch.Generator
    ) -> Iterator[list[int]]:
        """Yields the example indices of each of `steps` steps; a list may be empty."""
        ...

    def backward(
        self,
        model: FrozenModel,
        encoder: PromptEncoder,
        examples: EncodedExamples,
        indices: list[int],
    ) -> float:
        """Adds this step's gradient to every parameter's `grad`; returns the mean loss in nats."""
        ...


class PlainGradient:
    """The mean gradient over shuffled batches. It protects nothing."""

    def begin_round(self, round_index: int, examples: int, steps: int) -> float:
        """There is nothing to charge."""
        return math.nan

    def sample(
        self, lengths: Sequence[int], batch_size: int, steps: int, generator: torch.Generator
    ) -> Iterator[list[int]]:
        """Passes over the shuffled examples until `steps` batches were drawn."""
        drawn = 0
        while drawn < steps:
            for batch in _epoch(lengths, batch_size, generator):
                if drawn == steps:
                    return
                yield batch
                drawn += 1

    def backward(
        self,
        model: FrozenModel,
        encoder: PromptEncoder,
        examples: EncodedExamples,
        indices: list[int],
    ) -> float:
        """See `GradientRule.backward`."""
        batch = examples_batch(examples, indices, model.device)
        loss = label_losses(model, encoder(), batch).mean()
        loss.backward()  # type: ignore[no-untyped-call]  # torch does not annotate it
        return loss.item()


def examples_batch(
    examples: EncodedExamples, indices: Sequence[int], device: torch.device
) -> LabelBatch:
    """The examples at `indices` with their own labels, as one batch on `device`."""
    return label_batch(
        [examples.context_ids[i] for i in indices],
        [examples.label_ids[examples.label_index[i]] for i in indices],
        device,
    )


def _epoch(
    lengths: Sequence[int], batch_size: int, generator: torch.Generator
) -> Iterator[list[int]]:
    """One pass: shuffled, cut into nearly equal batches of similar lengths, in random order."""
    order = torch.randperm(len(lengths), generator=generator).tolist()
    batches: list[list[int]] = []
    for start in range(0, len(order), GROUPED_BATCHES * batch_size):
        group = sorted(
            order[start : start + GROUPED_BATCHES * batch_size], key=lambda i: lengths[i]
        )
        batches += [group[i : i + batch_size] for i in range(0, len(group), batch_size)]
    for position in torch.randperm(len(batches), generator=generator).tolist():
        yield batches[position]

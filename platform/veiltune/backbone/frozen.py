"""What every frozen language model offers: losses and label probabilities behind a prompt.

A prompt is a tensor of virtual tokens placed before the text. Training needs the loss of each
example's label, evaluation the probability of every label; nothing else of the model is used.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class LabelBatch:
    """Texts with their labels' tokens behind them, aligned at the right edge.

    The last label token is only ever predicted, never read, so it is not among `ids`.
    """

    ids: Tensor
    """Token ids `(examples, positions)`, padded on the left."""
    mask: Tensor
    """1 where `ids` holds a token, 0 where it is padding; the same shape."""
    targets: Tensor
    """Label tokens `(examples, label_positions)`, aligned right; -100 where there is none."""

    def __len__(self) -> int:
        return self.ids.shape[0]


def label_batch(
    contexts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]], device: torch.device
) -> LabelBatch:
    """The batch of these contexts with these answers, on `device`."""
    rows = [[*context, *answer[:-1]] for context, answer in zip(contexts, answers, strict=True)]
    width = max(len(row) for row in rows)
    label_width = max(len(answer) for answer in answers)
    ids = torch.tensor([[0] * (width - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
    targets = torch.tensor([[-100] * (label_width - len(a)) + list(a) for a in answers])
    return LabelBatch(ids.to(device), mask.to(device), targets.to(device))


class FrozenModel(Protocol):
    """A causal language model whose weights never change."""

    tokenizer: Any
    """The Hugging Face tokenizer that belongs to the model."""
    name: str
    """The name or path it was loaded from."""
    width: int
    """Hidden size: the length of one virtual token."""
    window: int
    """The largest number of positions, virtual tokens included."""
    device: torch.device
    network: nn.Module
    """The network itself, for those who must see that it is frozen and mixes no examples."""

    def label_logits(self, prompt: Tensor, batch: LabelBatch) -> Tensor:
        """Logits that predict the label tokens, float32 `(examples, label_positions, vocabulary)`.

        `prompt` is `(1, tokens, width)`, shared by the batch, or `(examples, tokens, width)`,
        one for each example, for those who need per-example gradients. The result is
        differentiable with respect to `prompt`, and example i's row depends on example i only.
        """
        ...

    def label_gradients(self, prompt: Tensor, batch: LabelBatch) -> tuple[Tensor, Tensor]:
        """Each example's loss and the gradient of that loss with respect to the shared prompt.

        `prompt` is `(1, tokens, width)`. The losses are those of `label_losses`, `(examples,)`; the
        gradients are float32 `(examples, tokens, width)`, and row i of both depends on example i
        only. No graph is kept.
        """
        ...

    def fingerprint(self) -> str:
        """SHA-256 of every weight and buffer: two equal fingerprints mean nothing changed."""
        ...


def label_losses(model: FrozenModel, prompt: Tensor, batch: LabelBatch) -> Tensor:
    """Each example's loss `(examples,)`: the mean over its label tokens of -log p, in nats.

    The mean is taken inside an example and never across examples, so one example's loss does not
    depend on which others are in its batch.
    """
    return mean_losses(model.label_logits(prompt, batch), batch.targets)


def mean_losses(logits: Tensor, targets: Tensor) -> Tensor:
    """`label_losses` for logits `(examples, label_positions, vocabulary)` already made."""
    losses = F.cross_entropy(
        logits.flatten(0, 1), targets.flatten(), ignore_index=-100, reduction="none"
    ).view(targets.shape)
    return losses.sum(1) / (targets != -100).sum(1)


def label_log_probabilities(
    model: FrozenModel,
    prompt: Tensor,
    contexts: Sequence[Sequence[int]],
    labels: Sequence[Sequence[int]],
) -> Tensor:
    """Log-probability of every label behind every context, `(examples, labels)`, in nats.

    The probability of a label is the product of its tokens' probabilities over the whole
    vocabulary. Labels of one token each share one forward pass; otherwise it takes one a label.
    """
    if all(len(label) == 1 for label in labels):
        batch = label_batch(contexts, [labels[0]] * len(contexts), model.device)
        logits = model.label_logits(prompt, batch)[:, -1]
        return logits.log_softmax(-1)[:, [label[0] for label in labels]]
    columns = []
    for label in labels:
        batch = label_batch(contexts, [label] * len(contexts), model.device)
        columns.append(-label_losses(model, prompt, batch) * len(label))
    return torch.stack(columns, dim=1)

"""Loss and accuracy of a prompt over a set of examples."""

from dataclasses import dataclass

import torch
from pydantic import Field
from torch import Tensor

from veiltune.backbone import FrozenModel, label_log_probabilities
from veiltune.config import Section
from veiltune.data.encoding import EncodedExamples


class EvaluationConfig(Section):
    """What a site measures on the validation examples."""

    every: int = Field(default=1, ge=1)
    """Evaluate in every n-th round; the first and the last are always evaluated."""
    local_model: bool = True
    """Also evaluate each site's own model after its local training."""
    batch_size: int = Field(default=128, ge=1)
    """Examples a forward pass."""

    def due(self, round_index: int, rounds: int) -> bool:
        """Whether round `round_index` of `rounds` is evaluated."""
        return round_index % self.every == 0 or round_index >= rounds


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How well a prompt predicts labels."""

    loss: float
    """Mean over examples of the loss, in nats (mean over a label's tokens)."""
    accuracy: float
    """The part of examples whose own label is the most probable of the label set."""


def evaluate(
    model: FrozenModel, prompt: Tensor, examples: EncodedExamples, batch_size: int
) -> Evaluation:
    """Loss and accuracy of `prompt`, `(1, tokens, width)`, over `examples`."""
    order = sorted(range(len(examples.context_ids)), key=lambda i: len(examples.context_ids[i]))
    widths = torch.tensor([len(ids) for ids in examples.label_ids])
    loss, hits = 0.0, 0
    with torch.no_grad():
        for start in range(0, len(order), batch_size):
            chunk = order[start : start + batch_size]
            truth = torch.tensor([examples.label_index[i] for i in chunk])
            log_p = label_log_probabilities(
                model, prompt, [examples.context_ids[i] for i in chunk], examples.label_ids
            ).cpu()
            own = log_p.gather(1, truth.unsqueeze(1)).squeeze(1)
            loss -= (own / widths[truth]).double().sum().item()
            hits += int((log_p.argmax(1) == truth).sum())
    return Evaluation(loss / len(order), hits / len(order))

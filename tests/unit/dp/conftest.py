"""A model whose examples' gradients are known, examples for it, and a private rule."""

from collections.abc import Callable
from typing import Any, Protocol

import pytest
import torch
from torch import Tensor, nn

from veiltune.adapter import AdapterConfig, PromptEncoder, build_encoder
from veiltune.adapter.prompt_encoder import EncoderKind
from veiltune.backbone import LabelBatch
from veiltune.data.encoding import EncodedExamples
from veiltune.randomness import generator
from veiltune_privacy.dp.config import NoiseSource, Space
from veiltune_privacy.dp.rule import Charge, PrivateGradient

TOKENS, WIDTH = 3, 8


class LinearModel:
    """Example i's loss is the inner product of the prompt with `directions[i]`.

    An example is told by its first token; `calls` has the sizes of the batches that came.
    """

    tokenizer: Any = None
    name = "linear"
    width = WIDTH
    window = 64
    device = torch.device("cpu")

    def __init__(self, directions: Tensor) -> None:
        self.directions = directions
        self.network: nn.Module = nn.Linear(2, 2).requires_grad_(False)
        self.calls: list[int] = []

    def label_logits(self, prompt: Tensor, batch: LabelBatch) -> Tensor:
        raise AssertionError("a private step asks for gradients, never for logits")

    def label_gradients(self, prompt: Tensor, batch: LabelBatch) -> tuple[Tensor, Tensor]:
        self.calls.append(len(batch))
        gradients = self.directions[batch.ids[:, -1]]
        return (gradients * prompt).sum((1, 2)), gradients

    def fingerprint(self) -> str:
        return ""


def no_charge(round_index: int, examples: int, steps: int) -> float:
    return 0.0


class MakeRule(Protocol):
    def __call__(
        self,
        *,
        space: Space = ...,
        noise: NoiseSource = ...,
        noise_multiplier: float = ...,
        clip_norm: float = ...,
        batch_size: int = ...,
        charge: Charge = ...,
        seed: int = ...,
    ) -> PrivateGradient: ...


@pytest.fixture
def make_rule() -> MakeRule:
    def make(
        *,
        space: Space = "output",
        noise: NoiseSource = "seeded",
        noise_multiplier: float = 1.0,
        clip_norm: float = 1.0,
        batch_size: int = 4,
        charge: Charge = no_charge,
        seed: int = 0,
    ) -> PrivateGradient:
        return PrivateGradient(
            noise_multiplier=noise_multiplier,
            clip_norm=clip_norm,
            space=space,
            noise=noise,
            seed=seed if noise == "seeded" else None,
            batch_size=batch_size,
            charge=charge,
        )

    return make


@pytest.fixture
def make_linear() -> Callable[[Tensor], tuple[LinearModel, EncodedExamples]]:
    """A model with these directions `(examples, tokens, width)`, and its examples."""

    def make(directions: Tensor) -> tuple[LinearModel, EncodedExamples]:
        count = len(directions)
        examples = EncodedExamples([[i] for i in range(count)], [0] * count, 0, ((1,),))
        return LinearModel(directions), examples

    return make


@pytest.fixture
def make_encoder() -> Callable[[EncoderKind], PromptEncoder]:
    def make(kind: EncoderKind = "mlp") -> PromptEncoder:
        config = AdapterConfig(encoder=kind, virtual_tokens=TOKENS, hidden_size=6)
        return build_encoder(config, WIDTH, generator(1))

    return make

"""Prompt encoders: small networks whose output is the virtual tokens.

P-tuning (Liu et al. 2021, "GPT Understands, Too", section 3) trains an embedding table and a
network behind it, not the virtual tokens themselves. `lstm` and `mlp3` have the key names and
shapes of PEFT's `PromptEncoder`; `mlp` is the two-layer network of NeMo's reference experiment.
"""

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from veiltune.config import Section

EncoderKind = Literal["mlp", "mlp3", "lstm"]


class AdapterConfig(Section):
    """What is trained."""

    encoder: EncoderKind = "mlp"
    """`mlp`: two linear layers; `mlp3`: three, as in PEFT; `lstm`: two bidirectional LSTM layers
    and two linear ones, as in PEFT."""
    virtual_tokens: int = Field(default=10, ge=1)
    """How many virtual tokens stand before the text."""
    hidden_size: int | None = Field(default=None, ge=1)
    """Width of the encoder's hidden layers; None is the language model's width."""


class PromptEncoder(nn.Module):
    """An embedding table `(tokens, width)` and a network that turns it into virtual tokens."""

    def __init__(self, kind: EncoderKind, tokens: int, width: int, hidden: int) -> None:
        super().__init__()
        self.kind = kind
        self.tokens = tokens
        self.width = width
        self.hidden = hidden
        self.embedding = nn.Embedding(tokens, width)
        if kind == "lstm":
            self.lstm_head = nn.LSTM(
                width, hidden, num_layers=2, bidirectional=True, batch_first=True
            )
            sizes = [2 * hidden, 2 * hidden, width]
        else:
            sizes = [width, *[hidden] * (1 if kind == "mlp" else 2), width]
        layers: list[nn.Module] = []
        for fan_in, fan_out in zip(sizes, sizes[1:], strict=False):
            layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
        self.mlp_head = nn.Sequential(*layers[:-1])

    def forward(self) -> Tensor:
        """The prompt, `(1, tokens, width)`."""
        states: Tensor = self.embedding.weight.unsqueeze(0)
        if self.kind == "lstm":
            states = self.lstm_head(states)[0]
        prompt: Tensor = self.mlp_head(states)
        return prompt


def build_encoder(config: AdapterConfig, width: int, generator: torch.Generator) -> PromptEncoder:
    """A new encoder for a model of this width, its first weights drawn from `generator`.

    The distributions are torch's defaults for each kind of layer; every weight is drawn from
    `generator`, so equal seeds give equal encoders whatever else the process has drawn.
    """
    encoder = PromptEncoder(
        config.encoder, config.virtual_tokens, width, config.hidden_size or width
    )
    with torch.no_grad():
        for module in encoder.modules():
            if isinstance(module, nn.Embedding):
                module.weight.normal_(generator=generator)
            elif isinstance(module, nn.Linear | nn.LSTM):
                fan = module.hidden_size if isinstance(module, nn.LSTM) else module.in_features
                for parameter in module.parameters():
                    bound = 1.0 / math.sqrt(fan)
                    parameter.uniform_(-bound, bound, generator=generator)
    return encoder


def encoder_parameters(config: AdapterConfig, width: int) -> int:
    """How many parameters an encoder has, without making one.

    >>> encoder_parameters(AdapterConfig(hidden_size=4096), width=6144)
    50403328
    """
    hidden = config.hidden_size or width
    with torch.device("meta"):
        encoder = PromptEncoder(config.encoder, config.virtual_tokens, width, hidden)
    return sum(parameter.numel() for parameter in encoder.parameters())

"""One site's local training: AdamW on the prompt encoder, warm-up and cosine over the whole job."""

import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from pydantic import Field

from veiltune.adapter import PromptEncoder
from veiltune.backbone import FrozenModel
from veiltune.config import Section
from veiltune.data.encoding import EncodedExamples
from veiltune.errors import RunError
from veiltune.training.gradient import GradientRule

DecayRate = Annotated[float, Field(ge=0, lt=1)]


class TrainingConfig(Section):
    """How a site trains between two exchanges."""

    batch_size: int = Field(default=32, ge=1)
    """Examples a step."""
    epochs_per_round: int = Field(default=1, ge=1)
    """Passes over the site's examples in one round."""
    steps_per_round: int | None = Field(default=None, ge=1)
    """Steps in one round, whatever the number of examples; None means by epochs."""
    learning_rate: float = Field(default=1e-2, gt=0)
    """The highest learning rate of the schedule."""
    warmup_steps: int = Field(default=0, ge=0)
    """Steps over which the rate rises from zero, at the beginning of the job."""
    final_rate_ratio: float = Field(default=0.1, ge=0, le=1)
    """The rate at the end of the cosine, as a part of `learning_rate`."""
    weight_decay: float = Field(default=0.0, ge=0)
    """AdamW's decoupled weight decay."""
    betas: tuple[DecayRate, DecayRate] = (0.9, 0.98)
    """AdamW's decay rates of the two moments, each in [0, 1)."""
    gradient_clip: float | None = Field(default=None, gt=0)
    """Largest norm of a step's gradient; None leaves it alone. Not a privacy mechanism."""
    optimizer_state: Literal["keep", "reset"] = "keep"
    """Whether a site keeps its AdamW moments from round to round."""

    def steps(self, examples: int) -> int:
        """Steps a round on a site with this many examples."""
        if self.steps_per_round is not None:
            return self.steps_per_round
        return self.epochs_per_round * math.ceil(examples / self.batch_size)


def learning_rate(config: TrainingConfig, step: int, total_steps: int) -> float:
    """The rate of a step, counted from 0 over the whole job: linear warm-up, then cosine.

    >>> round(learning_rate(TrainingConfig(learning_rate=1.0, final_rate_ratio=0.0), 50, 100), 6)
    0.5
    """
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    progress = (step - config.warmup_steps) / max(1, total_steps - config.warmup_steps)
    cosine = 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))
    floor = config.final_rate_ratio
    return config.learning_rate * (floor + (1.0 - floor) * cosine)


@dataclass(frozen=True, slots=True)
class RoundOfTraining:
    """What one round of local training did."""

    loss: float
    """Mean training loss over the steps, in nats."""
    steps: int
    epsilon: float
    """What the site has spent, this round included; NaN without differential privacy."""


class LocalTrainer:
    """Trains one encoder on one site's examples, round by round."""

    def __init__(
        self,
        model: FrozenModel,
        encoder: PromptEncoder,
        examples: EncodedExamples,
        config: TrainingConfig,
        rule: GradientRule,
        rounds: int,
    ) -> None:
        self.model = model
        self.encoder = encoder
        self.examples = examples
        self.config = config
        self.rule = rule
        self.steps = config.steps(len(examples.context_ids))
        self.total_steps = rounds * self.steps
        self.optimizer = self._new_optimizer()

    def train(self, round_index: int, generator: torch.Generator) -> RoundOfTraining:
        """The encoder has taken this round's steps from where it stood.

        Raises:
            RunError: the loss or a parameter is no longer a finite number.
        """
        if self.config.optimizer_state == "reset":
            self.optimizer = self._new_optimizer()
        lengths = [len(ids) for ids in self.examples.context_ids]
        epsilon = self.rule.begin_round(round_index, len(lengths), self.steps)
        losses = []
        batches = self.rule.sample(lengths, self.config.batch_size, self.steps, generator)
        for step, indices in enumerate(batches, start=round_index * self.steps):
            for group in self.optimizer.param_groups:
                group["lr"] = learning_rate(self.config, step, self.total_steps)
            self.optimizer.zero_grad()
            losses.append(self.rule.backward(self.model, self.encoder, self.examples, indices))
            if self.config.gradient_clip is not None:
                torch.nn.utils.clip_grad_norm_(self.encoder.parameters(), self.config.gradient_clip)
            self.optimizer.step()
        loss = math.fsum(losses) / len(losses)
        finite = all(torch.isfinite(parameter).all() for parameter in self.encoder.parameters())
        if not (finite and math.isfinite(loss)):
            raise RunError(
                f"training in round {round_index} must stay finite, but the loss or the encoder's "
                f"parameters became infinite or NaN; lower training.learning_rate or set "
                f"training.gradient_clip"
            )
        return RoundOfTraining(loss, len(losses), epsilon)

    def state(self) -> dict[str, Any]:
        """The optimizer's state, for a restart."""
        return self.optimizer.state_dict()

    def fresh_state(self) -> dict[str, Any]:
        """The optimizer's state before the first step."""
        return self._new_optimizer().state_dict()

    def load_state(self, state: dict[str, Any]) -> None:
        """Takes up a state that `state` gave."""
        self.optimizer.load_state_dict(state)

    def _new_optimizer(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(
            self.encoder.parameters(),
            lr=self.config.learning_rate,
            betas=self.config.betas,
            weight_decay=self.config.weight_decay,
        )

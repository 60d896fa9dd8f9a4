"""One step with and without privacy, of ours and of Opacus, over equal batches and encoders.

Ours is the one that a site takes: its batch is built from lists, its gradient made, AdamW steps.
Opacus' own modes see the same encoder on a row of token numbers for each example, which is the only
way in which they are right, and the same frozen model. Their noise is torch's, not the system's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from opacus import GradSampleModule
from opacus.grad_sample import GradSampleModuleExpandedWeights
from opacus.layers import DPLSTM
from opacus.optimizers import DPOptimizer
from torch import Tensor, nn

from veiltune.adapter import AdapterConfig, PromptEncoder, build_encoder, encoder_parameters
from veiltune.adapter.prompt_encoder import EncoderKind
from veiltune.backbone import HuggingFaceModel, label_losses
from veiltune.data.encoding import EncodedExamples
from veiltune.randomness import generator
from veiltune.training import GradientRule, PlainGradient, examples_batch
from veiltune_analysis.bench.step import StepShape
from veiltune_privacy.dp.clipping import clip_factors, row_norms
from veiltune_privacy.dp.config import NoiseSource, Space
from veiltune_privacy.dp.rule import PrivateGradient
from veiltune_privacy.dp.shared_activations import SharedActivations, example_norms, weighted_sum

SEED = 1
CLIP_NORM, NOISE_MULTIPLIER = 0.03, 1.0
CHECKED = 8
"""Examples of a batch whose norms are compared with those of batches of one."""
OPACUS_MODES: tuple["OpacusMode", ...] = ("hooks", "functorch", "ew")

OpacusMode = Literal["hooks", "functorch", "ew"]
Step = Callable[[], None]


@dataclass(frozen=True)
class Way:
    """How a step of ours makes its gradient; without a space it is not private."""

    space: Space | None = None
    noise: NoiseSource = "system"

    @property
    def name(self) -> str:
        """Space and noise."""
        return "plain" if self.space is None else f"{self.space} space, {self.noise} noise"


@dataclass(frozen=True)
class Bench:
    """A frozen model, and encoders and batches for it.

    Args:
        params: About how many an encoder has; its hidden layers are as wide as that takes.
    """

    shape: StepShape
    model: HuggingFaceModel
    kind: EncoderKind
    params: int
    batch: int

    def adapter(self) -> AdapterConfig:
        """The largest encoder that has no more than `params` parameters."""

        def config(hidden: int) -> AdapterConfig:
            tokens = self.shape.virtual_tokens
            return AdapterConfig(encoder=self.kind, virtual_tokens=tokens, hidden_size=hidden)

        low, high = 1, max(2, self.params)
        while high - low > 1:
            middle = (low + high) // 2
            few = encoder_parameters(config(middle), self.shape.width) <= self.params
            low, high = (middle, high) if few else (low, middle)
        return config(low)

    def encoder(self) -> PromptEncoder:
        """A new encoder, each time with the same weights."""
        return build_encoder(self.adapter(), self.shape.width, generator(SEED))

    def examples(self) -> EncodedExamples:
        """Texts of equal length with a label of one token each."""
        draws = generator(SEED, "texts")
        size = (self.batch, self.shape.text_tokens)
        rows = torch.randint(self.shape.vocabulary, size, generator=draws).tolist()
        labels = tuple((row[-1],) for row in rows)
        return EncodedExamples([row[:-1] for row in rows], list(range(self.batch)), 0, labels)

    def our_step(self, way: Way) -> Step:
        """A site's step; at a rate of 1 the sample is always the whole batch."""
        encoder, examples, rule = self.encoder(), self.examples(), _rule(way, self.batch)
        optimizer = torch.optim.AdamW(encoder.parameters())
        lengths = [len(ids) for ids in examples.context_ids]

        def step() -> None:
            rule.begin_round(0, self.batch, 1)
            for indices in rule.sample(lengths, self.batch, 1, generator(SEED)):
                optimizer.zero_grad()
                rule.backward(self.model, encoder, examples, indices)
                optimizer.step()

        return step

    def opacus_step(self, mode: OpacusMode) -> Step:
        """The same step in encoder space as one of Opacus' modes takes it."""
        module, examples = _EncoderForEach(self.encoder()), self.examples()
        hooked: Any
        if mode == "ew":
            hooked = GradSampleModuleExpandedWeights(module)
        else:
            hooked = GradSampleModule(module, force_functorch=mode == "functorch")
        optimizer = DPOptimizer(
            torch.optim.AdamW(module.parameters()),
            noise_multiplier=NOISE_MULTIPLIER,
            max_grad_norm=CLIP_NORM,
            expected_batch_size=self.batch,
        )
        rows = torch.arange(self.shape.virtual_tokens).repeat(self.batch, 1)

        def step() -> None:
            optimizer.zero_grad()
            batch = examples_batch(examples, range(self.batch), torch.device("cpu"))
            torch.autograd.backward(label_losses(self.model, hooked(rows), batch).mean())
            assert all(len(each) == self.batch for each in optimizer.grad_samples)
            optimizer.step()

        return step

    def errors(self, space: Space) -> tuple[float, float]:
        """The largest relative error of a norm, and the largest error of a clipped sum.

        Both are against batches of one. Clipping is to the median norm, and the sum's error is in
        units of that, which is the most that one example may add.
        """
        encoder, examples = self.encoder(), self.examples()
        shared = SharedActivations(encoder)
        batch = examples_batch(examples, range(self.batch), torch.device("cpu"))
        gradients = self.model.label_gradients(shared.prompt, batch)[1][:CHECKED]
        if space == "encoder":
            sites = shared.pull_back(gradients)
            norms = example_norms(sites)
            clip_norm = norms.median().item()
            named = weighted_sum(sites, clip_factors(norms, clip_norm))
            sums = [named[name] for name, _ in encoder.named_parameters()]
        else:
            norms = row_norms(gradients)
            clip_norm = norms.median().item()
            factors = clip_factors(norms, clip_norm)
            sums = [torch.einsum("i,ito->to", factors, gradients).unsqueeze(0)]
        totals, worst = [torch.zeros_like(one) for one in sums], 0.0
        for i, found in enumerate(norms.tolist()):
            prompt = encoder()
            loss = label_losses(
                self.model, prompt, examples_batch(examples, [i], torch.device("cpu"))
            ).sum()
            alone = torch.autograd.grad(
                loss, list(encoder.parameters()) if space == "encoder" else [prompt]
            )
            # Torch adds up a norm's squares in the precision of its argument: over ten million
            # float32 numbers that is wrong in the fourth digit.
            norm = torch.stack([one.double().norm() for one in alone]).norm().item()
            worst = max(worst, abs(found - norm) / norm)
            for total, one in zip(totals, alone, strict=True):
                total += min(1.0, clip_norm / (norm + 1e-6)) * one
        pairs = zip(sums, totals, strict=True)
        return worst, max((a - b).abs().max().item() for a, b in pairs) / clip_norm


def _rule(way: Way, batch: int) -> GradientRule:
    if way.space is None:
        return PlainGradient()
    return PrivateGradient(
        noise_multiplier=NOISE_MULTIPLIER,
        clip_norm=CLIP_NORM,
        space=way.space,
        noise=way.noise,
        seed=SEED if way.noise == "seeded" else None,
        batch_size=batch,
        charge=_no_charge,
    )


def _no_charge(round_index: int, examples: int, steps: int) -> float:
    return 0.0


class _EncoderForEach(nn.Module):
    """The encoder on a row of token numbers for each example."""

    def __init__(self, encoder: PromptEncoder) -> None:
        super().__init__()
        self.embedding = encoder.embedding
        self.lstm_head: nn.Module | None = None
        if encoder.kind == "lstm":
            self.lstm_head = DPLSTM(
                encoder.width, encoder.hidden, num_layers=2, bidirectional=True, batch_first=True
            )
        self.mlp_head = encoder.mlp_head

    def forward(self, rows: Tensor) -> Tensor:
        states = self.embedding(rows)
        if self.lstm_head is not None:
            states = self.lstm_head(states)[0]
        prompt: Tensor = self.mlp_head(states)
        return prompt

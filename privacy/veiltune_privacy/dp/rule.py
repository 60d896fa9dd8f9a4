"""The private gradient: Poisson samples, clipped examples, noise, and a charge before all of it.

*Guarantee*: the unit is one training example at one site; neighbouring data sets differ by one
example added or removed; the number of examples is not protected. Each step of a round releases a
Poisson-subsampled Gaussian mechanism with sensitivity `clip_norm` (see `mechanism`). In output
space the released quantity is the noisy sum of clipped gradients of the prompt; pulling it back
through the encoder, whose weights follow from earlier releases, is post-processing, as is
everything that an optimizer does with it. In encoder space it is the noisy sum of clipped gradients
of the encoder's parameters. The caller must see to it that the model treats its examples
independently of each other, which is checked as far as layers tell (batch normalisation), and that
`charge` knows the noise multiplier and the rate `batch_size / examples` that are used here.

What is returned as the loss is the plain mean over the sample. It is not private and not charged:
it may stay at the site, and leave it only if the site's policy says so.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Protocol

import torch
from torch import nn

from veiltune.adapter import PromptEncoder
from veiltune.backbone import FrozenModel
from veiltune.data.encoding import EncodedExamples
from veiltune.errors import SpecificationError
from veiltune.randomness import generator as seeded_generator
from veiltune.training import examples_batch
from veiltune_privacy.dp.clipping import DpError, require_rows
from veiltune_privacy.dp.config import NoiseSource, Space
from veiltune_privacy.dp.mechanism import GaussianMechanism
from veiltune_privacy.dp.system_noise import system_sample

CHUNKS_OF = 1.25
"""A sample is cut into parts of at most this many expected batches, so that memory is bounded."""


class Charge(Protocol):
    """How a site's budget is charged for a round."""

    def __call__(self, round_index: int, examples: int, steps: int) -> float:
        """The epsilon that the site has spent, once the whole round's charge is on disk.

        Raises where the round may not be charged.
        """
        ...


class PrivateGradient:
    """A `GradientRule` under example-level differential privacy.

    Args:
        noise_multiplier: Standard deviation of the noise over the clip norm.
        clip_norm: C, the largest norm of one example's gradient.
        space: What is clipped and noised: the gradient of the prompt (`output`), or that of the
            encoder's parameters (`encoder`).
        noise: `system` draws samples and noise from the operating system's cryptographic source;
            its noise takes 30 milliseconds for a million numbers, which matters in encoder space
            alone. `seeded` draws samples from the generator that training gives and noise from
            `seed`: repeatable and therefore not private, for tests.
        seed: The seed of `seeded` noise, another at every site; None with `system`.
        batch_size: The expected size of a sample. The rate is this over the site's examples, and
            sums are divided by it. A sampler that is asked for another size refuses.
        charge: Charges the site's budget for a round, before the round begins.

    Raises:
        SpecificationError: a number is out of range, or `noise` and `seed` do not fit.
    """

    def __init__(
        self,
        *,
        noise_multiplier: float,
        clip_norm: float,
        space: Space,
        noise: NoiseSource,
        seed: int | None,
        batch_size: int,
        charge: Charge,
    ) -> None:
        if (noise == "seeded") != (seed is not None):
            raise SpecificationError(
                [f"seeded noise needs a seed and other noise takes none, got {noise!r} with {seed}"]
            )
        self.space = space
        self._seed = seed
        self._settings = (noise_multiplier, clip_norm)
        self._batch_size = batch_size
        self._charge = charge
        self._mechanism = self._new_mechanism(0)
        self._examples = 0
        self._steps = 0
        self._sampled = True
        self._pending: tuple[int, ...] | None = None

    def begin_round(self, round_index: int, examples: int, steps: int) -> float:
        """The round is charged, and its steps may be taken; returns what `charge` does.

        Raises:
            DpError: there are fewer examples than a batch has, or no steps.
            VeiltuneError: whatever `charge` raises; nothing can be trained then.
        """
        self._sampled, self._pending = True, None
        if steps < 1 or examples < self._batch_size:
            raise DpError(
                f"a private round needs at least one step, and as many examples as a batch of "
                f"{self._batch_size}, got {steps} steps and {examples} examples; lower "
                f"training.batch_size"
            )
        spent = self._charge(round_index, examples, steps)
        self._mechanism = self._new_mechanism(round_index)
        self._examples, self._steps, self._sampled = examples, steps, False
        return spent

    def sample(
        self, lengths: Sequence[int], batch_size: int, steps: int, generator: torch.Generator
    ) -> Iterator[list[int]]:
        """Poisson samples: each example is in each step's with probability batch_size / examples.

        A sample may be empty, and is used all the same. Under `system` noise `generator` is not
        used: who knew it could tell which examples a step saw.

        Raises:
            DpError: the round was not begun, was sampled before, or was charged for other numbers.
        """
        asked, charged = (
            (len(lengths), batch_size, steps),
            (self._examples, self._batch_size, self._steps),
        )
        if self._sampled or asked != charged:
            raise DpError(
                f"a charged round is sampled once and as it was charged, for (examples, batch "
                f"size, steps) {'none' if self._sampled else charged}, got {asked}; begin the round"
            )
        self._sampled = True
        return self._samples(steps, batch_size / len(lengths), generator)

    def backward(
        self,
        model: FrozenModel,
        encoder: PromptEncoder,
        examples: EncodedExamples,
        indices: list[int],
    ) -> float:
        """Every parameter's `grad` is this step's private gradient; returns the mean loss in nats.

        The loss of an empty sample is 0; losses that are not finite are left out of the mean.

        Raises:
            DpError: the sample is not the one just drawn here, something else holds or wants a
                gradient, a layer mixes examples, or the model did not answer example by example.
        """
        pending, self._pending = self._pending, None
        if pending is None or pending != tuple(indices):
            raise DpError(
                "a private step must use the sample that its own sampler just drew, once, got "
                "another; call begin_round, then take each batch from sample in turn"
            )
        if len(examples.context_ids) != self._examples:
            raise DpError(
                f"a private step must use the {self._examples} examples that were charged, got "
                f"{len(examples.context_ids)}; begin the round again"
            )
        _require_frozen(model.network)
        _require_clear(encoder)
        output = self.space == "output"
        prompt = encoder() if output else None
        release = (
            self._mechanism.prompt_release(prompt)
            if prompt is not None
            else self._mechanism.encoder_release(encoder)
        )
        losses: list[float] = []
        for part in self._parts(indices, examples):
            batch = examples_batch(examples, part, model.device)
            part_losses, gradients = model.label_gradients(release.prompt, batch)
            require_rows(part_losses, len(part))
            require_rows(gradients, len(part))
            release.add(gradients)
            losses += part_losses.tolist()
        private = release.release()
        if prompt is not None:
            prompt.backward(private)
        finite = [loss for loss in losses if math.isfinite(loss)]
        return math.fsum(finite) / len(finite) if finite else 0.0

    def _new_mechanism(self, round_index: int) -> GaussianMechanism:
        noise_multiplier, clip_norm = self._settings
        # A generator a round, so that a restarted job repeats a round exactly.
        source = None if self._seed is None else seeded_generator(self._seed, "noise", round_index)
        return GaussianMechanism(
            noise_multiplier=noise_multiplier,
            clip_norm=clip_norm,
            expected_batch=self._batch_size,
            generator=source,
        )

    def _samples(self, steps: int, rate: float, generator: torch.Generator) -> Iterator[list[int]]:
        for _ in range(steps):
            if self._seed is None:
                drawn = system_sample(self._examples, rate)
            else:
                chances = torch.rand(self._examples, generator=generator, dtype=torch.float64)
                drawn = torch.nonzero(chances < rate).flatten().tolist()
            self._pending = tuple(drawn)
            yield drawn

    def _parts(self, indices: list[int], examples: EncodedExamples) -> Iterator[list[int]]:
        """The sample in nearly equal parts of bounded size, by length, which saves padding."""
        ordered = sorted(indices, key=lambda i: len(examples.context_ids[i]))
        parts = math.ceil(len(ordered) / (CHUNKS_OF * self._batch_size))
        for part in range(parts):
            yield ordered[part * len(ordered) // parts : (part + 1) * len(ordered) // parts]


def _require_frozen(network: nn.Module) -> None:
    """Raises DpError where gradients could pass around the mechanism, or from one to another."""
    if any(p.requires_grad or p.grad is not None for p in network.parameters()):
        raise DpError(
            "the language model must be frozen in a private step, but some of its parameters want "
            "or hold a gradient; freeze them with requires_grad_(False)"
        )
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and (
            module.training or not module.track_running_stats
        ):
            raise DpError(
                f"each example must be treated alone in a private step, but the model has a "
                f"{type(module).__name__} in use, which mixes examples; choose another model"
            )


def _require_clear(encoder: PromptEncoder) -> None:
    """Raises DpError where a gradient that is not private would be added to."""
    if any(parameter.grad is not None for parameter in encoder.parameters()):
        raise DpError(
            "the encoder must hold no gradient before a private step, but it does; clear it with "
            "zero_grad() first"
        )

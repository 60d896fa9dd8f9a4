"""The Gaussian mechanism: a clipped sum, noise once, divided by the expected batch.

Noise and scaling are those of Opacus' optimizers, which see an ordinary set of parameters and never
a hook: in output space one parameter, the prompt, with the examples' gradients as Opacus keeps
them; in encoder space the encoder's parameters with their clipped sums. Neither optimizer takes a
step; what it leaves in `grad` is the private gradient.

*Guarantee*: for the unit of one training example, and data sets that differ by one example added or
removed, a release is the Gaussian mechanism with sensitivity `clip_norm` and standard deviation
`noise_multiplier * clip_norm` on every coordinate, divided by a constant. It is subsampled as the
caller samples. It assumes that every row given to `add` depends on one example alone and that each
example of the step is given once. Releases under `seeded` noise protect nothing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from opacus.optimizers import DPOptimizer, DPOptimizerFastGradientClipping
from torch import Tensor, nn

from veiltune.adapter import PromptEncoder
from veiltune.errors import SpecificationError
from veiltune_privacy.dp.clipping import bounded, clip_factors, row_norms
from veiltune_privacy.dp.shared_activations import SharedActivations, example_norms, weighted_sum
from veiltune_privacy.dp.system_noise import add_system_noise


@dataclass(frozen=True, kw_only=True)
class GaussianMechanism:
    """How much noise a step's sum gets, and whence.

    Raises:
        SpecificationError: a number is out of range.
    """

    noise_multiplier: float
    """Standard deviation of the noise over the clip norm; more than 0."""
    clip_norm: float
    """C, the largest norm of one example's part of the sum; more than 0."""
    expected_batch: int
    """Examples a step on average, by which the noisy sum is divided; never the number drawn."""
    generator: torch.Generator | None
    """The source of seeded noise; None takes the operating system's."""

    def __post_init__(self) -> None:
        faults = [
            f"the {name} of a private step must be more than 0 and finite, got {value:g}; {advice}"
            for name, value, advice in (
                ("noise multiplier", self.noise_multiplier, "calibrate it for an epsilon"),
                ("clip norm", self.clip_norm, "0.03 to 1 is usual"),
                ("expected batch", self.expected_batch, "set training.batch_size"),
            )
            if not (math.isfinite(value) and value > 0)
        ]
        if faults:
            raise SpecificationError(faults)

    def prompt_release(self, prompt: Tensor) -> "PromptRelease":
        """A step in output space for a prompt `(1, tokens, width)`."""
        return PromptRelease(self, prompt)

    def encoder_release(self, encoder: PromptEncoder) -> "EncoderRelease":
        """A step in encoder space."""
        return EncoderRelease(self, encoder)

    def optimizer(self, parameters: Sequence[nn.Parameter], kind: type[DPOptimizer]) -> Any:
        """Opacus' optimizer over these parameters, for its sum, its noise and its scaling."""
        system = {
            DPOptimizer: _SystemNoise,
            DPOptimizerFastGradientClipping: _SystemNoiseForSums,
        }
        return (kind if self.generator is not None else system[kind])(
            torch.optim.SGD(parameters, lr=0.0),
            noise_multiplier=self.noise_multiplier,
            max_grad_norm=self.clip_norm,
            expected_batch_size=self.expected_batch,
            loss_reduction="mean",
            generator=self.generator,
        )


class PromptRelease:
    """One step's sum over gradients of the prompt."""

    def __init__(self, mechanism: GaussianMechanism, prompt: Tensor) -> None:
        self.prompt = prompt.detach()
        self._private = nn.Parameter(torch.zeros_like(self.prompt[0], dtype=torch.float32))
        self._optimizer = mechanism.optimizer([self._private], DPOptimizer)
        self.add(self._private.new_zeros(0, *self._private.shape))

    def add(self, gradients: Tensor) -> None:
        """Clips each of `gradients` `(examples, tokens, width)` and adds it to the sum."""
        gradients = bounded(gradients, row_norms(gradients))
        self._private.grad_sample = gradients  # type: ignore[attr-defined]  # Opacus looks here
        self._optimizer.clip_and_accumulate()

    def release(self) -> Tensor:
        """The private mean gradient of the prompt, `(1, tokens, width)`; to be called once."""
        self._optimizer.add_noise()
        self._optimizer.scale_grad()
        assert self._private.grad is not None
        return self._private.grad.unsqueeze(0)


class EncoderRelease:
    """One step's sum over gradients of an encoder's parameters, from those of the prompt."""

    def __init__(self, mechanism: GaussianMechanism, encoder: PromptEncoder) -> None:
        self._clip_norm = mechanism.clip_norm
        self._parameters: dict[str, Any] = dict(encoder.named_parameters())
        self._optimizer = mechanism.optimizer(
            list(self._parameters.values()), DPOptimizerFastGradientClipping
        )
        self._shared = SharedActivations(encoder)
        self.prompt = self._shared.prompt

    def add(self, gradients: Tensor) -> None:
        """Adds each example's clipped gradient, given that of the prompt.

        Args:
            gradients: `(examples, tokens, width)`.
        """
        gradients = bounded(gradients, row_norms(gradients))
        sites = self._shared.pull_back(gradients)
        norms = example_norms(sites)
        if not torch.isfinite(norms).all():
            sites = self._shared.pull_back(bounded(gradients, norms))
        sums = weighted_sum(sites, clip_factors(norms, self._clip_norm))
        for name, parameter in self._parameters.items():
            so_far = parameter.summed_grad
            parameter.summed_grad = sums[name] if so_far is None else so_far + sums[name]

    def release(self) -> None:
        """The private mean gradient is every parameter's `grad`; to be called once."""
        for parameter in self._parameters.values():
            if parameter.summed_grad is None:
                parameter.summed_grad = torch.zeros_like(parameter)
        self._optimizer.add_noise()
        self._optimizer.scale_grad()
        for parameter in self._parameters.values():
            parameter.summed_grad = None


def _add_noise(optimizer: Any) -> None:
    """What Opacus' `add_noise` does, with the operating system's noise and no copy."""
    for parameter in optimizer.params:
        parameter.grad = parameter.summed_grad.contiguous()
        parameter.summed_grad = None
        add_system_noise(parameter.grad, optimizer.noise_multiplier * optimizer.max_grad_norm)


class _SystemNoise(DPOptimizer):
    def add_noise(self) -> None:
        _add_noise(self)


class _SystemNoiseForSums(DPOptimizerFastGradientClipping):
    def add_noise(self) -> None:
        _add_noise(self)

"""A release is the clipped sum with noise once, over the expected batch."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from scipy import stats
from torch import Tensor

from veiltune.adapter import PromptEncoder
from veiltune.adapter.prompt_encoder import EncoderKind
from veiltune.errors import SpecificationError
from veiltune_privacy.dp.mechanism import GaussianMechanism

TOKENS, WIDTH = 3, 8
MakeEncoder = Callable[[EncoderKind], PromptEncoder]
KINDS: list[EncoderKind] = ["mlp", "mlp3", "lstm"]


def mechanism(
    noise_multiplier: float = 1e-12, clip_norm: float = 1.0, batch: int = 4, seed: int | None = 0
) -> GaussianMechanism:
    return GaussianMechanism(
        noise_multiplier=noise_multiplier,
        clip_norm=clip_norm,
        expected_batch=batch,
        generator=None if seed is None else torch.Generator().manual_seed(seed),
    )


def draws(count: int, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(count, TOKENS, WIDTH, generator=torch.Generator().manual_seed(3))


def of_encoder(settings: GaussianMechanism, encoder: PromptEncoder, *parts: Tensor) -> Tensor:
    """What a release leaves in the encoder's gradients, as one vector."""
    release = settings.encoder_release(encoder)
    for part in parts:
        release.add(part)
    release.release()
    found = torch.cat([p.grad.flatten() for p in encoder.parameters() if p.grad is not None])
    encoder.zero_grad()
    assert all(getattr(p, "summed_grad", None) is None for p in encoder.parameters())
    return found


def of_prompt(settings: GaussianMechanism, *parts: Tensor) -> Tensor:
    release = settings.prompt_release(torch.zeros(1, TOKENS, WIDTH))
    for part in parts:
        release.add(part)
    return release.release()


@pytest.mark.parametrize("batch", [1, 4, 100])
def test_the_divisor_is_the_expected_batch_whatever_came(batch: int) -> None:
    gradients = draws(7, 1e-3)
    found = of_prompt(mechanism(batch=batch), gradients)
    torch.testing.assert_close(found[0], gradients.sum(0) / batch)


def test_parts_of_a_sample_add_up_to_the_whole(make_encoder: MakeEncoder) -> None:
    gradients = draws(9)
    parts = gradients[:2], gradients[2:2], gradients[2:]
    whole_prompt = of_prompt(mechanism(), gradients.clone())
    torch.testing.assert_close(of_prompt(mechanism(), *parts), whole_prompt)
    for kind in KINDS:
        encoder = make_encoder(kind)
        whole = of_encoder(mechanism(), encoder, gradients)
        torch.testing.assert_close(of_encoder(mechanism(), encoder, *parts), whole)
        assert whole.norm() > 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_one_example_moves_the_encoders_sum_by_no_more_than_the_clip_norm(
    kind: EncoderKind, make_encoder: MakeEncoder
) -> None:
    """For long, short and damaged gradients alike; the divisor is 1."""
    encoder, settings = make_encoder(kind), mechanism(clip_norm=0.3, batch=1)
    gradients = draws(6) * torch.logspace(-6, 6, 6).view(-1, 1, 1)
    whole = of_encoder(settings, encoder, gradients)
    for i in range(6):
        rest = torch.cat([gradients[:i], gradients[i + 1 :]])
        moved = (of_encoder(settings, encoder, rest) - whole).norm()
        assert moved <= 0.3 * (1 + 1e-4)
        assert moved > 0.29 or i < 3, "long gradients use all of it"
    gradients[2, 0, 0] = math.nan
    gradients[4, 1, 1] = math.inf
    gradients[5] = 1e30  # its square is no float32
    damaged = of_encoder(settings, encoder, gradients)
    assert torch.isfinite(damaged).all()
    torch.testing.assert_close(damaged, of_encoder(settings, encoder, gradients[[0, 1, 3]]))


def test_damaged_gradients_of_the_prompt_add_nothing() -> None:
    gradients = draws(5)
    gradients[1, 0, 0] = math.nan
    gradients[3] = math.inf
    found = of_prompt(mechanism(), gradients)
    torch.testing.assert_close(found, of_prompt(mechanism(), gradients[[0, 2, 4]]))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", [5, None], ids=["seeded", "system"])
def test_the_noise_is_normal_with_the_right_deviation_even_without_examples(
    kind: EncoderKind, seed: int | None, make_encoder: MakeEncoder
) -> None:
    """Kolmogorov and Smirnov's test, with a false alarm once in a billion runs."""
    settings = mechanism(noise_multiplier=1.5, clip_norm=0.2, batch=4, seed=seed)
    deviation = 1.5 * 0.2 / 4
    encoder = make_encoder(kind)
    noise = torch.cat([of_encoder(settings, encoder) for _ in range(20)])
    assert stats.kstest((noise / deviation).numpy(), "norm").pvalue > 1e-9
    prompts = torch.cat([of_prompt(settings, draws(0)).flatten() for _ in range(200)])
    assert stats.kstest((prompts / deviation).numpy(), "norm").pvalue > 1e-9


def test_noise_is_added_once_and_to_the_sum() -> None:
    """With examples or without, in one part or several, the noise of a seed is the same."""
    gradients = draws(6, 1e-3)
    noise = of_prompt(mechanism(noise_multiplier=1.0), gradients[:0])
    for parts in ((gradients.clone(),), (gradients[:3], gradients[3:])):
        found = of_prompt(mechanism(noise_multiplier=1.0), *parts)
        torch.testing.assert_close(found - noise, gradients.sum(0, keepdim=True) / 4)


def test_gradients_that_were_added_before_are_refused() -> None:
    gradients = draws(2)
    with pytest.raises(ValueError, match="haven't been cleared"):
        of_prompt(mechanism(), gradients, gradients)


@pytest.mark.parametrize("value", [0.0, -1.0, math.inf, math.nan])
@pytest.mark.parametrize("name", ["noise multiplier", "clip norm"])
def test_a_step_without_noise_or_bound_cannot_be_made(name: str, value: float) -> None:
    wrong: dict[str, Any] = {name.replace(" ", "_"): value}
    with pytest.raises(SpecificationError, match=f"the {name} of a private step must be more than"):
        mechanism(**wrong)
    with pytest.raises(SpecificationError, match="expected batch"):
        mechanism(batch=0)

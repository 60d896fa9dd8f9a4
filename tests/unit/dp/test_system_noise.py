"""Noise and samples from the operating system: their laws, and that they never repeat.

These draws have no seed, so every threshold is set for a false alarm in a billion runs.
"""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from veiltune_privacy.dp import system_noise
from veiltune_privacy.dp.system_noise import SecretStream, system_normals, system_sample

FALSE_ALARM = 1e-9


def test_normals_are_standard_normal() -> None:
    drawn = system_normals(200_001)
    assert drawn.shape == (200_001,) and drawn.dtype == torch.float64
    assert stats.kstest(drawn.numpy(), "norm").pvalue > FALSE_ALARM
    # The two numbers of a pair stand half a part away from each other, and must not go together.
    half = system_noise.AT_ONCE // 2
    first, second = drawn[:half], drawn[half : 2 * half]
    for a, b in ((first, second), (first**2, second**2), (first[1:], first[:-1])):
        together = float(np.corrcoef(a.numpy(), b.numpy())[0, 1])
        assert abs(together) * math.sqrt(len(a)) < stats.norm.isf(FALSE_ALARM / 2)


def test_sums_of_four_have_no_heavy_or_cut_tails() -> None:
    drawn = system_normals(400_000).abs()
    for bound in (2.0, 3.0, 4.0):
        beyond = int((drawn > bound).sum())
        chance = 2 * float(stats.norm.sf(bound))
        assert stats.binomtest(beyond, len(drawn), chance).pvalue > FALSE_ALARM


@pytest.mark.parametrize("count", [0, 1, 2, 3, system_noise.AT_ONCE, system_noise.AT_ONCE + 1])
def test_any_count(count: int) -> None:
    drawn = system_normals(count)
    assert drawn.shape == (count,)
    assert torch.isfinite(drawn).all()


def test_uniforms_are_never_zero_whose_logarithm_is_infinite(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Zeros:
        def update(self, data: bytes) -> bytes:
            return bytes(len(data))

    stream = SecretStream()
    assert 0 < stream.uniforms(1000).min() and stream.uniforms(1000).max() <= 1
    monkeypatch.setattr(stream, "_encryptor", Zeros())
    assert (stream.uniforms(4) == 2.0**-53).all()


def test_seeds_have_no_influence_and_no_two_draws_are_equal() -> None:
    draws = []
    for _ in range(2):
        torch.manual_seed(0)
        np.random.seed(0)
        draws.append(system_normals(1000))
    assert len(torch.cat(draws).unique()) == 2000


@pytest.mark.parametrize("rate", [0.01, 0.3, 1.0])
def test_samples_hold_each_example_with_its_rate(rate: float) -> None:
    examples, steps = 50, 2000
    counts = np.zeros(examples, np.int64)
    sizes = []
    for _ in range(steps):
        drawn = system_sample(examples, rate)
        assert drawn == sorted(set(drawn))
        counts[drawn] += 1
        sizes.append(len(drawn))
    for count in counts:
        chance = stats.binomtest(int(count), steps, rate).pvalue
        assert chance > FALSE_ALARM / examples
    # Independent draws: the sizes vary as a binomial's do. Their sample variance is close to normal
    # with this deviation.
    variance = examples * rate * (1 - rate)
    fourth = variance * (1 + 3 * (examples - 2) * rate * (1 - rate))
    deviation = math.sqrt(max(fourth - variance**2, 0) / steps)
    assert abs(np.var(sizes) - variance) <= stats.norm.isf(FALSE_ALARM) * deviation + 1e-9

"""An attack on one run bounds epsilon from below, and must not exceed what is claimed.

Steinke, Nasr and Jagielski 2023, "Privacy Auditing with One (1) Training Run": each canary is among
the examples by the toss of a coin, training runs once, and an attacker guesses the coins from what
was released. Epsilon limits how often the guesses can be right (theorem 5.2).
"""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from opacus.optimizers import DPOptimizer, DPOptimizerFastGradientClipping
from scipy import stats

from veiltune.adapter import AdapterConfig, build_encoder
from veiltune.data.encoding import EncodedExamples
from veiltune.randomness import generator
from veiltune_privacy.dp.accounting import Release, prv_epsilon
from veiltune_privacy.dp.config import Space
from veiltune_privacy.dp.rule import PrivateGradient

CANARIES, BATCH, STEPS = 1000, 25, 200
NOISE, DELTA = 1.7, 1e-5
GUESSES = 200
"""Coins that are guessed: half of them as heads, half as tails, where the attacker is surest."""
CONFIDENCE = 0.95
"""The bound is wrong for at most one seed in twenty; the seeds here are fixed."""
SPACES: list[Space] = ["output", "encoder"]
MakeRule = Callable[..., PrivateGradient]
MakeLinear = Callable[..., tuple[Any, EncodedExamples]]


def epsilon_at_least(right: int, guesses: int, canaries: int, delta: float) -> float:
    """The largest epsilon under which so many right guesses would have chance 1 - CONFIDENCE."""

    def chance(epsilon: float) -> float:
        law = stats.binom(guesses, 1 / (1 + math.exp(-epsilon)))
        enough = float(law.sf(right - 1))
        leak = max(2 / i * (float(law.sf(right - 1 - i)) - enough) for i in range(1, right + 1))
        return enough + canaries * delta * leak

    low, high = 0.0, 40.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if chance(middle) > 1 - CONFIDENCE else (middle, high)
    return low


def attack(rule: PrivateGradient, make_linear: MakeLinear) -> tuple[float, float]:
    """Epsilon from below by one run, and the epsilon claimed for `NOISE`.

    The canaries are orthogonal and far longer than the clip norm. With one virtual token, the last
    bias of the encoder has the gradient of the prompt, so the attacker reads them off it.
    """
    coins = torch.rand(CANARIES, generator=generator(1)) < 0.5
    members = torch.nonzero(coins).flatten()
    model, examples = make_linear(10 * torch.eye(CANARIES)[members].unsqueeze(1))
    config = AdapterConfig(encoder="mlp", virtual_tokens=1, hidden_size=2)
    encoder = build_encoder(config, CANARIES, generator(2))
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.mul_(0.01)  # so that in encoder space the last bias has most of the gradient
    count, scores = len(members), torch.zeros(CANARIES)
    rule.begin_round(0, count, STEPS)
    for indices in rule.sample([1] * count, BATCH, STEPS, generator(3)):
        encoder.zero_grad()
        rule.backward(model, encoder, examples, indices)
        last = encoder.get_parameter(f"mlp_head.{len(encoder.mlp_head) - 1}.bias")
        assert last.grad is not None
        scores += last.grad
    order = scores.argsort(descending=True)
    half = GUESSES // 2
    right = int(coins[order[:half]].sum() + (~coins[order[-half:]]).sum())
    claimed = prv_epsilon([Release(NOISE, BATCH / count, STEPS)], DELTA).epsilon
    return epsilon_at_least(right, GUESSES, CANARIES, DELTA), claimed


@pytest.mark.parametrize("space", SPACES)
def test_what_is_claimed_is_not_refuted(
    space: Space, make_rule: MakeRule, make_linear: MakeLinear
) -> None:
    rule = make_rule(space=space, noise_multiplier=NOISE, batch_size=BATCH)
    found, claimed = attack(rule, make_linear)
    assert 0 < found < claimed


@pytest.mark.parametrize("space", SPACES)
def test_a_tenth_of_the_noise_is_found_out(
    space: Space, make_rule: MakeRule, make_linear: MakeLinear
) -> None:
    rule = make_rule(space=space, noise_multiplier=NOISE / 10, batch_size=BATCH)
    found, claimed = attack(rule, make_linear)
    assert found > claimed


@pytest.mark.parametrize("space", SPACES)
def test_no_noise_is_found_out(
    space: Space, make_rule: MakeRule, make_linear: MakeLinear, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(optimizer: Any) -> None:
        for parameter in optimizer.params:
            parameter.grad = parameter.summed_grad

    for kind in (DPOptimizer, DPOptimizerFastGradientClipping):
        monkeypatch.setattr(kind, "add_noise", silent)
    rule = make_rule(space=space, noise_multiplier=NOISE, batch_size=BATCH)
    found, claimed = attack(rule, make_linear)
    assert found > 1.5 * claimed


def test_the_bound_in_cases_that_are_known() -> None:
    """All right, without delta: p ** r = 0.05. Half right: nothing is shown."""
    chance = 0.05 ** (1 / 100)
    expected = math.log(chance / (1 - chance))
    assert epsilon_at_least(100, 100, 1000, 0.0) == pytest.approx(expected)
    assert epsilon_at_least(100, 100, 1000, 1e-5) < expected
    assert epsilon_at_least(50, 100, 1000, 1e-5) == 0.0

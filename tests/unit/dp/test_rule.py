"""The private rule: Poisson samples, a charge before everything, and every refusal."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from veiltune.adapter import AdapterConfig, PromptEncoder, build_encoder, flatten
from veiltune.adapter.prompt_encoder import EncoderKind
from veiltune.backbone import BackboneConfig, load_backbone
from veiltune.data.encoding import EncodedExamples
from veiltune.errors import RunError, SpecificationError
from veiltune.randomness import generator
from veiltune.training import GradientRule, LocalTrainer, TrainingConfig
from veiltune_privacy.dp import rule as rule_module
from veiltune_privacy.dp.clipping import DpError
from veiltune_privacy.dp.config import NoiseSource, Space
from veiltune_privacy.dp.rule import PrivateGradient

MakeRule = Callable[..., PrivateGradient]
MakeEncoder = Callable[..., PromptEncoder]
MakeLinear = Callable[..., tuple[Any, EncodedExamples]]
SPACES: list[Space] = ["output", "encoder"]
SOURCES: list[NoiseSource] = ["seeded", "system"]
KINDS: list[EncoderKind] = ["mlp", "mlp3", "lstm"]
EXAMPLES = 20


class Recorded:
    """Charges that were made; `refuses` is raised instead, where there is one."""

    def __init__(self) -> None:
        self.rounds: list[tuple[int, int, int]] = []
        self.refuses: Exception | None = None

    def __call__(self, round_index: int, examples: int, steps: int) -> float:
        if self.refuses is not None:
            raise self.refuses
        self.rounds.append((round_index, examples, steps))
        return 0.5


def new_encoder(kind: EncoderKind) -> PromptEncoder:
    config = AdapterConfig(encoder=kind, virtual_tokens=3, hidden_size=6)
    return build_encoder(config, 32, generator(1))


def directions(count: int = EXAMPLES) -> Tensor:
    return torch.randn(count, 3, 8, generator=generator(2))


def samples(
    rule: PrivateGradient, examples: int, batch: int, steps: int, seed: int = 0
) -> list[list[int]]:
    rule.begin_round(0, examples, steps)
    return list(rule.sample([1] * examples, batch, steps, generator(seed)))


# Sampling


@pytest.mark.parametrize("noise", SOURCES)
def test_samples_are_poissons_with_the_rate_of_the_expected_batch(
    make_rule: MakeRule, noise: NoiseSource
) -> None:
    """Every example's count and the sizes' spread; a false alarm once in a billion runs."""
    steps, examples, batch = 3000, 30, 6
    drawn = samples(make_rule(noise=noise, batch_size=batch), examples, batch, steps)
    assert len(drawn) == steps
    rate = batch / examples
    for i in range(examples):
        count = sum(i in one for one in drawn)
        assert stats.binomtest(count, steps, rate).pvalue > 1e-9 / examples
    sizes = torch.tensor([len(one) for one in drawn], dtype=torch.float64)
    counts = torch.bincount(sizes.long(), minlength=examples + 1)
    expected = torch.tensor(stats.binom.pmf(range(examples + 1), examples, rate)) * steps
    inner = expected > 5
    found, wanted = (
        torch.cat([one[inner], one[~inner].sum().view(1)]).tolist() for one in (counts, expected)
    )
    assert stats.chisquare(found, wanted).pvalue > 1e-9
    pairs = sum(0 in one and 1 in one for one in drawn)
    assert stats.binomtest(pairs, steps, rate**2).pvalue > 1e-9


def test_seeded_samples_follow_the_generator_and_secret_ones_do_not(make_rule: MakeRule) -> None:
    seeded = [samples(make_rule(), 30, 4, 20, seed) for seed in (0, 0, 1)]
    assert seeded[0] == seeded[1] != seeded[2]
    secret = [samples(make_rule(noise="system"), 30, 4, 20, 0) for _ in range(2)]
    assert secret[0] != secret[1]


def test_empty_samples_are_drawn_and_noised_without_the_model(
    make_rule: MakeRule, make_linear: MakeLinear, make_encoder: MakeEncoder
) -> None:
    model, examples = make_linear(directions())
    for space in SPACES:
        rule, encoder = make_rule(space=space, batch_size=1), make_encoder()
        rule.begin_round(0, EXAMPLES, 40)
        empty = 0
        for indices in rule.sample([1] * EXAMPLES, 1, 40, generator(0)):
            encoder.zero_grad()
            model.calls.clear()
            loss = rule.backward(model, encoder, examples, indices)
            grads = [p.grad for p in encoder.parameters()]
            assert all(grad is not None and grad.abs().sum() > 0 for grad in grads)
            if not indices:
                empty += 1
                assert loss == 0.0 and not model.calls
        assert empty > 5


def test_a_large_sample_comes_to_the_model_in_bounded_parts_by_length(
    make_rule: MakeRule, make_linear: MakeLinear, make_encoder: MakeEncoder
) -> None:
    model, examples = make_linear(directions())
    lengths = [1 + (7 * i) % 20 for i in range(EXAMPLES)]
    for i, length in enumerate(lengths):
        examples.context_ids[i] = [0] * (length - 1) + [i]
    rule = make_rule(batch_size=4)
    parts = list(rule._parts(list(range(EXAMPLES)), examples))
    assert sorted(i for part in parts for i in part) == list(range(EXAMPLES))
    assert max(map(len, parts)) <= rule_module.CHUNKS_OF * 4
    ordered = [lengths[i] for part in parts for i in part]
    assert ordered == sorted(ordered)


# The gradient


@pytest.mark.parametrize("space", SPACES)
def test_the_gradient_is_the_clipped_sum_over_the_expected_batch(
    space: Space, make_rule: MakeRule, make_linear: MakeLinear, make_encoder: MakeEncoder
) -> None:
    model, examples = make_linear(directions())
    encoder = make_encoder("mlp3")
    rule = make_rule(space=space, noise_multiplier=1e-12, clip_norm=0.7)
    rule.begin_round(0, EXAMPLES, 6)
    for indices in rule.sample([1] * EXAMPLES, 4, 6, generator(0)):
        encoder.zero_grad()
        loss = rule.backward(model, encoder, examples, indices)
        prompt = encoder()
        total = torch.zeros(())
        for i in indices:
            wanted = [prompt] if space == "output" else list(encoder.parameters())
            own = (prompt * model.directions[i]).sum()
            grads = torch.autograd.grad(own, wanted, retain_graph=True)
            vector = torch.cat([grad.flatten() for grad in grads])
            total = total + vector * min(1.0, 0.7 / (vector.norm().item() + 1e-6))
        total = total / 4
        found = torch.cat([p.grad.flatten() for p in encoder.parameters() if p.grad is not None])
        if space == "output":
            pulled = torch.autograd.grad(
                prompt, list(encoder.parameters()), total.view(1, 3, 8) + torch.zeros(1, 3, 8)
            )
            total = torch.cat([grad.flatten() for grad in pulled])
        torch.testing.assert_close(found, total + torch.zeros_like(found), rtol=1e-4, atol=1e-6)
        losses = [(prompt * model.directions[i]).sum().item() for i in indices]
        assert loss == pytest.approx(sum(losses) / max(1, len(losses)), rel=1e-4)


def test_a_damaged_example_neither_stops_the_step_nor_shows_in_it(
    make_rule: MakeRule, make_linear: MakeLinear, make_encoder: MakeEncoder
) -> None:
    rows = directions(4)
    rows[1] = math.inf
    for space in SPACES:
        model, examples = make_linear(rows)
        rule, encoder = make_rule(space=space), make_encoder()
        rule.begin_round(0, 4, 1)
        (indices,) = rule.sample([1] * 4, 4, 1, generator(0))
        assert math.isfinite(rule.backward(model, encoder, examples, indices))
        assert all(
            p.grad is not None and torch.isfinite(p.grad).all() for p in encoder.parameters()
        )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("noise", SOURCES)
def test_training_takes_the_rule_as_it_is(
    kind: EncoderKind,
    space: Space,
    noise: NoiseSource,
    tiny_model: Any,
    make_rule: MakeRule,
) -> None:
    """With a real model; seeded noise gives the same result twice, the system's never."""
    model = load_backbone(BackboneConfig(name=str(tiny_model), device="cpu"))
    draw = generator(5)
    contexts = [torch.randint(0, 300, (1 + i % 9,), generator=draw).tolist() for i in range(16)]
    examples = EncodedExamples(contexts, [i % 2 for i in range(16)], 0, ((5,), (6, 7)))
    config = TrainingConfig(batch_size=8, steps_per_round=3, learning_rate=1e-3)
    ends = []
    for _ in range(2):
        charged = Recorded()
        rule: GradientRule = make_rule(space=space, noise=noise, batch_size=8, charge=charged)
        encoder = new_encoder(kind)
        trainer = LocalTrainer(model, encoder, examples, config, rule, 2)
        for round_index in range(2):
            done = trainer.train(round_index, generator(0, round_index))
            assert done.steps == 3 and math.isfinite(done.loss)
        assert charged.rounds == [(0, 16, 3), (1, 16, 3)]
        ends.append(flatten(encoder))
    assert torch.equal(ends[0], ends[1]) == (noise == "seeded")
    assert not torch.equal(ends[0], flatten(new_encoder(kind)))


# Refusals


def test_nothing_is_trained_without_a_charge(
    make_rule: MakeRule, make_linear: MakeLinear, make_encoder: MakeEncoder
) -> None:
    model, examples = make_linear(directions())
    rule = make_rule()
    with pytest.raises(DpError, match="begin the round"):
        rule.sample([1] * EXAMPLES, 4, 2, generator(0))
    with pytest.raises(DpError, match="call begin_round"):
        rule.backward(model, make_encoder(), examples, [0, 1])


def test_a_refused_charge_leaves_nothing_to_train_with(make_rule: MakeRule) -> None:
    charge = Recorded()
    rule = make_rule(charge=charge)
    assert rule.begin_round(0, EXAMPLES, 2) == 0.5
    charge.refuses = RunError("the budget is spent")
    with pytest.raises(RunError, match="the budget is spent"):
        rule.begin_round(1, EXAMPLES, 2)
    with pytest.raises(DpError, match="got"):
        rule.sample([1] * EXAMPLES, 4, 2, generator(0))


@pytest.mark.parametrize(
    ("examples", "batch", "steps"), [(EXAMPLES + 1, 4, 2), (EXAMPLES, 5, 2), (EXAMPLES, 4, 3)]
)
def test_a_round_is_sampled_as_it_was_charged(
    examples: int, batch: int, steps: int, make_rule: MakeRule
) -> None:
    rule = make_rule()
    rule.begin_round(0, EXAMPLES, 2)
    with pytest.raises(DpError, match=r"charged.*\(20, 4, 2\), got"):
        rule.sample([1] * examples, batch, steps, generator(0))


def test_a_round_is_sampled_once(make_rule: MakeRule) -> None:
    rule = make_rule()
    samples(rule, EXAMPLES, 4, 2)
    with pytest.raises(DpError, match="sampled once"):
        rule.sample([1] * EXAMPLES, 4, 2, generator(0))


def test_only_the_sample_just_drawn_is_used_and_only_once(
    make_rule: MakeRule, make_linear: MakeLinear, make_encoder: MakeEncoder
) -> None:
    model, examples = make_linear(directions())
    rule, encoder = make_rule(batch_size=10), make_encoder()
    rule.begin_round(0, EXAMPLES, 3)
    drawn = rule.sample([1] * EXAMPLES, 10, 3, generator(0))
    indices = next(drawn)
    with pytest.raises(DpError, match="the sample that its own sampler just drew"):
        rule.backward(model, encoder, examples, [*indices, indices[0]])
    with pytest.raises(DpError):
        rule.backward(model, encoder, examples, indices)
    indices = next(drawn)
    rule.backward(model, encoder, examples, indices)
    encoder.zero_grad()
    with pytest.raises(DpError):
        rule.backward(model, encoder, examples, indices)
    old = next(drawn)
    rule.begin_round(1, EXAMPLES, 3)
    with pytest.raises(DpError):
        rule.backward(model, encoder, examples, old)


def one_step(
    rule: PrivateGradient, model: Any, encoder: PromptEncoder, examples: EncodedExamples
) -> None:
    count = len(examples.context_ids)
    rule.begin_round(0, count, 1)
    (indices,) = rule.sample([1] * count, count, 1, generator(0))
    rule.backward(model, encoder, examples, indices)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("fault", ["wants", "holds"])
def test_a_model_that_is_not_frozen_is_refused(
    fault: str,
    space: Space,
    make_rule: MakeRule,
    make_linear: MakeLinear,
    make_encoder: MakeEncoder,
) -> None:
    model, examples = make_linear(directions(4))
    weight = next(model.network.parameters())
    if fault == "wants":
        weight.requires_grad_(True)
    else:
        weight.grad = torch.zeros_like(weight)
    with pytest.raises(DpError, match="must be frozen"):
        one_step(make_rule(space=space), model, make_encoder(), examples)


@pytest.mark.parametrize(
    ("layer", "mixes"),
    [
        (nn.BatchNorm1d(4).train(), True),
        (nn.BatchNorm2d(4, track_running_stats=False).eval(), True),
        (nn.BatchNorm1d(4).eval(), False),
        (nn.LayerNorm(4).train(), False),
    ],
)
def test_a_model_that_mixes_examples_is_refused(
    layer: nn.Module,
    mixes: bool,
    make_rule: MakeRule,
    make_linear: MakeLinear,
    make_encoder: MakeEncoder,
) -> None:
    model, examples = make_linear(directions(4))
    model.network = nn.Sequential(nn.Linear(2, 2), nn.Sequential(layer)).requires_grad_(False)
    if not mixes:
        one_step(make_rule(), model, make_encoder(), examples)
        return
    with pytest.raises(DpError, match="mixes examples"):
        one_step(make_rule(), model, make_encoder(), examples)


@pytest.mark.parametrize("space", SPACES)
def test_a_gradient_that_is_already_there_is_refused(
    space: Space, make_rule: MakeRule, make_linear: MakeLinear, make_encoder: MakeEncoder
) -> None:
    model, examples = make_linear(directions(4))
    encoder = make_encoder()
    encoder.embedding.weight.grad = torch.zeros_like(encoder.embedding.weight)
    with pytest.raises(DpError, match="must hold no gradient"):
        one_step(make_rule(space=space), model, encoder, examples)


@pytest.mark.parametrize("space", SPACES)
def test_one_gradient_for_a_whole_batch_is_refused(
    space: Space,
    make_rule: MakeRule,
    make_linear: MakeLinear,
    make_encoder: MakeEncoder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What hooks on an encoder that runs once a batch would give."""
    model, examples = make_linear(directions(4))
    route = model.label_gradients

    def once_a_batch(prompt: Tensor, batch: Any) -> tuple[Tensor, Tensor]:
        losses, gradients = route(prompt, batch)
        return losses, gradients.sum(0, keepdim=True)

    monkeypatch.setattr(model, "label_gradients", once_a_batch)
    encoder = make_encoder()
    with pytest.raises(DpError, match="one gradient for each of its 4 examples"):
        one_step(make_rule(space=space), model, encoder, examples)
    assert all(p.grad is None for p in encoder.parameters())


def test_other_examples_than_the_charged_ones_are_refused(
    make_rule: MakeRule, make_linear: MakeLinear, make_encoder: MakeEncoder
) -> None:
    model, examples = make_linear(directions(5))
    rule = make_rule()
    rule.begin_round(0, 4, 1)
    (indices,) = rule.sample([1] * 4, 4, 1, generator(0))
    with pytest.raises(DpError, match="the 4 examples that were charged, got 5"):
        rule.backward(model, make_encoder(), examples, indices)


@pytest.mark.parametrize(("examples", "steps"), [(3, 1), (0, 1), (20, 0)])
def test_a_site_with_fewer_examples_than_a_batch_is_not_charged(
    examples: int, steps: int, make_rule: MakeRule
) -> None:
    charge = Recorded()
    with pytest.raises(DpError, match="as many examples as a batch of 4"):
        make_rule(charge=charge).begin_round(0, examples, steps)
    assert not charge.rounds


def test_numbers_out_of_range_are_refused(make_rule: MakeRule) -> None:
    for bad in ({"noise_multiplier": 0.0}, {"clip_norm": math.nan}, {"batch_size": 0}):
        with pytest.raises(SpecificationError, match="of a private step must be more than 0"):
            make_rule(**bad)
    with pytest.raises(SpecificationError, match="seeded noise needs a seed"):
        PrivateGradient(
            noise_multiplier=1.0,
            clip_norm=1.0,
            space="output",
            noise="system",
            seed=1,
            batch_size=4,
            charge=Recorded(),
        )

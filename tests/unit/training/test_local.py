"""The schedule in closed form, and local training against a plain loop of torch."""

import copy
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from veiltune.adapter import AdapterConfig, PromptEncoder, build_encoder, flatten
from veiltune.backbone import FrozenModel, HuggingFaceModel, label_batch, label_losses
from veiltune.data.encoding import EncodedExamples
from veiltune.errors import RunError
from veiltune.randomness import generator
from veiltune.training import LocalTrainer, PlainGradient, TrainingConfig, learning_rate

ROUNDS = 3


def new_encoder() -> PromptEncoder:
    return build_encoder(AdapterConfig(virtual_tokens=3, hidden_size=8), 32, generator(1))


def trainer(
    model: HuggingFaceModel, examples: EncodedExamples, config: TrainingConfig
) -> LocalTrainer:
    return LocalTrainer(model, new_encoder(), examples, config, PlainGradient(), ROUNDS)


def plain_training(
    model: HuggingFaceModel, examples: EncodedExamples, config: TrainingConfig
) -> tuple[torch.Tensor, list[float]]:
    """The same training written out: the final vector, and the mean loss of each round."""
    encoder, means, step = new_encoder(), [], 0
    count = len(examples.context_ids)
    steps = config.steps_per_round or config.epochs_per_round * math.ceil(count / config.batch_size)
    total = ROUNDS * steps
    optimizer = None
    for round_index in range(ROUNDS):
        if optimizer is None or config.optimizer_state == "reset":
            optimizer = torch.optim.AdamW(
                encoder.parameters(), betas=config.betas, weight_decay=config.weight_decay
            )
        lengths = [len(ids) for ids in examples.context_ids]
        drawn = PlainGradient().sample(lengths, config.batch_size, steps, generator(round_index))
        losses = []
        for indices in drawn:
            if step < config.warmup_steps:
                rate = (step + 1) / config.warmup_steps
            else:
                along = (step - config.warmup_steps) / (total - config.warmup_steps)
                floor = config.final_rate_ratio
                rate = floor + (1 - floor) * (1 + math.cos(math.pi * along)) / 2
            optimizer.param_groups[0]["lr"] = config.learning_rate * rate
            answers = [examples.label_ids[examples.label_index[i]] for i in indices]
            batch = label_batch([examples.context_ids[i] for i in indices], answers, model.device)
            loss = label_losses(model, encoder(), batch).mean()
            optimizer.zero_grad()
            loss.backward()
            if config.gradient_clip is not None:
                grads = [p.grad for p in encoder.parameters() if p.grad is not None]
                norm = torch.cat([grad.flatten() for grad in grads]).norm()
                for grad in grads:
                    grad.mul_((config.gradient_clip / norm).clamp(max=1))
            optimizer.step()
            losses.append(loss.item())
            step += 1
        means.append(sum(losses) / len(losses))
    return flatten(encoder), means


@pytest.mark.parametrize(
    "config",
    [
        TrainingConfig(batch_size=8),
        TrainingConfig(batch_size=5, epochs_per_round=2, optimizer_state="reset"),
        TrainingConfig(batch_size=8, steps_per_round=4, warmup_steps=5, weight_decay=0.1),
        TrainingConfig(batch_size=8, gradient_clip=0.01, betas=(0.8, 0.9), final_rate_ratio=0.0),
    ],
    ids=["epochs", "reset", "steps, warm-up, decay", "clip, betas, to zero"],
)
def test_training_is_a_plain_loop_of_adamw(
    config: TrainingConfig, model: HuggingFaceModel, unequal_tokens: EncodedExamples
) -> None:
    ours = trainer(model, unequal_tokens, config)
    done = [ours.train(index, generator(index)) for index in range(ROUNDS)]
    expected, losses = plain_training(model, unequal_tokens, config)
    start = flatten(new_encoder())
    assert (flatten(ours.encoder) - expected).norm() < 1e-4 * (expected - start).norm()
    assert [d.loss for d in done] == pytest.approx(losses, rel=1e-5)
    assert {d.steps for d in done} == {config.steps(23)}


def test_training_lowers_the_loss(model: HuggingFaceModel, single_tokens: EncodedExamples) -> None:
    ours = trainer(model, single_tokens, TrainingConfig(batch_size=8, epochs_per_round=5))
    losses = [ours.train(index, generator(index)).loss for index in range(ROUNDS)]
    assert losses[0] > losses[1] > losses[2]


@given(
    warmup=st.integers(0, 20),
    total=st.integers(1, 60),
    floor=st.floats(0, 1),
    peak=st.floats(1e-5, 10),
)
def test_the_rate_rises_then_falls_and_stays_within_its_bounds(
    warmup: int, total: int, floor: float, peak: float
) -> None:
    config = TrainingConfig(learning_rate=peak, warmup_steps=warmup, final_rate_ratio=floor)
    rates = [learning_rate(config, step, total) for step in range(total)]
    assert all(0 < rate <= peak * (1 + 1e-12) for rate in rates) or floor == 0
    rising, falling = rates[:warmup], rates[warmup:]
    assert rising == sorted(rising)
    assert falling == sorted(falling, reverse=True)
    if rising:
        assert rising[0] == pytest.approx(peak / warmup)
    if falling:
        assert falling[0] == pytest.approx(peak)
        assert min(falling) >= floor * peak * (1 - 1e-12)
    assert learning_rate(config, max(total, warmup), total) == pytest.approx(
        floor * peak if total > warmup else peak, abs=1e-12
    )


def test_the_schedule_spans_the_whole_job(
    model: HuggingFaceModel, single_tokens: EncodedExamples
) -> None:
    """A round begins with the rate at which a job in one piece would be."""
    config = TrainingConfig(batch_size=8, warmup_steps=2)
    seen: list[float] = []

    class Watching(PlainGradient):
        def backward(
            self,
            model: FrozenModel,
            encoder: PromptEncoder,
            examples: EncodedExamples,
            indices: list[int],
        ) -> float:
            seen.append(ours.optimizer.param_groups[0]["lr"])
            return super().backward(model, encoder, examples, indices)

    ours = LocalTrainer(model, new_encoder(), single_tokens, config, Watching(), ROUNDS)
    for index in range(ROUNDS):
        ours.train(index, generator(index))
    assert seen == [learning_rate(config, step, 9) for step in range(9)]


def test_kept_and_reset_moments_differ_from_the_second_round_on(
    model: HuggingFaceModel, single_tokens: EncodedExamples
) -> None:
    vectors: dict[str, list[torch.Tensor]] = {}
    for state in ("keep", "reset"):
        config = TrainingConfig.model_validate({"batch_size": 8, "optimizer_state": state})
        ours = trainer(model, single_tokens, config)
        vectors[state] = []
        for index in range(2):
            ours.train(index, generator(index))
            vectors[state].append(flatten(ours.encoder))
    assert torch.equal(vectors["keep"][0], vectors["reset"][0])
    assert not torch.equal(vectors["keep"][1], vectors["reset"][1])


def test_a_state_taken_up_elsewhere_goes_on_bitwise(
    model: HuggingFaceModel, single_tokens: EncodedExamples
) -> None:
    config = TrainingConfig(batch_size=8)
    first = trainer(model, single_tokens, config)
    first.train(0, generator(0))
    second = trainer(model, single_tokens, config)
    second.encoder.load_state_dict(first.encoder.state_dict())
    second.load_state(copy.deepcopy(first.state()))
    first.train(1, generator(1))
    second.train(1, generator(1))
    assert torch.equal(flatten(first.encoder), flatten(second.encoder))


@pytest.mark.parametrize("broken", ["loss", "gradient"])
def test_numbers_that_are_not_finite_end_the_round(
    broken: str, model: HuggingFaceModel, single_tokens: EncodedExamples
) -> None:
    class Broken(PlainGradient):
        def backward(
            self,
            model: FrozenModel,
            encoder: PromptEncoder,
            examples: EncodedExamples,
            indices: list[int],
        ) -> float:
            loss = super().backward(model, encoder, examples, indices)
            if broken == "loss":
                return math.inf
            encoder.embedding.weight.grad = torch.full_like(encoder.embedding.weight, math.nan)
            return loss

    ours = LocalTrainer(
        model, new_encoder(), single_tokens, TrainingConfig(batch_size=8), Broken(), ROUNDS
    )
    with pytest.raises(RunError, match=r"round 2 must stay finite.*training\.learning_rate"):
        ours.train(2, generator(0))


@pytest.mark.parametrize(
    "fault",
    [
        {"batch_size": 0},
        {"learning_rate": 0.0},
        {"learning_rate": math.inf},
        {"learning_rate": math.nan},
        {"betas": (0.9, 1.0)},
        {"betas": (-0.1, 0.9)},
        {"weight_decay": -1.0},
        {"weight_decay": math.inf},
        {"final_rate_ratio": 1.1},
        {"steps_per_round": 0},
        {"gradient_clip": 0.0},
        {"optimizer_state": "drop"},
    ],
    ids=str,
)
def test_a_setting_out_of_range_is_refused(fault: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TrainingConfig.model_validate(fault)

"""The sampler's law, and that a step's gradient is that of its examples' mean loss."""

import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from veiltune.adapter import AdapterConfig, build_encoder
from veiltune.backbone import HuggingFaceModel, label_batch, label_losses
from veiltune.data.encoding import EncodedExamples
from veiltune.randomness import generator
from veiltune.training import PlainGradient

LENGTHS = st.lists(st.integers(1, 50), min_size=1, max_size=120)


def batches(lengths: list[int], batch_size: int, steps: int, seed: int = 0) -> list[list[int]]:
    return list(PlainGradient().sample(lengths, batch_size, steps, generator(seed)))


@given(lengths=LENGTHS, batch_size=st.integers(1, 40), epochs=st.integers(1, 3))
def test_every_example_is_seen_once_an_epoch(
    lengths: list[int], batch_size: int, epochs: int
) -> None:
    steps = math.ceil(len(lengths) / batch_size)
    drawn = batches(lengths, batch_size, epochs * steps)
    assert len(drawn) == epochs * steps
    for epoch in range(epochs):
        one = drawn[epoch * steps : (epoch + 1) * steps]
        assert sorted(i for batch in one for i in batch) == list(range(len(lengths)))
        sizes = sorted(map(len, one))
        assert sizes[1:] == [batch_size] * (steps - 1), "at most one batch is smaller"
        assert 1 <= sizes[0] <= batch_size


@given(lengths=LENGTHS, batch_size=st.integers(1, 40), steps=st.integers(1, 30))
def test_as_many_steps_as_asked_and_the_same_for_the_same_seed(
    lengths: list[int], batch_size: int, steps: int
) -> None:
    drawn = batches(lengths, batch_size, steps)
    assert len(drawn) == steps and all(drawn)
    assert drawn == batches(lengths, batch_size, steps)


def test_seeds_and_epochs_differ() -> None:
    lengths = [1 + i % 9 for i in range(60)]
    drawn = batches(lengths, 5, 24)
    assert drawn[:12] != drawn[12:]
    assert drawn != batches(lengths, 5, 24, seed=1)


def test_batches_hold_texts_of_similar_length_in_an_order_that_does_not_follow_length() -> None:
    """Padding falls below half of what random batches need; the order stays random."""
    draw = torch.Generator().manual_seed(0)
    lengths = torch.randint(1, 100, (480,), generator=draw).tolist()

    def padding(drawn: list[list[int]]) -> int:
        return sum(sum(max(lengths[i] for i in b) - lengths[i] for i in b) for b in drawn)

    drawn = batches(lengths, 16, 30)
    shuffled = torch.randperm(480, generator=draw).view(30, 16).tolist()
    assert padding(drawn) < 0.5 * padding(shuffled)
    means = [sum(lengths[i] for i in batch) / len(batch) for batch in drawn]
    rises = sum(later > earlier for earlier, later in zip(means, means[1:], strict=False))
    # Sorted batches would give 29 rises or none; 29 random pairs give 15, and 6 to 24 of them
    # except once in a few thousand seeds. The seed is fixed.
    assert 6 <= rises <= 24


def test_a_step_adds_the_gradient_of_its_examples_mean_loss(
    model: HuggingFaceModel, unequal_tokens: EncodedExamples
) -> None:
    encoder = build_encoder(AdapterConfig(virtual_tokens=3, hidden_size=8), 32, generator(1))
    indices = [4, 0, 7, 19]
    loss = PlainGradient().backward(model, encoder, unequal_tokens, indices)
    got = [
        parameter.grad.clone() for parameter in encoder.parameters() if parameter.grad is not None
    ]
    losses = []
    for i in indices:
        label = unequal_tokens.label_ids[unequal_tokens.label_index[i]]
        batch = label_batch([unequal_tokens.context_ids[i]], [label], model.device)
        losses.append(label_losses(model, encoder(), batch)[0])
    mean = torch.stack(losses).mean()
    expected = torch.autograd.grad(mean, list(encoder.parameters()))
    assert abs(loss - mean.item()) < 1e-5
    for mine, other in zip(got, expected, strict=True):
        assert (mine - other).abs().max() < 1e-5 * other.abs().max()

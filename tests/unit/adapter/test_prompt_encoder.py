"""The encoders' sizes, their first weights, and the flat vector that travels."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from veiltune.adapter import (
    AdapterConfig,
    PromptEncoder,
    build_encoder,
    encoder_parameters,
    flatten,
    load_encoder,
    save_adapter,
    unflatten,
    vector_sha256,
)
from veiltune.adapter.prompt_encoder import EncoderKind
from veiltune.errors import OutputError
from veiltune.randomness import generator

KINDS: tuple[EncoderKind, ...] = ("mlp", "mlp3", "lstm")


def encoder(kind: EncoderKind, seed: int = 1) -> PromptEncoder:
    config = AdapterConfig(encoder=kind, virtual_tokens=3, hidden_size=5)
    return build_encoder(config, 8, generator(seed, "adapter"))


def test_the_size_of_the_reference_experiment() -> None:
    """10 x 6144 embeddings, then 6144 -> 4096 -> 6144 with biases: 50,403,328 parameters."""
    config = AdapterConfig(encoder="mlp", virtual_tokens=10, hidden_size=4096)
    by_hand = 10 * 6144 + (6144 * 4096 + 4096) + (4096 * 6144 + 6144)
    assert encoder_parameters(config, 6144) == by_hand == 50_403_328


@given(kind=st.sampled_from(KINDS), tokens=st.integers(1, 4), hidden=st.integers(1, 9))
@settings(max_examples=30, deadline=None)
def test_counted_parameters_are_those_that_are_made(
    kind: EncoderKind, tokens: int, hidden: int
) -> None:
    config = AdapterConfig(encoder=kind, virtual_tokens=tokens, hidden_size=hidden)
    made = build_encoder(config, 6, generator(0))
    assert flatten(made).numel() == encoder_parameters(config, 6)
    assert made().shape == (1, tokens, 6)


def test_the_hidden_size_is_the_models_width_unless_given() -> None:
    assert build_encoder(AdapterConfig(), 7, generator(0)).hidden == 7


@pytest.mark.parametrize("kind", KINDS)
def test_equal_seeds_give_equal_encoders_whatever_else_was_drawn(kind: EncoderKind) -> None:
    first = encoder(kind)
    torch.rand(17)
    assert torch.equal(flatten(first), flatten(encoder(kind)))
    assert not torch.equal(flatten(first), flatten(encoder(kind, seed=2)))


@pytest.mark.parametrize("kind", KINDS)
def test_first_weights_have_torchs_default_distributions(kind: EncoderKind) -> None:
    """The bounds and spreads of a large encoder, against the same layers made by torch itself."""
    config = AdapterConfig(encoder=kind, virtual_tokens=50, hidden_size=40)
    ours = build_encoder(config, 60, generator(3))
    torch.manual_seed(3)
    theirs = PromptEncoder(kind, 50, 60, 40)
    for (name, mine), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        # 40 or more draws each; a spread differs by more than half once in far more than 1e6.
        assert mine.std().item() == pytest.approx(other.std().item(), rel=0.5), name
        if "embedding" not in name:
            assert mine.abs().max().item() == pytest.approx(other.abs().max().item(), rel=0.2), name


@pytest.mark.parametrize("kind", KINDS)
def test_unflatten_undoes_flatten(kind: EncoderKind) -> None:
    source, target = encoder(kind), encoder(kind, seed=2)
    vector = flatten(source)
    unflatten(target, vector)
    assert torch.equal(flatten(target), vector)
    assert torch.equal(target(), source())
    vector.zero_()
    assert flatten(source).abs().sum() > 0, "the vector must be a copy"


def test_the_vector_holds_every_parameter_once_and_in_a_fixed_order() -> None:
    made = encoder("mlp")
    with torch.no_grad():
        for number, parameter in enumerate(made.parameters()):
            parameter.fill_(number)
    names = [name for name, _ in made.named_parameters()]
    assert names == [
        "embedding.weight",
        "mlp_head.0.weight",
        "mlp_head.0.bias",
        "mlp_head.2.weight",
        "mlp_head.2.bias",
    ]
    sizes = [3 * 8, 5 * 8, 5, 8 * 5, 8]
    expected = torch.cat([torch.full((size,), float(k)) for k, size in enumerate(sizes)])
    assert torch.equal(flatten(made), expected)


@pytest.mark.parametrize("size", [0, 1, 116, 118])
def test_a_vector_of_another_size_is_refused_and_changes_nothing(size: int) -> None:
    made = encoder("mlp")
    before = flatten(made)
    assert before.numel() == 117
    with pytest.raises(ValueError, match="117"):
        unflatten(made, torch.zeros(size))
    assert torch.equal(flatten(made), before)


def test_equal_hashes_are_equal_adapters() -> None:
    vector = flatten(encoder("mlp"))
    assert vector_sha256(vector) == vector_sha256(vector.clone())
    changed = vector.clone()
    changed[-1] = torch.nextafter(changed[-1], torch.tensor(9.0))
    assert vector_sha256(changed) != vector_sha256(vector)


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_adapter_is_loaded_bitwise(kind: EncoderKind, tmp_path: Path) -> None:
    made = encoder(kind)
    save_adapter(made, tmp_path / "adapter", "some/model")
    loaded = load_encoder(tmp_path / "adapter")
    assert (loaded.kind, loaded.tokens, loaded.width, loaded.hidden) == (kind, 3, 8, 5)
    assert torch.equal(flatten(loaded), flatten(made))


@pytest.mark.parametrize("damage", ["missing", "no json", "half the weights", "other keys"])
def test_a_damaged_adapter_folder_is_one_sentence(damage: str, tmp_path: Path) -> None:
    folder = tmp_path / "adapter"
    save_adapter(encoder("mlp"), folder, "some/model")
    shape, weights = folder / "prompt_encoder.json", folder / "prompt_encoder.safetensors"
    match damage:
        case "missing":
            folder = tmp_path / "elsewhere"
        case "no json":
            shape.write_text("{")
        case "half the weights":
            weights.write_bytes(weights.read_bytes()[:-20])
        case _:
            shape.write_text('{"encoder": "mlp"}')
    with pytest.raises(OutputError) as raised:
        load_encoder(folder)
    assert str(folder) in str(raised.value) and "\n" not in str(raised.value)

"""Loading a frozen model: what it says of itself, and one sentence for each way it cannot be."""

import json
import shutil
from pathlib import Path

import pytest
import torch
import transformers
from pydantic import ValidationError

from veiltune.backbone import (
    BackboneConfig,
    HuggingFaceModel,
    label_batch,
    label_losses,
    load_backbone,
)
from veiltune.errors import BackboneError


def test_a_folder_is_loaded_frozen_and_in_evaluation_mode(tiny_model: Path) -> None:
    model = load_backbone(BackboneConfig(name=str(tiny_model), device="cpu"))
    assert (model.width, model.window, model.name) == (32, 128, str(tiny_model))
    assert not model.model.training
    assert not any(parameter.requires_grad for parameter in model.model.parameters())
    ids = model.tokenizer("Profit rose", add_special_tokens=False)["input_ids"]
    assert ids and max(ids) < model.model.config.vocab_size


def test_the_precision_is_that_of_the_weights(tiny_model: Path) -> None:
    config = BackboneConfig(name=str(tiny_model), precision="bfloat16", device="cpu")
    model = load_backbone(config)
    assert {parameter.dtype for parameter in model.model.parameters()} == {torch.bfloat16}
    prompt = torch.zeros(1, 2, 32, requires_grad=True)
    losses = label_losses(model, prompt, label_batch([[1, 2]], [[3]], model.device))
    assert losses.dtype == torch.float32
    (gradient,) = torch.autograd.grad(losses.sum(), prompt)
    assert gradient.dtype == torch.float32 and gradient.abs().sum() > 0


def test_a_fingerprint_is_that_of_every_weight(tiny_model: Path) -> None:
    model = load_backbone(BackboneConfig(name=str(tiny_model), device="cpu"))
    before = model.fingerprint()
    assert before == load_backbone(BackboneConfig(name=str(tiny_model))).fingerprint()
    for parameter in model.model.parameters():
        flat = parameter.view(-1)
        kept = flat[-1].item()
        flat[-1] = torch.nextafter(flat[-1], torch.tensor(99.0))
        assert model.fingerprint() != before
        flat[-1] = kept
    assert model.fingerprint() == before


def test_using_a_model_changes_nothing_of_it(tiny_model: Path) -> None:
    model = load_backbone(BackboneConfig(name=str(tiny_model), device="cpu"))
    before = model.fingerprint()
    prompt = torch.randn(1, 3, 32, requires_grad=True)
    batch = label_batch([[1, 2, 3], [4]], [[5], [6, 7]], model.device)
    label_losses(model, prompt, batch).sum().backward()
    assert model.fingerprint() == before
    assert all(parameter.grad is None for parameter in model.model.parameters())


@pytest.mark.parametrize(
    ("config", "window"),
    [
        (transformers.GPT2Config(vocab_size=9, n_embd=8, n_layer=1, n_head=1, n_positions=33), 33),
        (
            transformers.MptConfig(vocab_size=9, d_model=8, n_layers=1, n_heads=1, max_seq_len=34),
            34,
        ),
    ],
    ids=["gpt2", "mpt"],
)
def test_the_window_is_the_configurations(
    config: transformers.PretrainedConfig, window: int
) -> None:
    model = transformers.AutoModelForCausalLM.from_config(config)
    assert HuggingFaceModel(model, None, "random", torch.device("cpu")).window == window


def damaged(tiny_model: Path, folder: Path, damage: str) -> str:
    """A name that no model can be loaded from."""
    if damage == "no such folder":
        return str(folder / "missing")
    if damage == "no such model":
        return "no-such-owner/no-such-model"
    if damage == "not a name at all":
        return "a//b c?"
    shutil.copytree(tiny_model, folder, dirs_exist_ok=True)
    match damage:
        case "empty folder":
            shutil.rmtree(folder)
            folder.mkdir()
        case "no weights":
            (folder / "model.safetensors").unlink()
        case "cut weights":
            weights = folder / "model.safetensors"
            weights.write_bytes(weights.read_bytes()[:-1000])
        case "no tokenizer":
            for path in folder.glob("tokenizer*"):
                path.unlink()
        case "not json":
            (folder / "config.json").write_text("{")
        case "unknown type":
            (folder / "config.json").write_text('{"model_type": "nobody_knows"}')
        case "not causal":
            (folder / "config.json").write_text('{"model_type": "vit"}')
        case "other shapes":
            config = json.loads((folder / "config.json").read_text())
            (folder / "config.json").write_text(json.dumps({**config, "n_embd": 16}))
    return str(folder)


@pytest.mark.parametrize(
    "damage",
    [
        "no such folder",
        "no such model",
        "not a name at all",
        "empty folder",
        "no weights",
        "cut weights",
        "no tokenizer",
        "not json",
        "unknown type",
        "not causal",
        "other shapes",
    ],
)
def test_a_model_that_cannot_be_loaded_is_one_sentence(
    damage: str, tiny_model: Path, tmp_path: Path
) -> None:
    name = damaged(tiny_model, tmp_path / "model", damage)
    with pytest.raises(BackboneError) as raised:
        load_backbone(BackboneConfig(name=name, device="cpu"))
    message = str(raised.value)
    assert repr(name) in message and "\n" not in message
    assert "backbone.name must be" in message


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_device_that_is_not_there_is_one_sentence(tiny_model: Path) -> None:
    with pytest.raises(BackboneError, match=r"backbone\.device is 'cuda:1'"):
        load_backbone(BackboneConfig(name=str(tiny_model), device="cuda:1"))


@pytest.mark.parametrize("device", ["gpu", "cuda:", "mps", ""])
def test_an_unknown_device_is_refused(device: str) -> None:
    with pytest.raises(ValidationError):
        BackboneConfig(device=device)

"""Our encoders and adapter folders against PEFT's own P-tuning and prompt tuning."""

from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from transformers import AutoModelForCausalLM

from veiltune.adapter import AdapterConfig, PromptEncoder, build_encoder, save_adapter
from veiltune.adapter.prompt_encoder import EncoderKind
from veiltune.backbone import HuggingFaceModel, label_batch, label_losses
from veiltune.randomness import generator

# PEFT asks transformers for a property that transformers has renamed.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")

TOKENS, HIDDEN, WIDTH = 4, 24, 32
IDS = [[5, 6, 7, 8, 9], [20, 21, 22], [3]]
LABELS = [[11, 12], [13], [14, 15, 16]]


def our_encoder(kind: EncoderKind) -> PromptEncoder:
    config = AdapterConfig(encoder=kind, virtual_tokens=TOKENS, hidden_size=HIDDEN)
    return build_encoder(config, WIDTH, generator(5))


def causal_model(folder: Path) -> Any:
    """A fresh copy of the tiny model; PEFT changes the one it is given."""
    return AutoModelForCausalLM.from_pretrained(folder).eval()


def peft_model(folder: Path, kind: EncoderKind) -> Any:
    """PEFT's P-tuning of the tiny model, with the weights of our encoder of the same kind."""
    config = peft.PromptEncoderConfig(
        task_type="CAUSAL_LM",
        num_virtual_tokens=TOKENS,
        encoder_reparameterization_type="LSTM" if kind == "lstm" else "MLP",
        encoder_hidden_size=HIDDEN,
        encoder_dropout=0.0,
    )
    model = peft.get_peft_model(causal_model(folder), config)
    model.prompt_encoder["default"].load_state_dict(our_encoder(kind).state_dict())
    return model.eval()


@pytest.mark.parametrize("kind", ["mlp3", "lstm"])
def test_names_and_shapes_are_pefts(kind: EncoderKind, tiny_model: Path) -> None:
    theirs = peft_model(tiny_model, kind).prompt_encoder["default"].state_dict()
    ours = our_encoder(kind).state_dict()
    assert {key: value.shape for key, value in ours.items()} == {
        key: value.shape for key, value in theirs.items()
    }


@pytest.mark.parametrize("kind", ["mlp3", "lstm"])
def test_equal_weights_give_the_same_prompt(kind: EncoderKind, tiny_model: Path) -> None:
    model = peft_model(tiny_model, kind)
    with torch.no_grad():
        theirs = model.get_prompt(batch_size=1)
        ours = our_encoder(kind)()
    assert (ours - theirs).abs().max() < 1e-6


@pytest.mark.parametrize("kind", ["mlp3", "lstm"])
def test_the_gradient_of_a_step_is_pefts(kind: EncoderKind, tiny_model: Path) -> None:
    """Relative to the largest entry of each parameter's gradient, within 1e-5."""
    model = peft_model(tiny_model, kind)
    losses = []
    for context, label in zip(IDS, LABELS, strict=True):
        ids = torch.tensor([[*context, *label]])
        targets = torch.tensor([[*[-100] * len(context), *label]])
        losses.append(model(input_ids=ids, labels=targets).loss)
    torch.stack(losses).mean().backward()
    theirs = dict(model.prompt_encoder["default"].named_parameters())

    ours = our_encoder(kind)
    frozen = HuggingFaceModel(causal_model(tiny_model), None, "tiny", torch.device("cpu"))
    label_losses(frozen, ours(), label_batch(IDS, LABELS, frozen.device)).mean().backward()
    for name, parameter in ours.named_parameters():
        expected = theirs[name].grad
        assert parameter.grad is not None and expected.abs().max() > 0, name
        difference = (parameter.grad - expected).abs().max() / expected.abs().max()
        assert difference < 1e-5, name


@pytest.mark.parametrize("kind", ["mlp", "mlp3", "lstm"])
def test_peft_loads_our_folder_to_the_same_logits(
    kind: EncoderKind, tiny_model: Path, tmp_path: Path
) -> None:
    encoder = our_encoder(kind)
    save_adapter(encoder, tmp_path, str(tiny_model))
    loaded = peft.PeftModel.from_pretrained(causal_model(tiny_model), str(tmp_path)).eval()
    plain = causal_model(tiny_model)
    ids = torch.tensor([[5, 6, 7, 8, 9]])
    with torch.no_grad():
        theirs = loaded(input_ids=ids).logits
        text = plain.get_input_embeddings()(ids)
        ours = plain(inputs_embeds=torch.cat([encoder(), text], dim=1)).logits
        without = plain(input_ids=ids).logits
    assert theirs.shape == ours.shape
    assert (theirs - ours).abs().max() < 1e-6
    assert (theirs[:, TOKENS:] - without).abs().max() > 1e-3, "the prompt should matter"


def test_why_pefts_own_state_is_not_exchanged(tiny_model: Path) -> None:
    """Set to what was just got from it, PEFT's P-tuning gives another prompt.

    It gives the encoder's output and puts it where the encoder's input was.
    """
    model = peft_model(tiny_model, "mlp3")
    with torch.no_grad():
        before = model.get_prompt(batch_size=1).clone()
        peft.set_peft_model_state_dict(model, peft.get_peft_model_state_dict(model))
        after = model.get_prompt(batch_size=1)
    assert (after - before).norm() / before.norm() > 0.1

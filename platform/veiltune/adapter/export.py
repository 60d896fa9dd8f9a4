"""Adapters on disk: our own folder, which PEFT's `from_pretrained` loads as it is.

Since 0.21 PEFT stores P-tuning as the encoder's *output* and uses it directly in inference, so the
folder holds the virtual tokens under PEFT's key, and beside them, under a name PEFT ignores, the
encoder itself, which is needed to go on training. PEFT has no two-layer encoder: an `mlp` adapter
is declared as prompt tuning with those virtual tokens, which computes the same.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from veiltune.adapter.prompt_encoder import PromptEncoder
from veiltune.errors import OutputError

ENCODER_FILE = "prompt_encoder.safetensors"
CONFIG_FILE = "prompt_encoder.json"
PEFT_WEIGHTS = "adapter_model.safetensors"
PEFT_CONFIG = "adapter_config.json"


def save_adapter(encoder: PromptEncoder, folder: Path, base_model: str) -> None:
    """`folder` holds the encoder, its virtual tokens, and the configuration PEFT reads.

    `base_model` is the name or path of the language model that the prompt was tuned for.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with torch.no_grad():
        tokens = encoder()[0].to("cpu", torch.float32).contiguous()
    save_file({"prompt_embeddings": tokens}, folder / PEFT_WEIGHTS)
    save_file(
        {key: value.detach().cpu().contiguous() for key, value in encoder.state_dict().items()},
        folder / ENCODER_FILE,
    )
    shape = {
        "encoder": encoder.kind,
        "virtual_tokens": encoder.tokens,
        "width": encoder.width,
        "hidden_size": encoder.hidden,
    }
    _write_json(folder / CONFIG_FILE, shape)
    _write_json(folder / PEFT_CONFIG, _peft_config(encoder, base_model))


def load_encoder(folder: Path) -> PromptEncoder:
    """The encoder that `save_adapter` wrote.

    Raises:
        OutputError: the folder is not one that `save_adapter` wrote, or it is damaged.
    """
    try:
        shape = json.loads((folder / CONFIG_FILE).read_text())
        encoder = PromptEncoder(
            shape["encoder"], shape["virtual_tokens"], shape["width"], shape["hidden_size"]
        )
        encoder.load_state_dict(load_file(folder / ENCODER_FILE))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise OutputError(
            f"expected an adapter folder, {CONFIG_FILE} and {ENCODER_FILE} whole, got {folder}; "
            f"give the adapter folder of a finished run"
        ) from error
    return encoder


def _peft_config(encoder: PromptEncoder, base_model: str) -> dict[str, Any]:
    common = {
        "base_model_name_or_path": base_model,
        "inference_mode": True,
        "num_transformer_submodules": 1,
        "num_virtual_tokens": encoder.tokens,
        "task_type": "CAUSAL_LM",
        "token_dim": encoder.width,
    }
    if encoder.kind == "mlp":
        return {**common, "peft_type": "PROMPT_TUNING", "prompt_tuning_init": "RANDOM"}
    return {
        **common,
        "peft_type": "P_TUNING",
        "encoder_reparameterization_type": "LSTM" if encoder.kind == "lstm" else "MLP",
        "encoder_hidden_size": encoder.hidden,
        "encoder_num_layers": 2,
        "encoder_dropout": 0.0,
    }


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")

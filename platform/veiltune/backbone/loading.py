"""Finds and loads a frozen model: the embedded one, a folder, or a model that a hub delivers."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.utils.logging import disable_progress_bar

from veiltune.backbone.huggingface import HuggingFaceModel, refuse_without_embeddings
from veiltune.config import Section
from veiltune.errors import BackboneError

EMBEDDED = "embedded"
EMBEDDED_FOLDER = Path(__file__).parent / "embedded"


class BackboneConfig(Section):
    """The frozen language model."""

    name: str = Field(default=EMBEDDED, min_length=1)
    """`embedded` (the small model that ships with veiltune), a Hugging Face name, or a folder."""
    revision: str | None = None
    """The commit or tag of a model on a hub; None is the hub's default."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """The precision in which the frozen weights are held and used; the adapter stays float32."""
    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    """`auto` takes a CUDA device where there is one, else the CPU."""


def load_backbone(config: BackboneConfig) -> HuggingFaceModel:
    """The model of `config`, frozen and in evaluation mode.

    Raises:
        BackboneError: the model cannot be found or read, has no tokenizer, or takes no embeddings
            as input.
    """
    with _sentence_for(config):
        model = AutoModelForCausalLM.from_pretrained(
            **_source(config), dtype=getattr(torch, config.precision)
        )
        tokenizer = AutoTokenizer.from_pretrained(**_source(config))
    _refuse_without_tokens(tokenizer, config.name)
    return HuggingFaceModel(model, tokenizer, config.name, choose_device(config.device))


def check_backbone(config: BackboneConfig) -> int:
    """The width of the model of `config`, which can be loaded, as far as its files tell.

    Its weights are not read.

    Raises:
        BackboneError: as `load_backbone` would.
    """
    with _sentence_for(config):
        settings = AutoConfig.from_pretrained(**_source(config))
        tokenizer = AutoTokenizer.from_pretrained(**_source(config))
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(settings)
    _refuse_without_tokens(tokenizer, config.name)
    refuse_without_embeddings(model, config.name)
    choose_device(config.device)
    width: int = model.get_input_embeddings().weight.shape[1]
    return width


def backbone_identity(config: BackboneConfig) -> str:
    """What tells this model from any other: a folder's content, or a hub's name and revision."""
    folder = EMBEDDED_FOLDER if config.name == EMBEDDED else Path(config.name).expanduser()
    if not folder.is_dir():
        return f"{config.name}@{config.revision}"
    files = sorted(path for path in folder.iterdir() if path.is_file())
    return _content_sha256(tuple((path, path.stat().st_mtime_ns) for path in files))


@lru_cache
def _content_sha256(files: tuple[tuple[Path, int], ...]) -> str:
    """SHA-256 over names and contents; cached, for a job of many runs asks again and again."""
    digest = hashlib.sha256()
    for path, _ in files:
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{path.name} {content}\n".encode())
    return digest.hexdigest()


def choose_device(name: str) -> torch.device:
    """The device that `name` means on this machine."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise BackboneError(
            f"backbone.device is {name!r}, but this machine has no CUDA device; use auto or cpu"
        )
    return torch.device(name)


def _source(config: BackboneConfig) -> dict[str, Any]:
    """What transformers is asked for."""
    name = str(EMBEDDED_FOLDER) if config.name == EMBEDDED else config.name
    revision = {} if config.revision is None else {"revision": config.revision}
    return {"pretrained_model_name_or_path": name, **revision}


@contextmanager
def _sentence_for(config: BackboneConfig) -> Iterator[None]:
    """Turns what goes wrong inside transformers into one sentence of ours."""
    disable_progress_bar()
    try:
        yield
    except Exception as error:  # transformers raises OSError, ValueError, KeyError and its own
        where = "folder" if Path(config.name).exists() else "hub model"
        raise BackboneError(
            f"backbone.name must be a folder with a causal language model or a model that a hub "
            f"can deliver; the {where} {config.name!r} could not be loaded "
            f"({type(error).__name__}: {str(error).splitlines()[0][:160]}); "
            f"check the path, or download the model first and give its folder"
        ) from error


def _refuse_without_tokens(tokenizer: Any, name: str) -> None:
    # Without its files transformers makes an empty tokenizer and says nothing.
    if not tokenizer("a text", add_special_tokens=False)["input_ids"]:
        raise BackboneError(
            f"backbone.name must be a model with its tokenizer, but the tokenizer of {name!r} "
            f"knows no token; put the tokenizer's files beside the model's"
        )

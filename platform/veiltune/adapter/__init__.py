"""What is trained, what is exchanged, and how it is saved."""

from veiltune.adapter.exchange import flatten, unflatten, vector_sha256
from veiltune.adapter.export import load_encoder, save_adapter
from veiltune.adapter.prompt_encoder import (
    AdapterConfig,
    PromptEncoder,
    build_encoder,
    encoder_parameters,
)

__all__ = [
    "AdapterConfig",
    "PromptEncoder",
    "build_encoder",
    "encoder_parameters",
    "flatten",
    "load_encoder",
    "save_adapter",
    "unflatten",
    "vector_sha256",
]

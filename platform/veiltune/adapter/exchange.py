"""What travels between sites: the encoder's trainable parameters as one flat vector.

The order is that of `named_parameters`, which is the order in which the encoder's layers are
defined. PEFT's `get_peft_model_state_dict` is never used for this: for P-tuning it exports the
encoder's output and loads it back into the encoder's input, which is another prompt.
"""

import hashlib

import torch
from torch import Tensor, nn


def flatten(encoder: nn.Module) -> Tensor:
    """A copy of all trainable parameters, float32 `(parameters,)`, on the CPU."""
    parts = [p.detach().reshape(-1).to("cpu", torch.float32) for p in encoder.parameters()]
    return torch.cat(parts)


def unflatten(encoder: nn.Module, vector: Tensor) -> None:
    """Puts `vector` into the encoder's parameters, the inverse of `flatten`.

    Raises:
        ValueError: `vector` does not have one number for each parameter.
    """
    parameters = list(encoder.parameters())
    expected = sum(parameter.numel() for parameter in parameters)
    if vector.shape != (expected,):
        raise ValueError(f"expected a vector of {expected} parameters, got {tuple(vector.shape)}")
    pieces = torch.split(vector, [parameter.numel() for parameter in parameters])
    with torch.no_grad():
        for parameter, piece in zip(parameters, pieces, strict=True):
            parameter.copy_(piece.view_as(parameter))


def vector_sha256(vector: Tensor) -> str:
    """SHA-256 of the vector's little-endian float32 bytes: equal hashes are equal adapters."""
    return hashlib.sha256(vector.numpy().astype("<f4").tobytes()).hexdigest()

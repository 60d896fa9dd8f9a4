"""A tiny model, and synthetic examples that it can learn."""

from pathlib import Path

import pytest
import torch

from veiltune.backbone import BackboneConfig, HuggingFaceModel, load_backbone
from veiltune.data.encoding import EncodedExamples


@pytest.fixture(scope="session")
def model(tiny_model: Path) -> HuggingFaceModel:
    return load_backbone(BackboneConfig(name=str(tiny_model), device="cpu"))


def examples(count: int, label_ids: tuple[tuple[int, ...], ...], seed: int = 0) -> EncodedExamples:
    """Random contexts of 1 to 12 tokens; an example's label is its first token, taken modulo."""
    draw = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, 13, (count,), generator=draw).tolist()
    contexts = [torch.randint(0, 300, (n,), generator=draw).tolist() for n in lengths]
    index = [ids[0] % len(label_ids) for ids in contexts]
    return EncodedExamples(contexts, index, 0, label_ids)


@pytest.fixture
def single_tokens() -> EncodedExamples:
    return examples(23, ((5,), (6,), (7,)))


@pytest.fixture
def unequal_tokens() -> EncodedExamples:
    return examples(23, ((5,), (6, 8), (5, 9, 10)))

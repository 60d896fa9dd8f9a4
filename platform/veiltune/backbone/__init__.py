"""Frozen language models: any Hugging Face causal model, and the small one that ships."""

from veiltune.backbone.frozen import (
    FrozenModel,
    LabelBatch,
    label_batch,
    label_log_probabilities,
    label_losses,
)
from veiltune.backbone.huggingface import (
    EMBEDDED,
    BackboneConfig,
    HuggingFaceModel,
    backbone_identity,
    load_backbone,
)

__all__ = [
    "EMBEDDED",
    "BackboneConfig",
    "FrozenModel",
    "HuggingFaceModel",
    "LabelBatch",
    "backbone_identity",
    "label_batch",
    "label_log_probabilities",
    "label_losses",
    "load_backbone",
]

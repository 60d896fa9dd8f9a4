"""Frozen language models: any Hugging Face causal model, and the small one that ships."""

from veiltune.backbone.frozen import (
    FrozenModel,
    LabelBatch,
    label_batch,
    label_log_probabilities,
    label_losses,
    mean_losses,
)
from veiltune.backbone.huggingface import HuggingFaceModel
from veiltune.backbone.loading import (
    EMBEDDED,
    EMBEDDED_FOLDER,
    BackboneConfig,
    backbone_identity,
    check_backbone,
    load_backbone,
)

__all__ = [
    "EMBEDDED",
    "EMBEDDED_FOLDER",
    "BackboneConfig",
    "FrozenModel",
    "HuggingFaceModel",
    "LabelBatch",
    "backbone_identity",
    "check_backbone",
    "label_batch",
    "label_log_probabilities",
    "label_losses",
    "load_backbone",
    "mean_losses",
]

"""Any Hugging Face causal language model, frozen, with virtual tokens before the text.

Two things make a step cheaper than the usual route without changing a digit that matters: logits
are computed at label positions only, and a prompt that all examples share goes through the model
once, as a cached prefix, instead of once an example.
"""

import hashlib
import inspect
from math import inf
from typing import Any

import torch
from torch import Tensor

from veiltune.backbone.frozen import LabelBatch
from veiltune.errors import BackboneError


class HuggingFaceModel:
    """A `FrozenModel` over a Hugging Face `PreTrainedModel`."""

    def __init__(self, model: Any, tokenizer: Any, name: str, device: torch.device) -> None:
        refuse_without_embeddings(model, name)
        self.model = model.to(device).eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.name = name
        self.device = device
        self.width: int = model.get_input_embeddings().weight.shape[1]
        self.window = _window(model, tokenizer)
        self._attention_span = _attention_span(model)
        self._shares_prefix = self._prefix_is_exact()

    def label_logits(self, prompt: Tensor, batch: LabelBatch) -> Tensor:
        """See `FrozenModel.label_logits`."""
        # Padding stands between a shared prefix and the text, where it counts as distance for a
        # model whose layers see a limited number of places back; within that number it does not.
        within_span = prompt.shape[1] + batch.ids.shape[1] <= self._attention_span
        shares = self._shares_prefix and within_span
        route = self._with_prefix if shares else self._with_embeddings
        return route(prompt.to(self.model.dtype), batch).float()

    def fingerprint(self) -> str:
        """See `FrozenModel.fingerprint`."""
        digest = hashlib.sha256()
        for key, value in sorted(self.model.state_dict().items()):
            digest.update(key.encode())
            digest.update(value.contiguous().cpu().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def _with_prefix(self, prompt: Tensor, batch: LabelBatch) -> Tensor:
        """The logits; the prompt passes through the model once, as a cached prefix."""
        tokens, keep = prompt.shape[1], batch.targets.shape[1]
        cache = self.model.base_model(inputs_embeds=prompt, use_cache=True).past_key_values
        if prompt.shape[0] == 1 and len(batch) > 1:
            cache.batch_repeat_interleave(len(batch))
        output = self.model(
            input_ids=batch.ids,
            attention_mask=_behind_prompt(batch.mask, tokens),
            position_ids=(tokens + batch.mask.cumsum(1) - 1).clamp(min=0),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=keep,
        )
        return _tensor(output.logits)[:, -keep:]

    def _with_embeddings(self, prompt: Tensor, batch: LabelBatch) -> Tensor:
        """The same logits for a model whose cache cannot carry a shared prefix.

        Padding comes first, then the prompt, then the text, so that nothing stands between them: a
        recurrent model, a sliding window or a bias by distance would notice.
        """
        tokens, keep = prompt.shape[1], batch.targets.shape[1]
        text = self.model.get_input_embeddings()(batch.ids)
        embeddings = torch.cat([prompt.expand(len(batch), -1, -1), text], dim=1)
        places = torch.arange(embeddings.shape[1], device=self.device)
        padding = (batch.mask == 0).sum(1, keepdim=True)
        source = torch.where(places < padding + tokens, places - padding, places)
        source = torch.where(places < padding, places + tokens, source)
        embeddings = embeddings.gather(1, source.unsqueeze(2).expand_as(embeddings))
        mask = (places >= padding).to(batch.mask.dtype)
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        output = self.model(
            inputs_embeds=embeddings,
            attention_mask=mask,
            position_ids=positions,
            use_cache=False,
            logits_to_keep=keep,
        )
        return _tensor(output.logits)[:, -keep:]

    def _prefix_is_exact(self) -> bool:
        """Whether a shared prefix gives this model's own logits: measured, not assumed.

        Recurrent models and unusual caches do not all keep a prefix as attention does.
        """
        tokens = 2
        ids = torch.arange(6, device=self.device).view(2, 3)
        mask = torch.tensor([[1, 1, 1], [0, 1, 1]], device=self.device)
        batch = LabelBatch(ids, mask, ids[:, -1:])
        prompt = self.model.get_input_embeddings().weight[:tokens].unsqueeze(0)
        with torch.no_grad():
            expected = self._with_embeddings(prompt, batch).float()
            try:
                shared = self._with_prefix(prompt, batch).float()
            except (TypeError, ValueError, AttributeError, RuntimeError):
                return False
        # bfloat16 keeps 8 bits: a coarser comparison still tells a wrong prefix from a right one.
        tolerance = 1e-4 if self.model.dtype == torch.float32 else 5e-2
        return torch.allclose(shared, expected, rtol=tolerance, atol=tolerance)


def refuse_without_embeddings(model: Any, name: str) -> None:
    """Virtual tokens are embeddings, so a model that reads token ids alone cannot take them.

    Raises:
        BackboneError: it is such a model.
    """
    if "inputs_embeds" not in inspect.signature(model.forward).parameters:
        raise BackboneError(
            f"a frozen model must accept inputs_embeds, so that virtual tokens can be put "
            f"before the text; {type(model).__name__} ({name}) does not: choose another model"
        )


def _behind_prompt(mask: Tensor, tokens: int) -> Tensor:
    """The attention mask of a prompt of `tokens` virtual tokens followed by the text."""
    return torch.cat([mask.new_ones(mask.shape[0], tokens), mask], dim=1)


def _tensor(value: Any) -> Tensor:
    assert isinstance(value, Tensor)
    return value


def _attention_span(model: Any) -> float:
    """How many places back the layer with the shortest sight can see; infinite where all see all.

    The keys are those of Hugging Face's configurations for sliding, local and chunked attention.
    """
    config = model.config.get_text_config()
    keys = ("sliding_window", "window_size", "attention_chunk_size", "local_attention")
    values = (getattr(config, key, None) for key in keys)
    return min((value for value in values if isinstance(value, int) and value > 0), default=inf)


def _window(model: Any, tokenizer: Any) -> int:
    """The number of positions the model was made for; the tokenizer's word where it is silent."""
    config = model.config.get_text_config()
    for key in ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "seq_length"):
        value = getattr(config, key, None)
        if isinstance(value, int) and value > 0:
            return value
    limit = int(getattr(tokenizer, "model_max_length", 0))
    return limit if 0 < limit < 1_000_000 else 1_000_000

"""Any Hugging Face causal language model, frozen, with virtual tokens before the text.

Two things make a step cheaper than the usual route without changing a digit that matters: logits
are computed at label positions only, and a prompt that all examples share goes through the model
once, as a cached prefix, instead of once an example. Single examples' gradients take the same
route: each example has its own derivative of the one cached prefix.
"""

import copy
import hashlib
import inspect
from collections.abc import Callable
from functools import cached_property
from math import inf
from typing import Any

import torch
from torch import Tensor, nn

from veiltune.backbone.frozen import LabelBatch, mean_losses
from veiltune.errors import BackboneError


class HuggingFaceModel:
    """A `FrozenModel` over a Hugging Face `PreTrainedModel`."""

    def __init__(self, model: Any, tokenizer: Any, name: str, device: torch.device) -> None:
        refuse_without_embeddings(model, name)
        self.model = model.to(device).eval().requires_grad_(False)
        self.network: nn.Module = self.model
        self.tokenizer = tokenizer
        self.name = name
        self.device = device
        self.width: int = model.get_input_embeddings().weight.shape[1]
        self.window = _window(model, tokenizer)
        self._attention_span = _attention_span(model)
        self._shares_prefix = self._prefix_is_exact()

    def label_logits(self, prompt: Tensor, batch: LabelBatch) -> Tensor:
        """See `FrozenModel.label_logits`."""
        shares = self._shares_prefix and self._within_span(prompt, batch)
        route = self._with_prefix if shares else self._with_embeddings
        return route(prompt.to(self.model.dtype), batch).float()

    def label_gradients(self, prompt: Tensor, batch: LabelBatch) -> tuple[Tensor, Tensor]:
        """See `FrozenModel.label_gradients`."""
        shares = self._shares_gradients and self._within_span(prompt, batch)
        route = self._gradients_with_prefix if shares else self._gradients_with_embeddings
        return route(prompt.detach(), batch)

    def fingerprint(self) -> str:
        """See `FrozenModel.fingerprint`."""
        digest = hashlib.sha256()
        for key, value in sorted(self.model.state_dict().items()):
            digest.update(key.encode())
            digest.update(value.contiguous().cpu().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def _within_span(self, prompt: Tensor, batch: LabelBatch) -> bool:
        """Whether a shared prefix is exact for texts of this length.

        Padding stands between a shared prefix and the text, where it counts as distance for a
        model whose layers see a limited number of places back; within that number it does not.
        """
        return prompt.shape[1] + batch.ids.shape[1] <= self._attention_span

    def _with_prefix(self, prompt: Tensor, batch: LabelBatch) -> Tensor:
        """The logits; the prompt passes through the model once, as a cached prefix."""
        cache = self.model.base_model(inputs_embeds=prompt, use_cache=True).past_key_values
        if prompt.shape[0] == 1 and len(batch) > 1:
            cache.batch_repeat_interleave(len(batch))
        return self._behind_cache(cache, prompt.shape[1], batch)

    def _behind_cache(self, cache: Any, tokens: int, batch: LabelBatch) -> Tensor:
        """The logits of texts behind a prompt of `tokens` tokens, whose keys and values it is."""
        keep = batch.targets.shape[1]
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

    def _gradients_with_prefix(self, prompt: Tensor, batch: LabelBatch) -> tuple[Tensor, Tensor]:
        """Losses and gradients; forward through the prompt's part of the model is once a batch.

        The text's backward pass gives every example's derivatives of the prefix's keys and values,
        and one pass pulls them all back through the prefix.
        """
        prompt = prompt.to(self.model.dtype).requires_grad_()
        cache = self._elementary.base_model(inputs_embeds=prompt, use_cache=True).past_key_values
        shared: list[Tensor] = []
        leaves: list[Tensor] = []
        for layer in cache.layers:
            for name in ("keys", "values"):
                state = _tensor(getattr(layer, name))
                leaf = state.detach().expand(len(batch), *state.shape[1:]).requires_grad_()
                setattr(layer, name, leaf)
                shared.append(state)
                leaves.append(leaf)
        logits = self._behind_cache(cache, prompt.shape[1], batch).float()
        losses = mean_losses(logits, batch.targets)
        states = torch.autograd.grad(losses.sum(), leaves)
        (gradients,) = torch.autograd.grad(
            shared, prompt, [state.unsqueeze(1) for state in states], is_grads_batched=True
        )
        return losses.detach(), gradients.squeeze(1).float()

    def _gradients_with_embeddings(
        self, prompt: Tensor, batch: LabelBatch
    ) -> tuple[Tensor, Tensor]:
        """The same with a copy of the prompt for each example."""
        leaf = prompt.expand(len(batch), -1, -1).clone().requires_grad_()
        logits = self._with_embeddings(leaf.to(self.model.dtype), batch).float()
        losses = mean_losses(logits, batch.targets)
        (gradients,) = torch.autograd.grad(losses.sum(), leaf)
        return losses.detach(), gradients.float()

    def _prefix_is_exact(self) -> bool:
        """Whether a shared prefix gives this model's own logits: measured, not assumed.

        Recurrent models and unusual caches do not all keep a prefix as attention does.
        """
        prompt, batch = self._probe()
        with torch.no_grad():
            expected = self._with_embeddings(prompt, batch).float()
            return self._agrees(lambda: self._with_prefix(prompt, batch).float(), expected)

    @cached_property
    def _elementary(self) -> Any:
        """The same weights behind attention in elementary operations.

        Their derivatives can be taken for many examples at once; a fused kernel's are taken one by
        one. torch's own switch for this is the whole process's, and sites may work in threads.
        """
        weights = [*self.model.parameters(), *self.model.buffers()]
        model = copy.deepcopy(self.model, {id(weight): weight for weight in weights})
        model.set_attn_implementation("eager")
        return model

    @cached_property
    def _shares_gradients(self) -> bool:
        """Whether single examples' gradients through a shared prefix are exact: measured too."""
        if not self._shares_prefix:
            return False
        prompt, batch = self._probe()
        expected = self._gradients_with_embeddings(prompt, batch)[1]
        scale = expected.abs().max()
        return self._agrees(
            lambda: self._gradients_with_prefix(prompt, batch)[1] / scale, expected / scale
        )

    def _probe(self) -> tuple[Tensor, LabelBatch]:
        """A prompt of two tokens and two texts of unequal length."""
        ids = torch.arange(6, device=self.device).view(2, 3)
        mask = torch.tensor([[1, 1, 1], [0, 1, 1]], device=self.device)
        prompt = self.model.get_input_embeddings().weight[:2].detach().unsqueeze(0)
        return prompt, LabelBatch(ids, mask, ids[:, -1:])

    def _agrees(self, shared: Callable[[], Tensor], expected: Tensor) -> bool:
        """Whether the shared route can be taken and gives what the plain one does."""
        try:
            found = shared()
        except (TypeError, ValueError, AttributeError, AssertionError, RuntimeError):
            return False
        # bfloat16 keeps 8 bits: a coarser comparison still tells a wrong prefix from a right one.
        tolerance = 1e-4 if self.model.dtype == torch.float32 else 5e-2
        return torch.allclose(found, expected, rtol=tolerance, atol=tolerance)


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

"""One p-tuning step of ours against the same step through PEFT.

Both train equal encoders in front of one and the same frozen model, on the same texts and labels.
A step is all that training repeats: clear the gradient, forward, backward, AdamW. Ours is the one
that a site takes, the building of its batch from lists included; PEFT's is its documented way, with
its batch prepared beforehand.
"""

import warnings
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import torch
from peft import PeftModel, PromptEncoderConfig, get_peft_model
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel

from veiltune.adapter import AdapterConfig, PromptEncoder, build_encoder
from veiltune.backbone import HuggingFaceModel
from veiltune.data.encoding import EncodedExamples
from veiltune.training import PlainGradient
from veiltune_analysis.bench.timing import interleaved, ratio_of_medians, torch_threads

SEED = 1
THREADS = 1


@dataclass(frozen=True, kw_only=True)
class StepShape:
    """The sizes of model, batch and encoder; the defaults are those of GPT-2 small."""

    layers: int = 12
    width: int = 768
    heads: int = 12
    vocabulary: int = 50257
    window: int = 1024
    batch: int = 16
    text_tokens: int = 64
    """Tokens of each text, its label, which is the last one, included."""
    virtual_tokens: int = 10
    hidden: int = 768
    """Width of the hidden layers of the encoder, which is `mlp3`."""

    @classmethod
    def small(cls) -> "StepShape":
        """A shape that takes milliseconds and says nothing about speed."""
        return cls(
            layers=2,
            width=32,
            heads=2,
            vocabulary=256,
            window=64,
            batch=4,
            text_tokens=16,
            virtual_tokens=4,
            hidden=32,
        )


class PairOfSteps:
    """The same step twice: `ours` and `peft`, over one random frozen model."""

    def __init__(self, shape: StepShape) -> None:
        draws = torch.Generator().manual_seed(SEED)
        network = random_network(shape)
        model = HuggingFaceModel(network, None, "random", torch.device("cpu"))
        texts = torch.randint(shape.vocabulary, (shape.batch, shape.text_tokens), generator=draws)
        adapter = AdapterConfig(
            encoder="mlp3", virtual_tokens=shape.virtual_tokens, hidden_size=shape.hidden
        )
        self.encoder = build_encoder(adapter, shape.width, draws)
        self.peft_encoder, self._peft_loss = _through_peft(network, shape, self.encoder, texts)
        examples, rule = _encoded(texts), PlainGradient()
        indices = list(range(shape.batch))
        self._optimizer: torch.optim.Optimizer = torch.optim.AdamW(self.encoder.parameters())
        self._peft_optimizer = torch.optim.AdamW(self.peft_encoder.parameters())
        self._backward: Callable[[], float] = lambda: rule.backward(
            model, self.encoder, examples, indices
        )

    def ours(self) -> float:
        """One step of a site's training; returns the loss."""
        self._optimizer.zero_grad()
        loss = self._backward()
        self._optimizer.step()
        return loss

    def peft(self) -> float:
        """The same step through `peft.PeftModel`; returns the loss."""
        self._peft_optimizer.zero_grad()
        loss = self._peft_loss()
        torch.autograd.backward(loss)
        self._peft_optimizer.step()
        return loss.item()

    def gradient_error(self) -> float:
        """The largest relative difference between the two gradients of the latest step."""
        pairs = zip(self.encoder.parameters(), self.peft_encoder.parameters(), strict=True)
        return max_relative_error((_gradient(a), _gradient(b)) for a, b in pairs)


def bench_step(shape: StepShape, repeats: int) -> dict[str, Any]:
    """Medians of CPU seconds of both steps, taken in turns on one thread, and their ratio."""
    with torch_threads(THREADS):
        pair = PairOfSteps(shape)
        losses = pair.ours(), pair.peft()
        # Both encoders stood at the same weights in this first step, and only there.
        error = pair.gradient_error()
        seconds = interleaved({"ours": pair.ours, "peft": pair.peft}, repeats)
    return {
        "ratio_to_peft": ratio_of_medians(seconds["ours"], seconds["peft"]),
        "gradient_max_rel_err": error,
        "cpu_seconds": median(seconds["ours"]),
        "cpu_seconds_peft": median(seconds["peft"]),
        "loss": losses[0],
        "loss_peft": losses[1],
        "repeats": repeats,
        "threads": THREADS,
        "shape": asdict(shape),
    }


def random_network(shape: StepShape) -> Any:
    """A GPT-2 of this shape with random weights, float32, without dropout."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        return GPT2LMHeadModel(
            GPT2Config(
                n_layer=shape.layers,
                n_embd=shape.width,
                n_head=shape.heads,
                vocab_size=shape.vocabulary,
                n_positions=shape.window,
                resid_pdrop=0.0,
                embd_pdrop=0.0,
                attn_pdrop=0.0,
                bos_token_id=0,
                eos_token_id=0,
            )
        )


def max_relative_error(pairs: Iterable[tuple[Tensor, Tensor]]) -> float:
    """The largest, over pairs of tensors, of max|a - b| / max|b|."""
    return max(((a - b).abs().max() / b.abs().max()).item() for a, b in pairs)


def _through_peft(
    network: Any, shape: StepShape, encoder: PromptEncoder, texts: Tensor
) -> tuple[nn.Module, Callable[[], Tensor]]:
    """PEFT's encoder with the weights of `encoder`, and the loss of `texts` through PEFT.

    PEFT's loss is the mean over all label tokens of a batch; with one to a text, as here, it is the
    mean of the texts' losses.
    """
    config = PromptEncoderConfig(
        task_type="CAUSAL_LM",
        num_virtual_tokens=shape.virtual_tokens,
        encoder_reparameterization_type="MLP",
        encoder_hidden_size=shape.hidden,
    )
    with warnings.catch_warnings():
        # PEFT reads an attribute of the model that transformers has renamed.
        warnings.simplefilter("ignore", FutureWarning)
        tuned = get_peft_model(network, config)
    assert isinstance(tuned, PeftModel)
    (theirs,) = tuned.prompt_encoder.values()
    assert isinstance(theirs, nn.Module)
    theirs.load_state_dict(encoder.state_dict())
    labels = torch.full_like(texts, -100)
    labels[:, -1] = texts[:, -1]
    mask = torch.ones_like(texts)

    def loss() -> Tensor:
        value = tuned(input_ids=texts, attention_mask=mask, labels=labels).loss
        assert isinstance(value, Tensor)
        return value

    return theirs, loss


def _encoded(texts: Tensor) -> EncodedExamples:
    """The texts as a site holds them: the last token is the label, the rest is read."""
    rows = texts.tolist()
    label_ids = tuple((row[-1],) for row in rows)
    return EncodedExamples([row[:-1] for row in rows], list(range(len(rows))), 0, label_ids)


def _gradient(parameter: nn.Parameter) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad

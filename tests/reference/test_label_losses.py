"""Label losses and the prompt's gradient, against a plain loop over single unpadded examples.

The witness reads one example at a time through `inputs_embeds`, without padding, mask, positions or
cache, and computes the cross-entropy by hand in float64. Each architecture has random weights,
drawn wider than a model's first ones so that attention is not uniform and a wrong mask shows.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

from veiltune.backbone import (
    HuggingFaceModel,
    LabelBatch,
    label_batch,
    label_log_probabilities,
    label_losses,
)
from veiltune.errors import BackboneError

VOCABULARY = 97
WIDTH = 32
SPAN = 8
"""How far back the local layers of some of the models see: less than the longest text."""
# Losses are near 4.6 nats and their gradients are compared relative to the largest entry. Float32
# sums of a few hundred terms in another order differ by a few 1e-7; wrong masks differ by 1e-2.
TOLERANCE = 1e-5

LLAMA_LIKE: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": WIDTH,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}


@dataclass(frozen=True)
class Architecture:
    """A configuration, and whether its model lets examples share a prompt as a prefix."""

    config: Callable[[], Any]
    shares: bool = True


ARCHITECTURES = {
    "gpt2": Architecture(
        lambda: transformers.GPT2Config(
            vocab_size=VOCABULARY, n_embd=WIDTH, n_layer=2, n_head=2, n_positions=64
        )
    ),
    "llama": Architecture(lambda: transformers.LlamaConfig(**LLAMA_LIKE)),
    "opt, embeddings narrower than the model": Architecture(
        lambda: transformers.OPTConfig(
            vocab_size=VOCABULARY,
            hidden_size=WIDTH,
            ffn_dim=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=64,
            word_embed_proj_dim=16,
        )
    ),
    "gpt-neox": Architecture(
        lambda: transformers.GPTNeoXConfig(
            vocab_size=VOCABULARY,
            hidden_size=WIDTH,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=64,
        )
    ),
    "gemma2, soft-capped logits and a sliding window": Architecture(
        lambda: transformers.Gemma2Config(
            **LLAMA_LIKE,
            head_dim=8,
            sliding_window=SPAN,
            final_logit_softcapping=0.5,
            attn_logit_softcapping=1.0,
        )
    ),
    "mistral, a sliding window in every layer": Architecture(
        lambda: transformers.MistralConfig(**LLAMA_LIKE, sliding_window=SPAN)
    ),
    "gpt-neo, a local layer": Architecture(
        lambda: transformers.GPTNeoConfig(
            vocab_size=VOCABULARY,
            hidden_size=WIDTH,
            num_layers=2,
            num_heads=4,
            max_position_embeddings=64,
            attention_types=[[["global", "local"], 1]],
            window_size=SPAN,
        )
    ),
    "bloom, bias by position": Architecture(
        lambda: transformers.BloomConfig(
            vocab_size=VOCABULARY, hidden_size=WIDTH, n_layer=2, n_head=4
        )
    ),
    "mpt, bias by place": Architecture(
        lambda: transformers.MptConfig(
            vocab_size=VOCABULARY, d_model=WIDTH, n_layers=2, n_heads=4, max_seq_len=64
        ),
        shares=False,
    ),
    "mamba, recurrent": Architecture(
        lambda: transformers.MambaConfig(
            vocab_size=VOCABULARY, hidden_size=WIDTH, num_hidden_layers=2, state_size=4
        ),
        shares=False,
    ),
}


def random_model(config: Any, spread: float = 0.15) -> HuggingFaceModel:
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, spread)
    return HuggingFaceModel(model, None, "random", torch.device("cpu"))


@pytest.fixture(scope="module", params=ARCHITECTURES.values(), ids=list(ARCHITECTURES))
def architecture(request: pytest.FixtureRequest) -> tuple[HuggingFaceModel, Architecture]:
    described: Architecture = request.param
    return random_model(described.config()), described


class Case:
    """Texts from one token to twice the local span, labels of one to three tokens, a prompt."""

    def __init__(self, model: HuggingFaceModel) -> None:
        draw = torch.Generator().manual_seed(1)
        lengths = (3, 11, 1, 2 * SPAN + 1)
        self.contexts = [
            torch.randint(1, VOCABULARY, (length,), generator=draw).tolist() for length in lengths
        ]
        self.answers = [[5], [7, 8, 9], [3, 4], [1]]
        self.batch = label_batch(self.contexts, self.answers, model.device)
        self.prompt = torch.randn(1, 5, model.width, generator=draw).requires_grad_()
        losses = [
            plain_loss(model.model, self.prompt, context, answer)
            for context, answer in zip(self.contexts, self.answers, strict=True)
        ]
        self.losses = torch.stack(losses)
        self.gradient = gradient(self.losses, self.prompt)


def plain_loss(model: Any, prompt: Tensor, context: list[int], answer: list[int]) -> Tensor:
    """The mean of -log p over the label's tokens, one example alone."""
    text = model.get_input_embeddings()(torch.tensor([[*context, *answer]]))
    logits = model(inputs_embeds=torch.cat([prompt, text], dim=1)).logits[0].double()
    before = logits[-len(answer) - 1 : -1]
    log_p = before - before.exp().sum(-1, keepdim=True).log()
    return -log_p[torch.arange(len(answer)), answer].mean()


def gradient(losses: Tensor, prompt: Tensor) -> Tensor:
    return torch.autograd.grad(losses.sum(), prompt)[0]


def relative(got: Tensor, expected: Tensor) -> float:
    return ((got - expected).abs().max() / expected.abs().max()).item()


def test_losses_and_gradient_are_those_of_single_examples(
    architecture: tuple[HuggingFaceModel, Architecture],
) -> None:
    model, _ = architecture
    case = Case(model)
    losses = label_losses(model, case.prompt, case.batch)
    torch.testing.assert_close(losses.double(), case.losses, rtol=TOLERANCE, atol=TOLERANCE)
    assert relative(gradient(losses, case.prompt), case.gradient) < TOLERANCE


def test_the_route_by_concatenation_gives_the_same(
    architecture: tuple[HuggingFaceModel, Architecture], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, _ = architecture
    monkeypatch.setattr(model, "_shares_prefix", False)
    case = Case(model)
    losses = label_losses(model, case.prompt, case.batch)
    torch.testing.assert_close(losses.double(), case.losses, rtol=TOLERANCE, atol=TOLERANCE)
    assert relative(gradient(losses, case.prompt), case.gradient) < TOLERANCE


def test_a_prompt_for_each_example_has_gradients_that_sum_to_the_shared_one(
    architecture: tuple[HuggingFaceModel, Architecture],
) -> None:
    model, _ = architecture
    case = Case(model)
    prompts = case.prompt.detach().repeat(len(case.batch), 1, 1).requires_grad_()
    losses = label_losses(model, prompts, case.batch)
    torch.testing.assert_close(losses.double(), case.losses, rtol=TOLERANCE, atol=TOLERANCE)
    each = gradient(losses, prompts)
    assert relative(each.sum(0, keepdim=True), case.gradient) < TOLERANCE
    alone = torch.autograd.grad(label_losses(model, prompts, case.batch)[1], prompts)[0]
    assert alone[[0, 2, 3]].abs().max() == 0


def test_gradients_of_single_examples_are_those_of_examples_alone(
    architecture: tuple[HuggingFaceModel, Architecture],
) -> None:
    """Through the shared prefix where the model has one, and with copies of the prompt."""
    model, described = architecture
    case = Case(model)
    assert model._shares_gradients == described.shares
    alone = [
        torch.autograd.grad(plain_loss(model.model, case.prompt, context, answer), case.prompt)[0]
        for context, answer in zip(case.contexts, case.answers, strict=True)
    ]
    routes = [model.label_gradients, model._gradients_with_embeddings]
    for losses, gradients in (route(case.prompt, case.batch) for route in routes):
        assert not (losses.requires_grad or gradients.requires_grad)
        torch.testing.assert_close(losses.double(), case.losses, rtol=TOLERANCE, atol=TOLERANCE)
        for got, expected in zip(gradients, alone, strict=True):
            # A text longer than every layer's sight has no gradient at all.
            assert (got - expected[0]).abs().max() <= TOLERANCE * expected.abs().max()


def test_a_prefix_is_shared_where_the_model_allows_it(
    architecture: tuple[HuggingFaceModel, Architecture], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is measured at loading; a model that shares none must not be sent that way."""
    model, described = architecture
    used: list[bool] = []
    route = model._with_prefix

    def watched(prompt: Tensor, batch: LabelBatch) -> Tensor:
        used.append(True)
        return route(prompt, batch)

    monkeypatch.setattr(model, "_with_prefix", watched)
    batch = label_batch([[4]], [[5]], model.device)
    label_losses(model, torch.zeros(1, 2, model.width), batch)
    assert bool(used) == described.shares


def test_probabilities_of_labels_of_unequal_length_are_products_over_their_tokens(
    architecture: tuple[HuggingFaceModel, Architecture],
) -> None:
    model, _ = architecture
    case = Case(model)
    with torch.no_grad():
        log_p = label_log_probabilities(model, case.prompt, case.contexts, case.answers)
        expected = [
            [-plain_loss(model.model, case.prompt, c, a) * len(a) for a in case.answers]
            for c in case.contexts
        ]
    expected_log_p = torch.tensor(expected, dtype=torch.float64)
    torch.testing.assert_close(log_p.double(), expected_log_p, rtol=TOLERANCE, atol=TOLERANCE)


def test_labels_of_one_token_share_a_pass_and_have_the_same_probabilities() -> None:
    model = random_model(ARCHITECTURES["gpt2"].config())
    case = Case(model)
    labels = [[5], [60], [7]]
    with torch.no_grad():
        log_p = label_log_probabilities(model, case.prompt, case.contexts, labels)
    one_by_one = [
        [-plain_loss(model.model, case.prompt, c, a).item() for a in labels] for c in case.contexts
    ]
    expected = torch.tensor(one_by_one, dtype=torch.float64)
    torch.testing.assert_close(log_p.double(), expected, rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.parametrize("name", ["mpt, bias by place", "mamba, recurrent"])
def test_the_probe_is_not_fooled_by_small_weights(name: str) -> None:
    """Freshly made models have weights of 0.02, and give nearly the same logits either way."""
    model = random_model(ARCHITECTURES[name].config(), spread=0.02)
    case = Case(model)
    losses = label_losses(model, case.prompt, case.batch)
    torch.testing.assert_close(losses.double(), case.losses, rtol=TOLERANCE, atol=TOLERANCE)


def test_bfloat16_is_close_and_comes_out_as_float32() -> None:
    model = random_model(ARCHITECTURES["llama"].config())
    case = Case(model)
    half = HuggingFaceModel(model.model.bfloat16(), None, "half", torch.device("cpu"))
    losses = label_losses(half, case.prompt, case.batch)
    assert losses.dtype == torch.float32
    # bfloat16 keeps 8 bits of each number; the errors of two layers stay below a tenth of a nat.
    torch.testing.assert_close(losses.double(), case.losses, rtol=0, atol=0.1)
    assert gradient(losses, case.prompt).dtype == torch.float32


def test_a_model_without_inputs_embeds_is_refused() -> None:
    class IdsOnly(torch.nn.Module):
        def forward(self, input_ids: Tensor) -> Tensor:
            return input_ids

    with pytest.raises(BackboneError) as raised:
        HuggingFaceModel(IdsOnly(), None, "some/model", torch.device("cpu"))
    message = str(raised.value)
    assert "inputs_embeds" in message and "IdsOnly" in message and "some/model" in message
    assert "\n" not in message

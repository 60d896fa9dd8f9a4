"""Private steps against one example at a time, and against Opacus on a prompt for each example."""

from typing import Any

import pytest
import torch
import transformers
from opacus import GradSampleModule
from opacus.layers import DPLSTM
from opacus.optimizers import DPOptimizer
from torch import Tensor, nn

from veiltune.adapter import AdapterConfig, PromptEncoder, build_encoder
from veiltune.adapter.prompt_encoder import EncoderKind
from veiltune.backbone import HuggingFaceModel, LabelBatch, label_batch, label_losses
from veiltune.data.encoding import EncodedExamples
from veiltune.randomness import generator
from veiltune_privacy.dp.clipping import clip_factors, row_norms
from veiltune_privacy.dp.config import Space
from veiltune_privacy.dp.rule import PrivateGradient
from veiltune_privacy.dp.shared_activations import SharedActivations, example_norms, weighted_sum

KINDS: list[EncoderKind] = ["mlp", "mlp3", "lstm"]
WIDTH, TOKENS, EXAMPLES, SEED = 32, 5, 9, 7
# What is asked for: norms to 1e-5 of themselves, sums and private gradients to 1e-6.
NORM_TOLERANCE, SUM_TOLERANCE = 1e-5, 1e-6


@pytest.fixture(scope="module")
def model() -> HuggingFaceModel:
    torch.manual_seed(0)
    network = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            vocab_size=200,
            n_embd=WIDTH,
            n_layer=2,
            n_head=2,
            n_positions=64,
            bos_token_id=0,
            eos_token_id=0,
        )
    )
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.15)
    return HuggingFaceModel(network, None, "random", torch.device("cpu"))


@pytest.fixture(scope="module")
def examples() -> EncodedExamples:
    draw = torch.Generator().manual_seed(1)
    lengths = torch.randint(1, 14, (EXAMPLES,), generator=draw).tolist()
    contexts = [torch.randint(0, 200, (n,), generator=draw).tolist() for n in lengths]
    return EncodedExamples(contexts, [i % 3 for i in range(EXAMPLES)], 0, ((5,), (6, 8), (9, 1, 2)))


@pytest.fixture(params=KINDS)
def encoder(request: pytest.FixtureRequest) -> PromptEncoder:
    config = AdapterConfig(encoder=request.param, virtual_tokens=TOKENS, hidden_size=12)
    return build_encoder(config, WIDTH, generator(3))


def as_batch(examples: EncodedExamples, indices: list[int]) -> LabelBatch:
    return label_batch(
        [examples.context_ids[i] for i in indices],
        [examples.label_ids[examples.label_index[i]] for i in indices],
        torch.device("cpu"),
    )


def alone(
    model: HuggingFaceModel, encoder: PromptEncoder, examples: EncodedExamples
) -> tuple[list[Tensor], list[list[Tensor]]]:
    """Each example's gradients of the prompt and of the parameters, in batches of one."""
    of_prompt, of_parameters = [], []
    for i in range(EXAMPLES):
        prompt = encoder()
        loss = label_losses(model, prompt, as_batch(examples, [i])).sum()
        first, *rest = torch.autograd.grad(loss, [prompt, *encoder.parameters()])
        of_prompt.append(first[0])
        of_parameters.append(rest)
    return of_prompt, of_parameters


def test_norms_and_clipped_sums_of_parameters_are_those_of_single_examples(
    model: HuggingFaceModel, encoder: PromptEncoder, examples: EncodedExamples
) -> None:
    of_prompt, of_parameters = alone(model, encoder, examples)
    norms = torch.stack([torch.cat([g.flatten() for g in one]).norm() for one in of_parameters])
    shared = SharedActivations(encoder)
    torch.testing.assert_close(shared.prompt, encoder().detach(), rtol=1e-5, atol=1e-6)
    _, gradients = model.label_gradients(shared.prompt, as_batch(examples, list(range(EXAMPLES))))
    torch.testing.assert_close(gradients, torch.stack(of_prompt), rtol=1e-4, atol=1e-6)
    sites = shared.pull_back(gradients)
    assert ((example_norms(sites) - norms) / norms).abs().max() < NORM_TOLERANCE

    clip_norm = norms.median().item()  # so that some are shortened and some are not
    factors = clip_factors(norms, clip_norm)
    assert 0 < (factors < 1).sum() < EXAMPLES
    sums = weighted_sum(sites, factors)
    names = [name for name, _ in encoder.named_parameters()]
    assert sums.keys() == set(names)
    for place, name in enumerate(names):
        terms = [f * one[place] for f, one in zip(factors, of_parameters, strict=True)]
        error = (sums[name] - torch.stack(terms).sum(0)).abs().max()
        assert error < SUM_TOLERANCE * clip_norm, "in units of what one example may add"


def test_norms_stay_right_where_what_flows_back_cancels() -> None:
    """Equal inputs and opposite derivatives: the gradient is far smaller than either."""
    encoder = build_encoder(AdapterConfig(virtual_tokens=2, hidden_size=64), WIDTH, generator(3))
    with torch.no_grad():
        encoder.embedding.weight[1] = encoder.embedding.weight[0] * (1 + 1e-4)
    shared = SharedActivations(encoder)
    row = torch.randn(1, 1, WIDTH, generator=generator(4))
    cotangents = torch.cat([row, -row], dim=1)
    (norm,) = example_norms(shared.pull_back(cotangents)[:1])
    doubled = encoder.double()
    hidden = doubled.mlp_head[1](doubled.mlp_head[0](doubled.embedding.weight)).detach()
    flowing = cotangents[0].double()
    expected = ((flowing.t() @ hidden).norm() ** 2 + flowing.sum(0).norm() ** 2).sqrt()
    assert expected < 1e-3 * flowing.norm() * hidden.norm()
    assert abs(norm - expected) < 1e-2 * expected


def no_charge(round_index: int, examples: int, steps: int) -> float:
    return 0.0


def rule(space: Space, noise_multiplier: float, clip_norm: float, batch: int) -> PrivateGradient:
    return PrivateGradient(
        noise_multiplier=noise_multiplier,
        clip_norm=clip_norm,
        space=space,
        noise="seeded",
        seed=SEED,
        batch_size=batch,
        charge=no_charge,
    )


def test_clipped_sums_of_the_prompt_are_those_of_single_examples(
    model: HuggingFaceModel, encoder: PromptEncoder, examples: EncodedExamples
) -> None:
    """Noise too small to be seen leaves the clipped sum itself, pulled back."""
    of_prompt, _ = alone(model, encoder, examples)
    norms = row_norms(torch.stack(of_prompt))
    clip_norm = norms.median().item()
    factors = clip_factors(norms, clip_norm)
    total = sum((f * g for f, g in zip(factors, of_prompt, strict=True)), torch.zeros(()))
    prompt = encoder()
    expected = torch.autograd.grad(
        prompt, list(encoder.parameters()), total.unsqueeze(0) / EXAMPLES
    )
    private = rule("output", 1e-12, clip_norm, EXAMPLES)
    private.begin_round(0, EXAMPLES, 1)
    lengths = [len(ids) for ids in examples.context_ids]
    (indices,) = private.sample(lengths, EXAMPLES, 1, generator(0))
    assert indices == list(range(EXAMPLES)), "at rate 1 everyone is in the sample"
    private.backward(model, encoder, examples, indices)
    for parameter, right in zip(encoder.parameters(), expected, strict=True):
        assert parameter.grad is not None
        assert (parameter.grad - right).abs().max() < SUM_TOLERANCE


# Opacus


class EncoderForEach(nn.Module):
    """The encoder on a row of token numbers for each example, as Opacus' hooks need it."""

    def __init__(self, encoder: PromptEncoder) -> None:
        super().__init__()
        self.embedding = nn.Embedding(encoder.tokens, encoder.width)
        self.lstm_head: nn.Module | None = None
        if encoder.kind == "lstm":
            self.lstm_head = DPLSTM(
                encoder.width, encoder.hidden, num_layers=2, bidirectional=True, batch_first=True
            )
        self.mlp_head = nn.Sequential(
            *(
                nn.Linear(layer.in_features, layer.out_features)
                if isinstance(layer, nn.Linear)
                else nn.ReLU()
                for layer in encoder.mlp_head
            )
        )
        # DPLSTM takes over the weights of torch's LSTM by itself, but not as a part of a whole.
        for name, part in encoder.named_children():
            self.get_submodule(name).load_state_dict(part.state_dict())

    def forward(self, rows: Tensor) -> Tensor:
        states = self.embedding(rows)
        if self.lstm_head is not None:
            states = self.lstm_head(states)[0]
        prompt: Tensor = self.mlp_head(states)
        return prompt


class PromptForEach(nn.Module):
    """A prompt that is itself the table of parameters."""

    def __init__(self, prompt: Tensor) -> None:
        super().__init__()
        self.table = nn.Embedding.from_pretrained(prompt.detach().clone(), freeze=False)

    def forward(self, rows: Tensor) -> Tensor:
        prompt: Tensor = self.table(rows)
        return prompt


def opacus_gradients(
    module: nn.Module,
    names: list[str],
    model: HuggingFaceModel,
    examples: EncodedExamples,
    batches: list[list[int]],
    clip_norm: float,
) -> list[list[Tensor]]:
    """The private gradients of Opacus' hooks and optimizer, parameters in the order of `names`."""
    hooked: Any = GradSampleModule(module)
    parameters = dict(module.named_parameters())
    optimizer = DPOptimizer(
        torch.optim.SGD([parameters[name] for name in names], lr=0.0),
        noise_multiplier=1.0,
        max_grad_norm=clip_norm,
        expected_batch_size=EXAMPLES - 1,
        generator=generator(SEED, "noise", 0),
    )
    found = []
    for indices in batches:
        optimizer.zero_grad()
        prompts = hooked(torch.arange(TOKENS).expand(len(indices), TOKENS))
        label_losses(model, prompts, as_batch(examples, indices)).mean().backward()
        optimizer.pre_step()
        gradients = [parameters[name].grad for name in names]
        found.append([gradient.clone() for gradient in gradients if gradient is not None])
        assert len(found[-1]) == len(names)
    return found


# The hooks of Opacus sit on an embedding, whose input is integers and has no gradient.
@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
@pytest.mark.parametrize("space", ["output", "encoder"])
def test_steps_equal_those_of_opacus_hooks_with_the_same_seed(
    model: HuggingFaceModel, encoder: PromptEncoder, examples: EncodedExamples, space: Space
) -> None:
    norms = example_norms(
        SharedActivations(encoder).pull_back(
            model.label_gradients(encoder(), as_batch(examples, list(range(EXAMPLES))))[1]
        )
    )
    clip_norm = norms.median().item() if space == "encoder" else 0.5
    private = rule(space, 1.0, clip_norm, EXAMPLES - 1)
    private.begin_round(0, EXAMPLES, 3)
    lengths = [len(ids) for ids in examples.context_ids]
    batches, ours = [], []
    for indices in private.sample(lengths, EXAMPLES - 1, 3, generator(0)):
        encoder.zero_grad()
        private.backward(model, encoder, examples, indices)
        batches.append(indices)
        ours.append([p.grad.clone() for p in encoder.parameters() if p.grad is not None])
    assert {len(indices) for indices in batches} != {EXAMPLES}

    if space == "encoder":
        names = [name for name, _ in encoder.named_parameters()]
        theirs = opacus_gradients(
            EncoderForEach(encoder), names, model, examples, batches, clip_norm
        )
    else:
        of_prompt = opacus_gradients(
            PromptForEach(encoder()[0]), ["table.weight"], model, examples, batches, clip_norm
        )
        theirs = [
            list(torch.autograd.grad(encoder(), list(encoder.parameters()), one[0].unsqueeze(0)))
            for one in of_prompt
        ]
    for mine, other in zip(ours, theirs, strict=True):
        assert len(mine) == len(other)
        for a, b in zip(mine, other, strict=True):
            assert (a - b).abs().max() < SUM_TOLERANCE
            assert b.abs().max() > 1e-4, "a gradient of nothing shows nothing"

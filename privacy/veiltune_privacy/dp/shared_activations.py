"""Norms and clipped sums of gradients in the encoder's parameters, without the gradients.

The prompt does not depend on the example, so all examples share every activation of the encoder and
differ only in what flows back. Let a layer with weights W read A `(tokens, inputs)`, and let D_i
`(tokens, outputs)` be the derivative of example i's loss by the layer's outputs. Then::

    the example's gradient of W     D_i^T A
    its squared norm                <A A^T, D_i D_i^T>        one (tokens x tokens) matrix a batch
    the clipped sum                 (sum_i c_i D_i)^T A       no second pass backwards

which are the norms of Goodfellow 2015 and of ghost clipping (Li et al. 2022, "Large Language Models
Can Be Strong Differentially Private Learners", section 4) for an input that all examples share. A
bias is a layer that reads ones, and the embedding table one that reads the identity. An LSTM is a
layer that reads its inputs and another that reads its previous states, both with the derivatives by
its gates. Memory is examples x tokens x the widest layer, and never examples x parameters.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from veiltune.adapter import PromptEncoder
from veiltune_privacy.dp.clipping import DpError

# Squared norms are sums of terms that may cancel, so they are taken in double precision, for as
# many examples at once as keep these many numbers in the processor's cache.
NUMBERS_AT_ONCE = 2**17


@dataclass(frozen=True)
class Site:
    """Parameters that share what flows back through one place of the encoder."""

    weights: tuple[tuple[str, Tensor], ...]
    """Names of weights, and what each reads, `(tokens, inputs)`."""
    vectors: tuple[str, ...]
    """Names of biases; of a site without weights, the one table with a row a token."""
    backprop: Tensor
    """The derivatives by the outputs, `(examples, tokens, outputs)`."""


class SharedActivations:
    """One pass forward through an encoder, and what it takes to pull many cotangents back.

    `prompt` is the encoder's output `(1, tokens, width)`, outside of any graph.

    Raises:
        DpError: the encoder has a layer whose gradient is not written down here.
    """

    @torch.no_grad()
    def __init__(self, encoder: PromptEncoder) -> None:
        self._encoder = encoder
        self._runs: list[_LstmRun] = []
        states: Tensor = encoder.embedding.weight
        if encoder.kind == "lstm":
            states, self._runs = _lstm_forward(encoder.lstm_head, states)
        self._inputs: list[Tensor] = []
        for layer in encoder.mlp_head:
            if not isinstance(layer, nn.Linear | nn.ReLU):
                raise DpError(
                    f"an encoder's head must be of Linear and ReLU layers, got "
                    f"{type(layer).__name__}; clip in output space instead"
                )
            self._inputs.append(states)
            states = layer(states)
        self.prompt = states.unsqueeze(0)

    @torch.no_grad()
    def pull_back(self, cotangents: Tensor) -> list[Site]:
        """Every site's derivatives for `cotangents` `(examples, tokens, width)` of the prompt."""
        sites = []
        flowing = cotangents
        # The last layer is linear, so what is changed in place below is never the argument.
        for index in reversed(range(len(self._inputs))):
            layer, inputs = self._encoder.mlp_head[index], self._inputs[index]
            if isinstance(layer, nn.Linear):
                weight = (f"mlp_head.{index}.weight", inputs)
                sites.append(Site((weight,), (f"mlp_head.{index}.bias",), flowing))
                flowing = flowing @ layer.weight
            else:
                flowing.mul_(inputs > 0)
        if self._encoder.kind == "lstm":
            more, flowing = _lstm_backward(self._encoder.lstm_head, self._runs, flowing)
            sites += more
        return [*sites, Site((), ("embedding.weight",), flowing)]


@torch.no_grad()
def example_norms(sites: list[Site]) -> Tensor:
    """The Euclidean norm of each example's gradient over all parameters, float32 `(examples,)`."""
    squares = torch.zeros(
        sites[0].backprop.shape[0], dtype=torch.float64, device=sites[0].backprop.device
    )
    for site in sites:
        examples, tokens, outputs = site.backprop.shape
        gram = torch.zeros((tokens, tokens), dtype=torch.float64, device=squares.device)
        for _, inputs in site.weights:
            wide = inputs.double()
            gram += wide @ wide.t()
        if site.weights:
            gram += len(site.vectors)
        else:
            gram.fill_diagonal_(1)
        at_once = max(1, NUMBERS_AT_ONCE // (tokens * outputs))
        for start in range(0, examples, at_once):
            flowing = site.backprop[start : start + at_once].double()
            squares[start : start + at_once] += ((gram @ flowing) * flowing).sum((1, 2))
    return squares.clamp_min(0).sqrt().float()


@torch.no_grad()
def weighted_sum(sites: list[Site], factors: Tensor) -> dict[str, Tensor]:
    """The sum over examples of factor times gradient, by the parameter's name.

    Args:
        factors: One a row, `(examples,)`.
    """
    sums = {}
    for site in sites:
        flowing = torch.einsum("i,ito->to", factors, site.backprop)
        if not site.weights:
            sums[site.vectors[0]] = flowing
            continue
        for name, inputs in site.weights:
            sums[name] = flowing.t() @ inputs
        for name in site.vectors:
            sums[name] = flowing.sum(0)
    return sums


# The LSTM


@dataclass(frozen=True)
class _LstmRun:
    """One direction of one layer over the tokens; lists hold one entry a token."""

    layer: int
    backwards: bool
    inputs: Tensor
    hidden_before: Tensor
    cell_before: list[Tensor]
    gates: list[tuple[Tensor, Tensor, Tensor, Tensor]]
    """Input, forget, cell and output gate."""
    cell_tanh: list[Tensor]

    @property
    def suffix(self) -> str:
        """How torch names this run's parameters."""
        return f"l{self.layer}{'_reverse' if self.backwards else ''}"


def _order(tokens: int, backwards: bool) -> list[int]:
    return list(range(tokens))[:: -1 if backwards else 1]


def _lstm_forward(lstm: nn.LSTM, inputs: Tensor) -> tuple[Tensor, list[_LstmRun]]:
    """Outputs `(tokens, 2 hidden)` for inputs `(tokens, width)`, and every run."""
    tokens = inputs.shape[0]
    runs = []
    for layer in range(lstm.num_layers):
        outputs = []
        for backwards in (False, True):
            name = f"l{layer}{'_reverse' if backwards else ''}"
            bias = getattr(lstm, f"bias_ih_{name}") + getattr(lstm, f"bias_hh_{name}")
            fed = torch.addmm(bias, inputs, getattr(lstm, f"weight_ih_{name}").t())
            recurrent = getattr(lstm, f"weight_hh_{name}").t()
            hidden = cell = inputs.new_zeros(lstm.hidden_size)
            before, cells, after, tanhs = ([hidden] * tokens for _ in range(4))
            gates = [(cell, cell, cell, cell)] * tokens
            for token in _order(tokens, backwards):
                before[token], cells[token] = hidden, cell
                raw = (fed[token] + hidden @ recurrent).chunk(4)
                i, f, g, o = raw[0].sigmoid(), raw[1].sigmoid(), raw[2].tanh(), raw[3].sigmoid()
                cell = f * cell + i * g
                gates[token], tanhs[token] = (i, f, g, o), cell.tanh()
                after[token] = hidden = o * tanhs[token]
            outputs.append(torch.stack(after))
            runs.append(
                _LstmRun(layer, backwards, inputs, torch.stack(before), cells, gates, tanhs)
            )
        inputs = torch.cat(outputs, dim=1)
    return inputs, runs


def _lstm_backward(
    lstm: nn.LSTM, runs: list[_LstmRun], cotangents: Tensor
) -> tuple[list[Site], Tensor]:
    """The sites, and the cotangents of the inputs, for those of the outputs."""
    sites = []
    for layer in reversed(range(lstm.num_layers)):
        directions = cotangents.chunk(2, dim=2)
        cotangents = cotangents.new_zeros(())
        for run in (run for run in runs if run.layer == layer):
            flowing = _through_time(lstm, run, directions[run.backwards])
            weights = (
                (f"lstm_head.weight_ih_{run.suffix}", run.inputs),
                (f"lstm_head.weight_hh_{run.suffix}", run.hidden_before),
            )
            vectors = (f"lstm_head.bias_ih_{run.suffix}", f"lstm_head.bias_hh_{run.suffix}")
            sites.append(Site(weights, vectors, flowing))
            cotangents = cotangents + flowing @ getattr(lstm, f"weight_ih_{run.suffix}")
    return sites, cotangents


def _through_time(lstm: nn.LSTM, run: _LstmRun, above: Tensor) -> Tensor:
    """The derivatives by the gates before their nonlinearity, `(examples, tokens, 4 hidden)`."""
    examples, tokens, size = above.shape
    recurrent = getattr(lstm, f"weight_hh_{run.suffix}")
    flowing = above.new_empty(examples, tokens, 4 * size)
    d_hidden, d_cell = above.new_zeros(examples, size), above.new_zeros(examples, size)
    for token in reversed(_order(tokens, run.backwards)):
        i, f, g, o = run.gates[token]
        tanh = run.cell_tanh[token]
        d_hidden = d_hidden + above[:, token]
        d_cell = torch.addcmul(d_cell, d_hidden, o * (1 - tanh * tanh))
        here = flowing[:, token]
        here[:, :size] = d_cell * (g * i * (1 - i))
        here[:, size : 2 * size] = d_cell * (run.cell_before[token] * f * (1 - f))
        here[:, 2 * size : 3 * size] = d_cell * (i * (1 - g * g))
        here[:, 3 * size :] = d_hidden * (tanh * o * (1 - o))
        d_hidden = here @ recurrent
        d_cell = d_cell * f
    return flowing

"""What one example may add to a sum: never more than the clip norm, whatever it holds."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from veiltune_privacy.dp.clipping import (
    DpError,
    bounded,
    clip_factors,
    require_rows,
    row_norms,
)

SHAPE = (5, 3, 4)
# Float32 keeps 24 bits, and a norm adds up a few dozen squares.
ROUNDING = 1e-5


def gradients(seed: int, log_scale: float) -> Tensor:
    """Gradients whose norms differ by a factor of 10,000."""
    draw = torch.Generator().manual_seed(seed)
    scales = 10.0 ** (log_scale + 4 * torch.rand(SHAPE[0], generator=draw) - 2)
    return torch.randn(SHAPE, generator=draw) * scales.view(-1, 1, 1)


def clipped(rows: Tensor, clip_norm: float) -> Tensor:
    norms = row_norms(rows)
    return bounded(rows, norms) * clip_factors(norms, clip_norm).view(-1, 1, 1)


@settings(deadline=None)
@given(seed=st.integers(0, 999), log_scale=st.floats(-8, 8), clip_norm=st.floats(1e-3, 1e3))
def test_no_part_is_longer_than_the_clip_norm_nor_than_it_was(
    seed: int, log_scale: float, clip_norm: float
) -> None:
    rows = gradients(seed, log_scale)
    parts = row_norms(clipped(rows, clip_norm))
    assert (parts <= clip_norm * (1 + ROUNDING)).all()
    assert (parts <= row_norms(rows) * (1 + ROUNDING)).all()
    short = row_norms(rows) < clip_norm * (1 - 1e-3) - 2e-6
    torch.testing.assert_close(clipped(rows, clip_norm)[short], rows[short])


@settings(deadline=None)
@given(seed=st.integers(0, 999), value=st.sampled_from([math.inf, -math.inf, math.nan, 3e38]))
def test_what_is_not_a_number_or_overflows_adds_nothing(seed: int, value: float) -> None:
    rows = gradients(seed, 0)
    alone = clipped(rows, 1.0)
    rows[2, 1] = value
    parts = clipped(rows, 1.0)
    assert (parts[2] == 0).all()
    assert torch.equal(parts[[0, 1, 3, 4]], alone[[0, 1, 3, 4]])


def test_edge_cases_of_norms() -> None:
    norms = torch.tensor([0.0, 1e-9, 0.5, 1.0, 4.0, math.inf, math.nan])
    factors = clip_factors(norms, 1.0)
    expected = torch.tensor([1.0, 1.0, 1.0, 1.0, 0.25, 0.0, 0.0])
    torch.testing.assert_close(factors, expected, atol=2e-6, rtol=0)
    assert clip_factors(torch.zeros(0), 1.0).shape == (0,)


@pytest.mark.parametrize("shape", [(), (1, 3, 4), (7, 3, 4)])
def test_one_row_for_a_whole_batch_is_refused(shape: tuple[int, ...]) -> None:
    require_rows(torch.zeros(SHAPE), 5)
    with pytest.raises(DpError, match="one gradient for each of its 5 examples"):
        require_rows(torch.zeros(shape), 5)

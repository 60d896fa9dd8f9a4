"""A row of digits says values, clipped counts and weight, and so does the sum of rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from veiltune.errors import RunError
from veiltune_privacy.he.layout import WEIGHT_BITS, Layout
from veiltune_privacy.he.quantisation import BLOCK

LEVELS = [127, 2047, 32767]
WEIGHTS = st.integers(1, 2**WEIGHT_BITS - 1)


@given(st.sampled_from(LEVELS), st.lists(WEIGHTS, min_size=1, max_size=20))
def test_a_sum_of_rows_says_the_sums(levels: int, weights: list[int]) -> None:
    layout = Layout(BLOCK + 5, levels)
    draw = np.random.default_rng(0)
    rows, values, counts = [], [], []
    for weight in weights:
        values.append(draw.integers(-levels, levels + 1, layout.parameters).astype(np.int32))
        counts.append(draw.integers(0, levels + 1, layout.blocks))
        rows.append(layout.join(values[-1], counts[-1], float(weight)))
    assert all(row.shape == (layout.digits,) and row.dtype == np.int32 for row in rows)
    assert max(np.abs(row).max() for row in rows) <= levels
    got = layout.split(np.stack(rows).astype(np.int64).sum(axis=0))
    assert np.array_equal(got[0], np.sum(values, axis=0))
    assert np.array_equal(got[1], np.sum(counts, axis=0))
    assert got[2] == sum(weights)


def test_a_count_above_the_levels_is_told_as_the_levels() -> None:
    layout = Layout(BLOCK, 127)
    row = layout.join(np.zeros(BLOCK, np.int32), np.array([BLOCK]), 1.0)
    assert layout.split(row.astype(np.int64))[1].tolist() == [127]


@pytest.mark.parametrize("weight", [0.0, -1.0, 2.5, 2.0**WEIGHT_BITS, float("inf")])
def test_a_weight_that_is_no_count_is_refused(weight: float) -> None:
    layout = Layout(3, 127)
    with pytest.raises(RunError, match="whole number"):
        layout.join(np.zeros(3, np.int32), np.zeros(1, np.int64), weight)

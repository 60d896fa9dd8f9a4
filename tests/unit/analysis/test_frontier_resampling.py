"""The bootstrap over seeds, and what must not depend on the order of the seeds."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from veiltune_analysis.frontier import VALIDATION_LOSS, Frontier, knee, parametric_fit
from veiltune_analysis.frontier.resampling import resamples

EPSILONS = np.array([0.5, 1.0, 2.0, 4.0, 8.0])
ROWS = st.lists(st.lists(st.floats(0.1, 10), min_size=5, max_size=5), min_size=5, max_size=5).map(
    np.array
)


@pytest.mark.parametrize("seeds", [5, 6, 7, 12])
def test_a_resample_is_a_way_to_draw_as_many_seeds(seeds: int) -> None:
    taken = resamples(seeds)
    assert taken is not None
    assert taken.weights.shape == (len(taken.chance), seeds)
    assert taken.weights.sum(axis=1) == pytest.approx(np.ones(len(taken.chance)))
    assert taken.chance.sum() == pytest.approx(1.0)


def test_below_five_seeds_nothing_is_resampled() -> None:
    assert resamples(4) is None


def test_what_never_varies_has_an_interval_of_no_width_and_the_unknown_none() -> None:
    taken = resamples(5)
    assert taken is not None
    same = np.full(len(taken.chance), 0.7)
    assert taken.interval(same) == (0.7, 0.7)
    same[3] = math.nan
    assert all(math.isnan(edge) for edge in taken.interval(same))


@settings(max_examples=15, deadline=None)  # each example fits 252 curves
@given(ROWS, st.permutations(range(5)))
def test_the_order_of_the_seeds_says_nothing(values: NDArray[np.float64], order: list[int]) -> None:
    before, after = (
        Frontier("a", VALIDATION_LOSS, EPSILONS, (1, 2, 3, 4, 5), each, None)
        for each in (values, values[order])
    )
    assert knee(before).epsilon == knee(after).epsilon
    first, second = parametric_fit(before), parametric_fit(after)
    assert not isinstance(first, str) and not isinstance(second, str)
    assert second.at(EPSILONS) == pytest.approx(first.at(EPSILONS), rel=1e-3, abs=1e-3)
    assert (second.misfit is None) == (first.misfit is None)

"""A frontier's data, its monotone fit, and the epsilon that stays within a percentage."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from veiltune.errors import OutputError, SpecificationError
from veiltune_analysis.frontier import (
    VALIDATION_ACCURACY,
    VALIDATION_LOSS,
    Crossing,
    Frontier,
    Measure,
    epsilon_within,
    frontiers,
    monotone_fit,
    price_table,
)

EPSILONS = (0.5, 1.0, 2.0, 4.0, 8.0)
FINITE = st.floats(0.1, 10, allow_nan=False)
TABLES = st.integers(2, 6).flatmap(
    lambda seeds: st.lists(st.lists(FINITE, min_size=6, max_size=6), min_size=seeds, max_size=seeds)
)


def make(table: Sequence[Sequence[float]], measure: Measure = VALIDATION_LOSS) -> Frontier:
    """A row a seed: the values at EPSILONS, then the one without privacy."""
    points = [
        {"arm": "a", "epsilon": epsilon, "seed": seed, "value": value}
        for seed, row in enumerate(table, start=1)
        for epsilon, value in zip((*EPSILONS, math.inf), row, strict=True)
    ]
    (frontier,) = frontiers(pd.DataFrame(points), measure)
    return frontier


def test_a_seed_without_all_its_runs_is_left_out_and_named() -> None:
    points = pd.DataFrame(
        [
            ("a", 1.0, 1, 3.0),
            ("a", None, 1, 1.0),
            ("a", 1.0, 2, 4.0),
            ("b", 1.0, 1, 5.0),
        ],
        columns=["arm", "epsilon", "seed", "value"],
    )
    first, second = frontiers(points, VALIDATION_LOSS)
    assert first.seeds == (1,) and first.left_out == (2,)
    assert first.by_seed(1.0) == {1: 3.0} and first.by_seed(math.inf) == {1: 1.0}
    assert second.arm == "b" and second.reference is None
    with pytest.raises(KeyError):
        second.by_seed(math.inf)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([("a", 1.0, 1, 3.0), ("a", 1.0, 1, 3.0)], "several"),
        ([("a", 0.0, 1, 3.0)], "above 0"),
        ([("a", math.inf, 1, 3.0)], "found none"),
        ([("a", 1.0, 1, 3.0), ("a", 2.0, 2, 3.0)], "found none"),
    ],
)
def test_what_is_no_frontier_is_refused(
    rows: list[tuple[str, float, int, float]], words: str
) -> None:
    with pytest.raises(OutputError, match=words):
        frontiers(pd.DataFrame(rows, columns=["arm", "epsilon", "seed", "value"]), VALIDATION_LOSS)


@given(table=TABLES)
def test_the_fit_never_gets_worse_as_epsilon_rises(table: list[list[float]]) -> None:
    falling = monotone_fit(make(table))
    rising = monotone_fit(make(table, VALIDATION_ACCURACY))
    assert falling and rising
    for edge in (falling.low, falling.fitted, falling.high):
        assert (np.diff(edge) <= 1e-9).all()
    for edge in (rising.low, rising.fitted, rising.high):
        assert (np.diff(edge) >= -1e-9).all()
    assert (falling.low <= falling.fitted + 1e-9).all()
    assert (falling.fitted <= falling.high + 1e-9).all()


@given(table=TABLES, percent=st.floats(0, 100))
def test_the_order_of_the_seeds_says_nothing(table: list[list[float]], percent: float) -> None:
    frontier = make(table)
    turned = make(table[::-1])
    one, other = epsilon_within(frontier, percent), epsilon_within(turned, percent)
    assert one.estimate and other.estimate and one.estimate.side == other.estimate.side
    assert one.estimate.epsilon == pytest.approx(other.estimate.epsilon, rel=1e-6)


@given(table=TABLES, percent=st.floats(0, 100), more=st.floats(0, 100))
def test_to_allow_more_never_needs_a_greater_epsilon(
    table: list[list[float]], percent: float, more: float
) -> None:
    frontier = make(table)
    strict = epsilon_within(frontier, percent).estimate
    loose = epsilon_within(frontier, percent + more).estimate
    assert strict and loose
    assert _place(loose) <= _place(strict) * (1 + 1e-9)


@given(table=TABLES, percent=st.floats(0, 100))
def test_the_interval_holds_the_estimate(table: list[list[float]], percent: float) -> None:
    answer = epsilon_within(make(table), percent)
    assert answer.low and answer.estimate and answer.high
    assert _place(answer.low) <= _place(answer.estimate) * (1 + 1e-9)
    assert _place(answer.estimate) <= _place(answer.high) * (1 + 1e-9)


def test_a_monotone_curve_is_its_own_fit_and_is_read_between_its_points() -> None:
    fit = monotone_fit(make([[5, 4, 3, 2, 1, 1]]))
    assert fit and list(fit.fitted) == [5, 4, 3, 2, 1] and np.isnan(fit.low).all()
    assert fit.at(1.0) == 4
    assert fit.at(math.sqrt(2)) == pytest.approx(3.5)
    assert math.isnan(fit.at(0.1)) and math.isnan(fit.at(9))


def test_the_epsilon_within_a_percentage_lies_where_the_line_crosses() -> None:
    # At every seed 5, 4, 3, 2, 1 times the reference: 250 % more is half-way from 1 to 2.
    answer = epsilon_within(make([[5, 4, 3, 2, 1, 1], [10, 8, 6, 4, 2, 2]]), 250)
    assert answer.estimate and answer.estimate.epsilon == pytest.approx(math.sqrt(2))
    # Equal seeds leave nothing uncertain.
    exact = epsilon_within(make([[5, 4, 3, 2, 1, 1], [5, 4, 3, 2, 1, 1]]), 250)
    assert exact.low and exact.high
    assert exact.low.epsilon == pytest.approx(exact.high.epsilon)


def test_an_answer_outside_the_tested_epsilons_is_said_to_be_outside() -> None:
    frontier = make([[5.0, 4, 3, 2, 1.5, 1], [5.1, 4, 3, 2, 1.6, 1]])
    assert epsilon_within(frontier, 900).estimate == Crossing(0.5, "at most")
    answer = epsilon_within(frontier, 1)
    assert answer.estimate == Crossing(8.0, "more than")
    assert "more than 8, the largest tested" in answer.text()


def test_accuracy_is_mirrored() -> None:
    loss = epsilon_within(make([[5, 4, 3, 2, 1, 1]]), 250)
    # 1 - accuracy / reference falls as loss / reference - 1 does, a tenth as fast.
    accuracy = epsilon_within(make([[0.6, 0.7, 0.8, 0.9, 1, 1]], VALIDATION_ACCURACY), 25)
    assert loss.estimate and accuracy.estimate
    assert accuracy.estimate.epsilon == pytest.approx(loss.estimate.epsilon)
    assert "one seed" in loss.text()


def test_a_run_that_diverged_leaves_nothing_known_that_rests_on_it() -> None:
    frontier = make([[math.nan, 4, 3, 2, 1, 1], [5, 4, 3, 2, 1, 1]])
    assert monotone_fit(frontier) is None
    assert "epsilon 0.5" in epsilon_within(frontier, 5).text()
    table = price_table([frontier])
    assert math.isnan(table["mean"][0]) and math.isnan(table["price"][0])
    assert table["price"][1] == 3
    no_reference = make([[5, 4, 3, 2, 1, math.inf], [5, 4, 3, 2, 1, 1]])
    assert "without differential privacy diverged" in epsilon_within(no_reference, 5).text()


def test_a_percentage_below_zero_is_refused() -> None:
    with pytest.raises(SpecificationError, match="at least 0"):
        epsilon_within(make([[5, 4, 3, 2, 1, 1]]), -1)


def _place(crossing: Crossing) -> float:
    """Where it lies, with the ends of the tested range moved outwards."""
    return {"at": crossing.epsilon, "at most": 0.0, "more than": math.inf}[crossing.side]

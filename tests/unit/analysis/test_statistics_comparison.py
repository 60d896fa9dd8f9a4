"""Two arms compared, p-values corrected, equivalence: laws and decided cases."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from veiltune.errors import SpecificationError
from veiltune_analysis.statistics import Comparison, compare, equivalent, holm

EIGHTHS = st.integers(-400, 400).map(lambda count: count / 8)
VALUES = st.lists(st.tuples(EIGHTHS, EIGHTHS), min_size=3, max_size=7)
P_VALUES = st.lists(st.floats(0, 1) | st.just(math.nan), max_size=9)


def by_seed(*values: float) -> dict[int, float]:
    return dict(enumerate(values, start=1))


def test_two_seeds_by_hand() -> None:
    """Differences 1 and 3: m = 2, s / sqrt(2) = 1, t = 2; with one degree of freedom the
    two-sided p is 1 - (2 / pi) arctan t."""
    found = compare(by_seed(2.0, 5.0), by_seed(1.0, 2.0))
    assert (found.t, found.df, found.seeds) == (pytest.approx(2.0), 1, 2)
    assert found.p == pytest.approx(1 - 2 / math.pi * math.atan(2), rel=1e-12)
    assert math.isnan(found.effect.mean)
    assert found.note.startswith("Only 2 seeds")


def test_only_seeds_of_both_count() -> None:
    found = compare({1: 3.0, 2: 5.0, 3: 7.0, 9: 100.0}, {3: 4.0, 2: 4.0, 1: 1.0, 8: -100.0})
    assert found.seeds == 3
    assert found.difference.mean == pytest.approx(2.0)


@given(VALUES)
def test_the_other_way_round_changes_signs_and_no_p(pairs: list[tuple[float, float]]) -> None:
    first = by_seed(*(a for a, _ in pairs))
    second = by_seed(*(b for _, b in pairs))
    forth, back = compare(first, second), compare(second, first)
    assert forth.p == pytest.approx(back.p, nan_ok=True)
    assert forth.difference.mean == pytest.approx(-back.difference.mean)
    assert forth.difference.low == pytest.approx(-back.difference.high)
    assert forth.effect.low == pytest.approx(-back.effect.high, nan_ok=True)
    assert forth.effect.mean == pytest.approx(-back.effect.mean, nan_ok=True)


@given(VALUES, st.floats(0.01, 100), EIGHTHS)
def test_the_unit_of_the_values_does_not_matter(
    pairs: list[tuple[float, float]], scale: float, shift: float
) -> None:
    before = compare(by_seed(*(a for a, _ in pairs)), by_seed(*(b for _, b in pairs)))
    after = compare(
        by_seed(*(scale * a + shift for a, _ in pairs)),
        by_seed(*(scale * b + shift for _, b in pairs)),
    )
    assert (after.unknown is None) == (before.unknown is None)
    if before.unknown is None:
        assert after.p == pytest.approx(before.p, rel=1e-6)
        assert after.effect.mean == pytest.approx(before.effect.mean, rel=1e-6, abs=1e-12)


def test_p_is_below_5_percent_just_where_the_interval_leaves_zero_out() -> None:
    for shift in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0):
        found = compare(by_seed(0.1, 0.5, -0.3, 0.4, -0.6), by_seed(*[-shift] * 5))
        assert (found.p < 0.05) == (found.difference.low > 0) == (found.effect.low > 0)


@pytest.mark.parametrize(
    ("first", "second", "why"),
    [
        ({}, {}, "at least 2 seeds that both have, there are 0"),
        ({1: 1.0}, {1: 2.0}, "there is 1 seed"),
        ({1: 1.0, 2: 2.0}, {3: 1.0, 4: 2.0}, "there are 0 seeds"),
        ({1: 1.0, 2: math.nan}, {1: 2.0, 2: 1.0}, "diverged"),
        ({1: 1.0, 2: 1.0}, {1: math.inf, 2: 1.0}, "diverged"),
        ({1: 0.3, 2: 0.7, 3: 1.1}, {1: 0.1, 2: 0.5, 3: 0.9}, "no error to test by"),
    ],
)
def test_what_cannot_be_computed_is_not_and_says_why(
    first: dict[int, float], second: dict[int, float], why: str
) -> None:
    found = compare(first, second)
    assert math.isnan(found.p)
    assert math.isnan(found.t)
    assert why in found.note
    assert math.isnan(equivalent(first, second, 10.0).p)
    assert why in equivalent(first, second, 10.0).verdict
    assert not equivalent(first, second, 10.0).is_shown


def test_values_too_small_to_square_are_no_test() -> None:
    assert "no error to test by" in compare(by_seed(1e-200, 0.0, 0.0), by_seed(0, 0, 0)).note


def test_arms_that_are_the_same_do_not_differ_and_are_equivalent() -> None:
    same = by_seed(0.1, 0.2, 0.3)
    found = compare(same, dict(same))
    assert (found.p, found.effect.mean) == (1.0, 0.0)
    assert (found.difference.low, found.difference.high) == (0.0, 0.0)
    test = equivalent(same, dict(same), 1e-9)
    assert (test.p, test.verdict) == (0.0, "equivalent within ±1e-09")


def test_five_seeds_are_not_warned_of() -> None:
    found: Comparison = compare(by_seed(1, 2, 3, 4, 6), by_seed(0, 0, 0, 0, 0))
    assert found.note == ""


def test_holm_by_hand() -> None:
    """Sorted 0.01, 0.03, 0.04 times 3, 2, 1 is 0.03, 0.06, 0.04, and never falls again."""
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


@given(P_VALUES)
def test_holm_corrects_upwards_keeps_the_order_and_leaves_nan_out(p_values: list[float]) -> None:
    corrected = holm(p_values)
    known = [(p, q) for p, q in zip(p_values, corrected, strict=True) if not math.isnan(p)]
    assert [math.isnan(p) for p in p_values] == [math.isnan(q) for q in corrected]
    assert all(p <= q <= min(1.0, p * len(known) + 1e-12) for p, q in known)
    ordered = sorted(known)
    assert all(a[1] <= b[1] for a, b in zip(ordered, ordered[1:], strict=False))
    assert holm([p for p, _ in known]) == [q for _, q in known]


@pytest.mark.parametrize("p", [-0.1, 1.1, math.inf])
def test_what_is_no_p_value_is_refused(p: float) -> None:
    with pytest.raises(SpecificationError, match="between 0 and 1"):
        holm([0.5, p])


@given(VALUES, st.floats(0.01, 100))
def test_equivalence_is_shown_just_where_the_90_percent_interval_is_within(
    pairs: list[tuple[float, float]], margin: float
) -> None:
    first = by_seed(*(a for a, _ in pairs))
    second = by_seed(*(b for _, b in pairs))
    test = equivalent(first, second, margin)
    if test.unknown or min(
        abs(abs(e) - margin) for e in (test.interval.low, test.interval.high)
    ) < (1e-9):
        return  # on the edge rounding decides
    assert test.is_shown == (-margin < test.interval.low and test.interval.high < margin)
    assert test.p == pytest.approx(equivalent(second, first, margin).p, abs=1e-12)


def test_a_wider_margin_is_easier_to_stay_within() -> None:
    first, second = by_seed(1.0, 1.2, 0.9, 1.1, 1.0), by_seed(1.0, 1.1, 1.0, 1.0, 1.1)
    found = [equivalent(first, second, margin) for margin in (0.01, 0.05, 0.1, 0.2, 0.4)]
    assert [each.p for each in found] == sorted((each.p for each in found), reverse=True)
    assert not found[0].is_shown
    assert found[0].verdict == "not shown to be equivalent within ±0.01"
    assert found[-1].verdict == "equivalent within ±0.4"


@pytest.mark.parametrize("margin", [0.0, -1.0, math.nan, math.inf])
def test_a_margin_that_is_none_is_refused(margin: float) -> None:
    with pytest.raises(SpecificationError, match="margin of equivalence above 0"):
        equivalent(by_seed(1, 2), by_seed(2, 3), margin)

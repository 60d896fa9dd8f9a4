"""The statistics against SciPy's own tests, closed forms, and simulation."""

import itertools
import math

import numpy as np
import pytest
from scipy import integrate, special, stats

from veiltune_analysis.statistics import compare, equivalent, holm
from veiltune_analysis.statistics.comparison import effect_size
from veiltune_analysis.statistics.noncentral import noncentral_t_below


def pairs(seed: int, n: int, shift: float = 0.0) -> tuple[dict[int, float], dict[int, float]]:
    rng = np.random.default_rng(seed)
    shared = rng.normal(5.0, 3.0, n)
    first = shared + shift + rng.normal(0, 1.0, n)
    second = shared + rng.normal(0, 1.0, n)
    return dict(enumerate(first.tolist())), dict(enumerate(second.tolist()))


@pytest.mark.parametrize("n", [2, 3, 5, 12])
def test_the_comparison_is_scipys_paired_t_test(n: int) -> None:
    first, second = pairs(n, n, 0.4)
    witness = stats.ttest_rel(list(first.values()), list(second.values()))
    found = compare(first, second)
    assert found.t == pytest.approx(witness.statistic, rel=1e-12)
    assert found.p == pytest.approx(witness.pvalue, rel=1e-10)
    edges = witness.confidence_interval(0.95)
    assert (found.difference.low, found.difference.high) == pytest.approx((edges.low, edges.high))


def test_with_many_seeds_all_changes_of_sign_say_the_same() -> None:
    """The permutation test needs no normal distribution; over all 2^14 sign changes it gives a
    p-value close to that of the t test. Nothing is drawn: the seed is fixed."""
    first, second = pairs(3, 14, 0.8)
    found = compare(first, second)
    witness = stats.permutation_test(
        (list(first.values()), list(second.values())),
        lambda a, b, axis: np.mean(a - b, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=2**14,
    )
    assert found.p == pytest.approx(witness.pvalue, abs=0.01)


@pytest.mark.parametrize("df", [2, 3, 4, 9])
def test_hedges_correction_against_its_definition(df: int) -> None:
    """E[m / s] is the true effect divided by J: here by integrating 1 / s over its density."""
    inverse, _ = integrate.quad(
        lambda w: stats.chi.pdf(w * math.sqrt(df), df) * math.sqrt(df) / w, 0, np.inf
    )
    t = 1.7
    assert effect_size(t, df + 1).mean * math.sqrt(df + 1) / t == pytest.approx(1 / inverse)


@pytest.mark.parametrize(("t", "df"), [(0.0, 2), (0.01, 4), (1.0, 2), (2.5, 4), (9.0, 29)])
@pytest.mark.parametrize("noncentrality", [-3.0, 0.0, 0.7, 6.0])
def test_the_noncentral_t_by_another_route(t: float, df: int, noncentrality: float) -> None:
    """Integrated over the normal variable instead: T <= t where W >= (Z + c) / t."""

    def inside(z: float) -> float:
        bound = (z + noncentrality) / t if t else math.inf * (1 if z + noncentrality > 0 else -1)
        tail = 1.0 if bound <= 0 else float(special.gammaincc(df / 2, df * bound**2 / 2))
        return math.exp(-z * z / 2) / math.sqrt(2 * math.pi) * tail

    edge = -noncentrality
    inner = [edge + k * max(t, 1e-3) for k in (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 4.0)]
    breaks = sorted({-9.0, 9.0, *(min(max(each, -9.0), 9.0) for each in inner)})
    parts = (integrate.quad(inside, a, b, epsabs=1e-13)[0] for a, b in itertools.pairwise(breaks))
    assert noncentral_t_below(t, df, noncentrality) == pytest.approx(sum(parts), abs=1e-9)


def test_the_central_case_is_students() -> None:
    for t, df in itertools.product((0.0, 0.3, 2.0, 40.0), (2, 4, 30)):
        assert noncentral_t_below(t, df, 0.0) == pytest.approx(stats.t.cdf(t, df), abs=1e-10)


def test_where_scipys_noncentral_t_is_right_it_agrees() -> None:
    for t, df, c in ((2.0, 4, 1.0), (3.0, 9, 2.5), (5.0, 4, 3.0)):
        assert noncentral_t_below(t, df, c) == pytest.approx(stats.nct.cdf(t, df, c), abs=1e-9)


def test_the_effects_interval_covers_the_true_effect_in_95_of_100_repetitions() -> None:
    """Simulated; a right program fails this with a chance of one in 10^6 for each effect."""
    rng = np.random.default_rng(11)
    for effect in (0.0, 0.8, -2.5):
        draws = rng.normal(effect, 1.0, size=(600, 5))
        t = draws.mean(axis=1) / stats.sem(draws, axis=1)
        edges = [effect_size(float(each), 5) for each in t]
        covered = sum(each.low <= effect <= each.high for each in edges)
        assert stats.binomtest(covered, len(draws), 0.95).pvalue > 1e-6


def test_the_corrected_effect_is_unbiased() -> None:
    """Its mean over 20 000 repetitions, within five standard errors: a right program fails this
    with a chance of about one in 10^6."""
    draws = np.random.default_rng(12).normal(0.7, 1.0, size=(20_000, 6))
    t = draws.mean(axis=1) / stats.sem(draws, axis=1)
    correction = effect_size(1.0, 6).mean
    found = correction * t
    assert abs(found.mean() - 0.7) < 5 * stats.sem(found)


def test_equivalence_is_two_one_sided_tests_of_scipy() -> None:
    first, second = pairs(7, 6)
    a, b = np.array(list(first.values())), np.array(list(second.values()))
    for margin in (0.2, 1.0, 3.0):
        above = stats.ttest_rel(a + margin, b, alternative="greater").pvalue
        below = stats.ttest_rel(a - margin, b, alternative="less").pvalue
        assert equivalent(first, second, margin).p == pytest.approx(max(above, below), rel=1e-9)


def test_equivalence_is_shown_wrongly_in_at_most_5_of_100_repetitions() -> None:
    """The true difference is the margin itself, the worst case, where the rate is just 5 % when the
    margin is wide. A right program fails this with a chance of one in 10^6."""
    draws = np.random.default_rng(13).normal(4.0, 1.0, size=(2000, 5))
    zero = dict.fromkeys(range(5), 0.0)
    shown = sum(
        equivalent(dict(enumerate(values.tolist())), zero, 4.0).is_shown for values in draws
    )
    assert stats.binomtest(shown, len(draws), 0.05).pvalue > 1e-6


def test_holm_is_the_closed_test_of_bonferroni() -> None:
    """By brute force: a hypothesis is rejected at a level just where each family that holds it has
    a p-value at most level / size (Marcus, Peritz and Gabriel, Biometrika 63, 1976); so the
    corrected p-value is the largest size * smallest p over the families that hold it."""
    p_values = np.random.default_rng(14).uniform(0, 0.3, 6).tolist()
    families = [family for size in range(1, 7) for family in itertools.combinations(range(6), size)]
    for place, found in enumerate(holm(p_values)):
        brute = max(
            len(family) * min(p_values[each] for each in family)
            for family in families
            if place in family
        )
        assert found == pytest.approx(min(brute, 1.0), rel=1e-12)


def test_holm_rejects_wrongly_in_at_most_5_of_100_families() -> None:
    """All arms alike, and compared with one reference, so that the tests depend on one another.
    Holm's bound is 5 %; a right program fails this with a chance below one in 10^6."""
    rng = np.random.default_rng(15)
    wrong = 0
    for _ in range(400):
        arms = [dict(enumerate(rng.normal(size=5).tolist())) for _ in range(5)]
        p_values = [compare(arm, arms[0]).p for arm in arms[1:]]
        wrong += min(holm(p_values)) < 0.05
    assert stats.binomtest(wrong, 400, 0.05, alternative="greater").pvalue > 1e-6

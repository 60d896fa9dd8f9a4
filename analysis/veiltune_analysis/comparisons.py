"""The arms of a tidy table compared, with p-values corrected for all comparisons of the table.

The value of an arm and a seed is that of its run; where each site trained alone it is the mean
over the sites, and a seed counts once every site has its run. Only complete runs count. A value
that is not finite makes its comparisons unknown. Nothing is dropped silently: `seeds` beside each
row says how many the row rests on.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import pandas as pd

from veiltune.errors import OutputError, SpecificationError
from veiltune_analysis.statistics import (
    LEVEL,
    Comparison,
    Equivalence,
    compare,
    equivalent,
    holm,
    mean_interval,
)
from veiltune_analysis.tables import Label

Arm = tuple[Label, ...]
"""An arm's label in each of the columns that tell arms apart."""


NO_RUN = ""
"""Where a table does not name its runs."""


@dataclass(frozen=True)
class ArmValues:
    """The value of each seed, and the runs that these rest on."""

    values: dict[int, float]
    runs: frozenset[str]


def compare_arms(
    runs: pd.DataFrame,
    by: Sequence[str],
    value: str,
    against: Mapping[str, Label] | None = None,
    margin: float | None = None,
    within: Sequence[str] = (),
    one_change: bool = False,
) -> pd.DataFrame:
    """Arms against a reference arm, or all pairs of arms: a row a comparison, one Holm family.

    `runs` is `Tables.runs` or alike: `seed`, `value` and the columns `by`, whose labels together
    name an arm. `against` gives the reference arm's label in each of these columns. With `within`,
    arms are compared only where these columns are equal: `by=["adapter.encoder"]` with
    `within=["privacy.example_level.epsilon"]` compares encoders at equal epsilon. With
    `one_change`, only arms that differ in a single column of `by` are compared. Two arms that
    rest on the same runs are no comparison, nor are those of which one has no runs.

    Columns: those of `within`; first, second (arms in words), value, first_mean, second_mean (over
    the shared seeds), difference, low, high (95 %), t, df, p, p_holm, effect, effect_low,
    effect_high, seeds, comparisons (those in the family), verdict, note. With a `margin`, in the
    unit of the value, also: margin, equivalence_low, equivalence_high (90 %), equivalence_p,
    equivalence_p_holm (a family of its own, for it answers another question), equivalence.

    Raises:
        SpecificationError: a column is not in the table, the reference does not have a label for
            each column of `by`, or the margin is not above 0.
        OutputError: there are not two arms to compare, the reference has no runs, or several runs
            stand for one arm and seed.
    """
    arms = arm_values(runs, (*within, *by), value)
    pairs = _pairs(arms, by, against, len(within), one_change)
    compared = [compare(arms[first].values, arms[second].values) for first, second in pairs]
    corrected = holm([each.p for each in compared])
    tested = sum(not math.isnan(p) for p in corrected)
    rows = []
    for (first, second), each, p in zip(pairs, compared, corrected, strict=True):
        row: dict[str, object] = {
            **dict(zip(within, first, strict=False)),
            "first": arm_name(by, first[len(within) :]),
            "second": arm_name(by, second[len(within) :]),
            "value": value,
            "p_holm": p,
            "comparisons": tested,
            "verdict": verdict(each, p, arm_name(by, first[len(within) :])),
            "note": each.note,
        }
        rows.append(row | _means(arms[first], arms[second]) | _numbers(each))
    columns = [*within, *COLUMNS]
    if margin is not None:
        tests = [equivalent(arms[a].values, arms[b].values, margin) for a, b in pairs]
        for row, test, p in zip(rows, tests, holm([each.p for each in tests]), strict=True):
            row |= _equivalence(test, p)
        columns += EQUIVALENCE_COLUMNS
    return pd.DataFrame(rows, columns=columns)


COLUMNS = (
    "first second value first_mean second_mean difference low high t df p p_holm effect "
    "effect_low effect_high seeds comparisons verdict note"
).split()
EQUIVALENCE_COLUMNS = (
    "margin equivalence_low equivalence_high equivalence_p equivalence_p_holm equivalence"
).split()


def arm_values(runs: pd.DataFrame, by: Sequence[str], value: str) -> dict[Arm, ArmValues]:
    """The value of each arm and seed; arms in the order in which they come in the table.

    Raises:
        SpecificationError, OutputError: as `compare_arms`.
    """
    lacking = [column for column in (*by, "seed", value) if column not in runs.columns]
    if lacking or not by:
        raise SpecificationError(
            [
                f"expected columns of the table to tell arms apart and compare them, got "
                f"{', '.join(lacking) or 'none'}; name columns such as arm or adapter.encoder"
            ]
        )
    finished = runs[runs["status"] == "complete"] if "status" in runs.columns else runs
    found: dict[Arm, dict[int, dict[str, tuple[str, float]]]] = {}
    for row in finished.to_dict("records"):
        arm = tuple(_label(row[column]) for column in by)
        seed = found.setdefault(arm, {}).setdefault(int(row["seed"]), {})
        site, run = str(row.get("alone_site")), str(row.get("run", NO_RUN))
        number = float("nan") if row[value] is None else float(row[value])
        if site in seed and (seed[site][0] != run or run == NO_RUN):
            raise OutputError(
                f"expected one run of {arm_name(by, arm)} with seed {row['seed']}, found several; "
                f"name the column in which they differ, or keep one of them"
            )
        seed[site] = run, number
    return {arm: _by_seed(seeds) for arm, seeds in found.items()}


def arm_name(by: Sequence[str], arm: Arm) -> str:
    """An arm for a person to read: its label, or `epsilon 8, encoder lstm` with several columns."""
    if len(by) == 1:
        return _shown(arm[0])
    return ", ".join(
        f"{column.rpartition('.')[2]} {_shown(label)}"
        for column, label in zip(by, arm, strict=True)
    )


def verdict(compared: Comparison, corrected: float, first: str) -> str:
    """In words what a comparison of the arm `first` shows, by its corrected p-value, at 5 %."""
    if math.isnan(corrected):
        return f"not known: {compared.unknown}"
    if not corrected < LEVEL:
        return "no difference shown"
    return f"{first} is {'higher' if compared.difference.mean > 0 else 'lower'}"


def equivalence_verdict(test: Equivalence, corrected: float) -> str:
    """In words what a test of equivalence shows, by its corrected p-value, at 5 %."""
    if test.unknown:
        return test.verdict
    return f"{'' if corrected < LEVEL else 'not shown to be '}equivalent within ±{test.margin:g}"


def _pairs(
    arms: Mapping[Arm, ArmValues],
    by: Sequence[str],
    against: Mapping[str, Label] | None,
    shared: int,
    one_change: bool,
) -> list[tuple[Arm, Arm]]:
    """The pairs to compare, whose first `shared` labels are equal; never empty."""
    if against is not None and set(against) != set(by):
        raise SpecificationError(
            [
                f"expected a reference with a label for each of {', '.join(by)}, got one with "
                f"{', '.join(against) or 'none'}"
            ]
        )
    reference = None if against is None else tuple(_label(against[column]) for column in by)
    if reference is None:
        pairs = [pair for pair in combinations(arms, 2) if pair[0][:shared] == pair[1][:shared]]
    else:
        pairs = [(arm, (*arm[:shared], *reference)) for arm in arms if arm[shared:] != reference]
    found = [
        (first, second)
        for first, second in pairs
        if second in arms
        and not arms[first].runs & arms[second].runs
        and (not one_change or sum(a != b for a, b in zip(first, second, strict=True)) == 1)
    ]
    if not found:
        what = "two arms" if reference is None else f"{arm_name(by, reference)} and other arms"
        raise OutputError(
            f"expected complete runs of {what} to compare, found none; let the sweep go on first, "
            f"or name other columns"
        )
    return found


def _by_seed(seeds: Mapping[int, Mapping[str, tuple[str, float]]]) -> ArmValues:
    """The mean over a seed's runs, at each seed that has all that any seed has."""
    sites = {site for runs in seeds.values() for site in runs}
    whole = {seed: runs for seed, runs in sorted(seeds.items()) if runs.keys() == sites}
    return ArmValues(
        {
            seed: sum(number for _, number in runs.values()) / len(runs)
            for seed, runs in whole.items()
        },
        frozenset(run for runs in whole.values() for run, _ in runs.values() if run != NO_RUN),
    )


def _means(first: ArmValues, second: ArmValues) -> dict[str, object]:
    shared = sorted(first.values.keys() & second.values.keys())
    return {
        "first_mean": mean_interval([first.values[seed] for seed in shared]).mean,
        "second_mean": mean_interval([second.values[seed] for seed in shared]).mean,
    }


def _numbers(compared: Comparison) -> dict[str, object]:
    return {
        "difference": compared.difference.mean,
        "low": compared.difference.low,
        "high": compared.difference.high,
        "t": compared.t,
        "df": compared.df,
        "p": compared.p,
        "effect": compared.effect.mean,
        "effect_low": compared.effect.low,
        "effect_high": compared.effect.high,
        "seeds": compared.seeds,
    }


def _equivalence(test: Equivalence, corrected: float) -> dict[str, object]:
    return {
        "margin": test.margin,
        "equivalence_low": test.interval.low,
        "equivalence_high": test.interval.high,
        "equivalence_p": test.p,
        "equivalence_p_holm": corrected,
        "equivalence": equivalence_verdict(test, corrected),
    }


def _label(value: Label) -> Label:
    """A table holds an absent label as NaN where its column has numbers."""
    return None if isinstance(value, float) and math.isnan(value) else value


def _shown(label: Label) -> str:
    if label is None:
        return "none"
    return f"{label:g}" if isinstance(label, float) else str(label)

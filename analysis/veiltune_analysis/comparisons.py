"""The arms of a tidy table compared, with p-values corrected for all comparisons of the table.

The value of an arm and a seed is that of its run; where each site trained alone it is the mean
over the sites, and a seed counts once every site has its run. Only complete runs count. A value
that is not finite makes its comparisons unknown. Nothing is dropped silently: `seeds` beside each
row says how many the row rests on.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
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
Values = Mapping[Arm, Mapping[int, float]]


def compare_arms(
    runs: pd.DataFrame,
    by: Sequence[str],
    value: str,
    against: Mapping[str, Label] | None = None,
    margin: float | None = None,
) -> pd.DataFrame:
    """Arms against their reference, or all pairs of arms: one row a comparison, one Holm family.

    `runs` is `Tables.runs` or alike: `seed`, `value` and the columns `by`, whose labels together
    name an arm. `against` gives a label for some of these columns: each arm is compared with the
    one that has these labels and otherwise its own, so `{"adapter.encoder": "mlp"}` compares
    encoders at equal epsilon, and a label for each column makes one arm the reference of all.

    Columns: first, second (arms in words), value, first_mean, second_mean (over the shared
    seeds), difference, low, high (95 %), t, df, p, p_holm, effect, effect_low, effect_high, seeds,
    comparisons (those in the family), verdict, note. With a `margin`, in the unit of the value,
    also: margin, equivalence_low, equivalence_high (90 %), equivalence_p, equivalence_p_holm (a
    family of its own, for it answers another question), equivalence.

    Raises:
        SpecificationError: a column is not in the table, or the margin is not above 0.
        OutputError: there are not two arms to compare, the reference has no runs, or several runs
            stand for one arm and seed.
    """
    arms = arm_values(runs, by, value)
    pairs = list(_pairs(arms, by, against))
    compared = [compare(arms[first], arms[second]) for first, second in pairs]
    corrected = holm([each.p for each in compared])
    tested = sum(not math.isnan(p) for p in corrected)
    rows = [
        _row(arms, by, pair, each) | {"value": value, "p_holm": p, "comparisons": tested}
        for pair, each, p in zip(pairs, compared, corrected, strict=True)
    ]
    for row, each in zip(rows, compared, strict=True):
        row |= {"verdict": verdict(row, each), "note": each.note}
    columns = list(COLUMNS)
    if margin is not None:
        tests = [equivalent(arms[first], arms[second], margin) for first, second in pairs]
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


def arm_means(runs: pd.DataFrame, by: Sequence[str], value: str) -> pd.DataFrame:
    """A row an arm: the columns `by`, then seeds, and mean, low, high of the value (95 %).

    Raises:
        SpecificationError, OutputError: as `compare_arms`.
    """
    rows = []
    for arm, values in arm_values(runs, by, value).items():
        interval = mean_interval(list(values.values()))
        rows.append(
            dict(zip(by, arm, strict=True))
            | {
                "seeds": interval.seeds,
                "mean": interval.mean,
                "low": interval.low,
                "high": interval.high,
            }
        )
    return pd.DataFrame(rows, columns=[*by, "seeds", "mean", "low", "high"])


def arm_values(runs: pd.DataFrame, by: Sequence[str], value: str) -> dict[Arm, dict[int, float]]:
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
        site, run = str(row.get("alone_site")), str(row.get("run"))
        number = float("nan") if row[value] is None else float(row[value])
        if site in seed and (seed[site][0] != run or "run" not in row):
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


def verdict(row: Mapping[str, object], compared: Comparison) -> str:
    """In words what the corrected p-value of a row shows, at the 5 % level."""
    if math.isnan(compared.p):
        return f"not known: {compared.unknown}"
    if not float(str(row["p_holm"])) < LEVEL:
        return "no difference shown"
    return f"{row['first']} is {'higher' if compared.difference.mean > 0 else 'lower'}"


def _pairs(
    arms: Values, by: Sequence[str], against: Mapping[str, Label] | None
) -> Iterator[tuple[Arm, Arm]]:
    """The pairs to compare; never empty."""
    if against is None:
        if len(arms) < 2:
            raise OutputError(
                f"expected at least two arms to compare, found {len(arms)}; let the sweep go on "
                f"first, or name other columns"
            )
        yield from combinations(arms, 2)
        return
    unknown = [column for column in against if column not in by]
    if unknown or not against:
        raise SpecificationError(
            [
                f"expected a reference by columns that tell arms apart ({', '.join(by)}), got "
                f"{', '.join(unknown) or 'none'}"
            ]
        )
    given = {by.index(column): _label(label) for column, label in against.items()}
    pairs = [
        (arm, other)
        for arm in arms
        for other in [tuple(given.get(place, label) for place, label in enumerate(arm))]
        if other != arm and other in arms
    ]
    if not pairs:
        reference = ", ".join(f"{column} {_shown(label)}" for column, label in against.items())
        raise OutputError(
            f"expected complete runs with {reference} and others to compare with them, found none; "
            f"let the sweep go on first, or name another reference"
        )
    yield from pairs


def _by_seed(seeds: Mapping[int, Mapping[str, tuple[str, float]]]) -> dict[int, float]:
    """The mean over a seed's runs, at each seed that has all that any seed has."""
    sites = {site for runs in seeds.values() for site in runs}
    return {
        seed: sum(number for _, number in runs.values()) / len(runs)
        for seed, runs in sorted(seeds.items())
        if runs.keys() == sites
    }


def _row(
    arms: Values, by: Sequence[str], pair: tuple[Arm, Arm], compared: Comparison
) -> dict[str, object]:
    first, second = pair
    shared = arms[first].keys() & arms[second].keys()
    return {
        "first": arm_name(by, first),
        "second": arm_name(by, second),
        "first_mean": mean_interval([arms[first][seed] for seed in sorted(shared)]).mean,
        "second_mean": mean_interval([arms[second][seed] for seed in sorted(shared)]).mean,
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
    within = f"equivalent within ±{test.margin:g}"
    shown = within if corrected < LEVEL else f"not shown to be {within}"
    return {
        "margin": test.margin,
        "equivalence_low": test.interval.low,
        "equivalence_high": test.interval.high,
        "equivalence_p": test.p,
        "equivalence_p_holm": corrected,
        "equivalence": test.verdict if test.unknown else shown,
    }


def _label(value: Label) -> Label:
    """A table holds an absent label as NaN where its column has numbers."""
    return None if isinstance(value, float) and math.isnan(value) else value


def _shown(label: Label) -> str:
    if label is None:
        return "none"
    return f"{label:g}" if isinstance(label, float) else str(label)

"""What a frontier says in words: its knee, its curve, and the epsilons that stay near the best."""

import math
from collections.abc import Iterable, Sequence

import pandas as pd

from veiltune_analysis.frontier.data import Frontier
from veiltune_analysis.frontier.knee import knee
from veiltune_analysis.frontier.parametric import ParametricFit, parametric_fit
from veiltune_analysis.frontier.within import epsilon_within
from veiltune_analysis.statistics import Interval

PERCENTS = (1.0, 5.0, 10.0)


def findings(frontiers: Iterable[Frontier], percents: Sequence[float] = PERCENTS) -> pd.DataFrame:
    """A row a frontier and question: measure, arm, seeds, question, answer (a clause)."""
    return pd.DataFrame(
        [
            {
                "measure": frontier.measure.name,
                "arm": frontier.arm,
                "seeds": len(frontier.seeds),
                "question": question,
                "answer": answer,
            }
            for frontier in frontiers
            for question, answer in _answers(frontier, percents)
        ],
        columns=["measure", "arm", "seeds", "question", "answer"],
    )


def described(fit: ParametricFit | str) -> str:
    """The fitted curve as a formula with its intervals, or why there is none."""
    if isinstance(fit, str):
        return fit
    if fit.curve.scale == 0:
        return fit.misfit or "flat"
    sign = "+" if fit.sign > 0 else "-"
    formula = (
        f"{_with_interval(fit.floor)} {sign} {_with_interval(fit.scale)} x "
        f"epsilon^-{_with_interval(fit.slope)}"
    )
    without = "" if fit.slope.is_known else "; no intervals with so few seeds"
    return f"{formula}{without}{f'; {fit.misfit}' if fit.misfit else ''}"


def _answers(frontier: Frontier, percents: Sequence[float]) -> list[tuple[str, str]]:
    within = [
        (f"epsilon within {percent:g} % of no privacy", epsilon_within(frontier, percent).text())
        for percent in percents
    ]
    left_out = [
        (
            "seeds left out, for a run is missing",
            ", ".join(str(seed) for seed in frontier.left_out),
        )
    ]
    return [
        *within,
        ("knee", knee(frontier).text()),
        ("curve", described(parametric_fit(frontier))),
        *(left_out if frontier.left_out else []),
    ]


def _with_interval(value: Interval) -> str:
    if not math.isfinite(value.low):
        return f"{value.mean:.3g}"
    return f"{value.mean:.3g} ({value.low:.3g} to {value.high:.3g})"

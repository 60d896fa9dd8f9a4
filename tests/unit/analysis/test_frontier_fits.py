"""What is said of a frontier's curve, knee and arms, and the figure that shows it."""

import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from veiltune.errors import OutputError
from veiltune_analysis.figures.frontier import frontier as draw_frontier
from veiltune_analysis.frontier import (
    VALIDATION_ACCURACY,
    VALIDATION_LOSS,
    Frontier,
    Measure,
    at_equal_epsilon,
    findings,
    knee,
    parametric_fit,
    sweep_points,
)
from veiltune_analysis.tables import load_sweep

MakeRun = Callable[..., Path]
EPSILONS = np.array([0.5, 1.0, 2.0, 4.0, 8.0])
EPSILON, SPACE = "privacy.example_level.epsilon", "privacy.example_level.space"
JITTER = np.array([-0.02, -0.01, 0.0, 0.01, 0.02])
"""What each seed adds to all its values."""


def of(
    curve: Sequence[float], *, seeds: int = 5, measure: Measure = VALIDATION_LOSS, arm: str = "a"
) -> Frontier:
    values = np.array(curve) + JITTER[:seeds, None]
    epsilons = EPSILONS[: len(curve)]
    return Frontier(arm, measure, epsilons, tuple(range(1, seeds + 1)), values, JITTER[:seeds] + 1)


def test_the_fit_of_an_accuracy_is_the_mirror_of_a_loss() -> None:
    falling = 0.5 + 0.2 / EPSILONS
    loss, accuracy = (
        parametric_fit(of(falling.tolist())),
        parametric_fit(of((1 - falling).tolist(), measure=VALIDATION_ACCURACY)),
    )
    assert not isinstance(loss, str) and not isinstance(accuracy, str)
    assert loss.slope.mean == pytest.approx(1.0, rel=1e-4) and loss.misfit is None
    assert accuracy.slope.mean == pytest.approx(1.0, rel=1e-4)
    assert accuracy.floor.mean == pytest.approx(0.5, abs=1e-4)
    assert accuracy.at(np.array([2.0]))[0] == pytest.approx(0.4, abs=1e-4)
    # The seeds differ by a shift alone, which the floor takes up.
    assert loss.floor.low < 0.5 < loss.floor.high
    assert accuracy.floor.low < 0.5 < accuracy.floor.high
    assert loss.slope.high - loss.slope.low == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize(
    ("curve", "words"),
    [
        ([3, 3, 3, 1, 1], "does not fit: it leaves the interval of the mean at epsilon"),
        ([1, 2, 3, 4, 5], "no validation loss that falls with epsilon is seen"),
        ([1, 0.5, 0, -0.5, -1], "does not fit|the slope is at the end of its range"),
    ],
)
def test_a_curve_that_must_not_be_used_says_so(curve: list[float], words: str) -> None:
    fit = parametric_fit(of(curve))
    assert not isinstance(fit, str) and fit.misfit is not None
    assert re.search(words, fit.misfit)


def test_what_is_too_few_is_said_and_not_computed() -> None:
    few_epsilons = of([3, 2, 1])
    assert "4 epsilons are the least" in str(parametric_fit(few_epsilons))
    few_seeds = of((0.5 + 0.2 / EPSILONS).tolist(), seeds=4)
    fit = parametric_fit(few_seeds)
    assert not isinstance(fit, str) and not fit.slope.is_known
    assert "at least 5 seeds, there are 4" in knee(few_seeds).text()
    assert "at least 3 epsilons" in knee(of([3, 2])).text()


def test_a_run_that_diverged_leaves_neither_curve_nor_knee() -> None:
    diverged = of([math.nan, 4, 3, 2, 1])
    assert "diverged" in knee(diverged).text() and "diverged" in str(parametric_fit(diverged))


def test_a_straight_or_flat_curve_has_no_knee_and_a_bent_one_has_it_at_its_bend() -> None:
    assert knee(of([5, 4, 3, 2, 1])).epsilon is None
    assert knee(of([1, 1, 1, 1, 1])).epsilon is None
    assert knee(of([5, 4.9, 4.5, 3, 1])).epsilon is None  # bent the other way
    assert knee(of([5, 1.1, 1.05, 1.02, 1])).epsilon == 1.0
    assert knee(of([0.1, 0.8, 0.82, 0.84, 0.85], measure=VALIDATION_ACCURACY)).epsilon == 1.0


def test_the_findings_are_a_clause_a_question() -> None:
    table = findings([of([5, 1.1, 1.05, 1.02, 1])], percents=[7])
    answers = dict(zip(table["question"], table["answer"], strict=True))
    assert set(table["seeds"]) == {5}
    assert answers["epsilon within 7 % of no privacy"].startswith("1.5")  # 1.1 to 1.05 at 1 to 2
    assert answers["knee"].startswith("1 (95 %")


def test_arms_are_compared_where_both_have_runs_and_share_one_family() -> None:
    first, second = of([5, 4, 3], arm="a"), of([6, 5], arm="b")
    values = second.values + 0.1 * JITTER[::-1, None]
    second = Frontier("b", VALIDATION_LOSS, second.epsilons, second.seeds, values, first.reference)
    table = at_equal_epsilon([first, second])
    assert list(table["epsilon"]) == [0.5, 1.0]  # 2 is the first's alone; no privacy is shared
    assert list(table["difference"].abs()) == pytest.approx([1, 1])
    assert set(table["comparisons"]) == {2} and (table["p_holm"] < 0.05).all()
    assert at_equal_epsilon([first]).empty


def test_only_arms_that_differ_on_one_axis_are_compared() -> None:
    arms = [
        replace(of([3, 2, 1]), arm=f"{space}, {encoder}", labels={SPACE: space, "encoder": encoder})
        for space in ("output", "encoder")
        for encoder in ("mlp", "lstm")
    ]
    table = at_equal_epsilon(arms)
    pairs = set(zip(table["first"], table["second"], strict=True))
    assert pairs == {
        ("space output, encoder mlp", "space output, encoder lstm"),
        ("space output, encoder mlp", "space encoder, encoder mlp"),
        ("space output, encoder lstm", "space encoder, encoder lstm"),
        ("space encoder, encoder mlp", "space encoder, encoder lstm"),
    }
    assert len(table) == 4 * 3 and set(table["comparisons"]) == {12}
    assert at_equal_epsilon([arms[0], arms[3]]).empty


def sweep(make_run: MakeRun, *, diverged: bool = False) -> Path:
    points, folder = [], Path()
    for space, worse in (("output", 0.0), ("encoder", 0.3)):
        for epsilon in (1, 8, None):
            for seed in (1, 2):
                name = f"{space}-{epsilon}-{seed}"
                loss = 1 + worse * (epsilon is not None) + 0.5 / (epsilon or 100) + 0.01 * seed
                if diverged and (space, epsilon, seed) == ("encoder", 1, 1):
                    loss = math.nan
                folder = make_run(name, [4.0, loss], seed=seed).parent
                labels = {EPSILON: epsilon, SPACE: space}
                points.append({"run": name, "seed": seed, "labels": labels})
    manifest: dict[str, Any] = {"name": "frontier", "figure": "frontier", "small": True}
    manifest |= {"axes": {EPSILON: [1, 8, None], SPACE: ["output", "encoder"]}}
    (folder / "sweep.json").write_text(json.dumps(manifest | {"seeds": [1, 2], "points": points}))
    return folder


def test_the_figure_stands_with_its_tables(make_run: MakeRun, tmp_path: Path) -> None:
    files = {path.name: path for path in draw_frontier(load_sweep(sweep(make_run)), tmp_path / "f")}
    assert files["frontier.png"].read_bytes().startswith(b"\x89PNG")
    assert files["frontier.pdf"].read_bytes().startswith(b"%PDF")
    numbers = pd.read_csv(files["frontier.csv"])
    own = numbers[(numbers["line"] == "output space") & (numbers["measure"] == "validation loss")]
    assert list(own["epsilon"]) == [1, 8, math.inf] and list(own["seeds"]) == [2, 2, 2]
    assert list(own["mean"]) == pytest.approx([1.515, 1.0775, 1.02])
    assert list(own["fitted"])[:2] == pytest.approx([1.515, 1.0775])
    price = pd.read_csv(files["frontier-price.csv"])
    assert list(price["price"])[:2] == pytest.approx([0.495, 0.0575])
    by_site = pd.read_csv(files["frontier-price-by-site.csv"])
    assert set(by_site["arm"]) == {
        f"{space}, site-{site}" for space in ("output", "encoder") for site in (1, 2)
    }
    text = files["frontier.md"].read_text()
    assert "SMALL VERSION" in text and "Only 2 seeds" in text
    assert "a knee needs at least 3 epsilons" in text and "Arms at equal epsilon" in text


def test_a_run_that_diverged_leaves_a_gap_in_the_figure(make_run: MakeRun, tmp_path: Path) -> None:
    files = draw_frontier(load_sweep(sweep(make_run, diverged=True)), tmp_path / "f")
    numbers = pd.read_csv(next(path for path in files if path.name == "frontier.csv"))
    own = numbers[(numbers["line"] == "encoder space") & (numbers["measure"] == "validation loss")]
    assert math.isnan(own["mean"].iloc[0]) and own["fitted"].isna().all()


def test_a_sweep_without_epsilons_has_no_frontier(make_run: MakeRun) -> None:
    folder = make_run("r", [4.0, 1.0]).parent
    manifest = {"name": "x", "figure": None, "small": False, "seeds": [1], "axes": {"bits": [8]}}
    points = [{"run": "r", "seed": 1, "labels": {"bits": 8}}]
    (folder / "sweep.json").write_text(json.dumps(manifest | {"points": points}))
    with pytest.raises(OutputError, match="expected a sweep over privacy.*got one over bits"):
        sweep_points(load_sweep(folder), VALIDATION_LOSS)

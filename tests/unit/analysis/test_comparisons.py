"""Arms of a tidy table: which are compared, in which family, and what is said of each."""

import math
from collections.abc import Sequence

import pandas as pd
import pytest

from veiltune.errors import OutputError, SpecificationError
from veiltune_analysis.comparisons import arm_values, compare_arms
from veiltune_analysis.statistics import compare, holm

EPSILON = "privacy.example_level.epsilon"
ENCODER = "adapter.encoder"
NOISE = (0.00, 0.03, -0.02, 0.01, -0.03)


def table(
    arms: dict[tuple[object, str], float], seeds: Sequence[int] = range(1, 6)
) -> pd.DataFrame:
    """An arm's loss is the number given, moved a little at each seed, differently in each arm."""
    rows = [
        {
            EPSILON: epsilon,
            ENCODER: encoder,
            "seed": seed,
            "val_loss": loss + NOISE[(seed * (place + 1)) % 5],
            "status": "complete",
            "run": f"{place}-{seed}",
            "alone_site": None,
        }
        for place, ((epsilon, encoder), loss) in enumerate(arms.items())
        for seed in seeds
    ]
    return pd.DataFrame(rows)


FOUR = {(1.0, "mlp"): 0.9, (1.0, "lstm"): 0.5, (None, "mlp"): 0.3, (None, "lstm"): 0.3}
BY = (EPSILON, ENCODER)


def encoders(runs: pd.DataFrame, margin: float | None = None) -> pd.DataFrame:
    """Each encoder against the first, at equal epsilon."""
    return compare_arms(runs, [ENCODER], "val_loss", {ENCODER: "mlp"}, margin, [EPSILON])


def test_all_pairs_are_one_family() -> None:
    found = compare_arms(table(FOUR), BY, "val_loss")
    assert len(found) == 6
    assert set(found["comparisons"]) == {6}
    assert found["p_holm"].tolist() == pytest.approx(holm(found["p"].tolist()))
    assert (found["first"][0], found["second"][0]) == (
        "epsilon 1, encoder mlp",
        "epsilon 1, encoder lstm",
    )
    assert found["verdict"][0] == "epsilon 1, encoder mlp is higher"
    assert found["verdict"][5] == "no difference shown"
    assert found["first_mean"][0] - found["second_mean"][0] == pytest.approx(found["difference"][0])


def test_one_arm_is_the_reference_of_all() -> None:
    found = compare_arms(table(FOUR), BY, "val_loss", {EPSILON: None, ENCODER: "mlp"})
    assert set(found["second"]) == {"epsilon none, encoder mlp"}
    assert len(found) == 3


def test_arms_are_compared_where_other_columns_are_equal() -> None:
    for found in (
        encoders(table(FOUR)),
        compare_arms(table(dict(reversed(FOUR.items()))), [ENCODER], "val_loss", within=[EPSILON])[
            ::-1
        ],
    ):
        assert found[EPSILON].isna().tolist() == [False, True]
        assert found["first"].tolist() == ["lstm", "lstm"]
        assert found["second"].tolist() == ["mlp", "mlp"]
        assert set(found["comparisons"]) == {2}
    assert encoders(table(FOUR))["verdict"].tolist() == ["lstm is lower", "no difference shown"]


def test_the_numbers_are_those_of_the_paired_comparison() -> None:
    runs = table(FOUR)
    one = runs[runs[EPSILON].notna()]
    found = compare_arms(one, [ENCODER], "val_loss")
    sides = [
        dict(zip(own["seed"], own["val_loss"], strict=True))
        for _, own in one.groupby(ENCODER, sort=False)
    ]
    witness = compare(*sides)
    assert found["p"][0] == witness.p
    assert found["effect_low"][0] == witness.effect.low
    assert found["seeds"][0] == 5
    assert found["note"][0] == ""


def test_a_margin_adds_the_test_of_equivalence_in_a_family_of_its_own() -> None:
    found = encoders(table(FOUR), margin=0.1)
    assert found["equivalence"].tolist() == [
        "not shown to be equivalent within ±0.1",
        "equivalent within ±0.1",
    ]
    assert found["equivalence_p_holm"].tolist() == pytest.approx(
        holm(found["equivalence_p"].tolist())
    )


def test_a_diverged_run_makes_its_comparisons_unknown_and_leaves_the_family() -> None:
    runs = table({(1.0, "mlp"): 0.9, (1.0, "lstm"): 0.5, (2.0, "mlp"): 0.2})
    runs.loc[2, "val_loss"] = math.nan
    found = compare_arms(runs, BY, "val_loss", margin=0.1)
    assert found["verdict"].tolist()[:2] == ["not known: a run diverged or was not measured"] * 2
    assert found["equivalence"][0] == "not known: a run diverged or was not measured"
    assert set(found["comparisons"]) == {1}
    assert found["p_holm"][2] == found["p"][2]


def test_few_seeds_are_said_beside_the_row() -> None:
    found = encoders(table(FOUR, seeds=[1, 2]))
    assert found["note"].str.startswith("Only 2 seeds").all()
    one = encoders(table(FOUR, seeds=[1]))
    assert one["verdict"].str.startswith("not known: a test needs at least 2 seeds").all()


def test_runs_that_are_not_complete_do_not_count() -> None:
    runs = table(FOUR)
    runs.loc[(runs["seed"] == 5) & (runs[ENCODER] == "lstm"), "status"] = "interrupted"
    found = encoders(runs)
    assert found["seeds"].tolist() == [4, 4]


def test_sites_that_stay_alone_are_one_arm_and_need_all_their_runs() -> None:
    rows = [
        {"arm": "alone", "alone_site": site, "seed": seed, "run": f"{site}-{seed}", "loss": loss}
        for site, loss in (("site-1", 1.0), ("site-2", 3.0))
        for seed in (1, 2)
    ] + [
        {"arm": "federated", "alone_site": None, "seed": seed, "run": f"f-{seed}", "loss": 0.5}
        for seed in (1, 2)
    ]
    found = arm_values(pd.DataFrame(rows), ["arm"], "loss")
    assert found[("alone",)].values == {1: 2.0, 2: 2.0}
    assert found[("federated",)].values == {1: 0.5, 2: 0.5}
    without = arm_values(pd.DataFrame(rows[1:]), ["arm"], "loss")
    assert without[("alone",)].values == {2: 2.0}


def test_one_run_that_stands_for_several_points_counts_once() -> None:
    runs = table({(1.0, "mlp"): 0.9, (1.0, "lstm"): 0.5})
    twice = pd.concat([runs, runs], ignore_index=True)
    found = compare_arms(twice, [ENCODER], "val_loss")
    assert found["seeds"].tolist() == [5]


def test_two_arms_of_the_same_runs_are_no_comparison() -> None:
    """As where a key says nothing: without privacy both clipping spaces are one run."""
    runs = table({**FOUR, (None, "gru"): 0.3})
    same = runs[EPSILON].isna() & (runs[ENCODER] == "gru")
    runs.loc[same, "run"] = runs.loc[runs[EPSILON].isna() & (runs[ENCODER] == "mlp"), "run"].values
    found = encoders(runs)
    assert found["first"].tolist() == ["lstm", "lstm"]


def test_two_runs_of_one_arm_and_seed_are_refused() -> None:
    with pytest.raises(OutputError, match="name the column in which they differ"):
        compare_arms(table(FOUR), [ENCODER], "val_loss")


def test_what_is_not_there_is_said() -> None:
    runs = table(FOUR)
    with pytest.raises(SpecificationError, match="got colour"):
        compare_arms(runs, ["colour"], "val_loss")
    with pytest.raises(SpecificationError, match="label for each of .*, got one with adapter"):
        compare_arms(runs, BY, "val_loss", {ENCODER: "mlp"})
    with pytest.raises(OutputError, match="gru and other arms"):
        compare_arms(runs, [ENCODER], "val_loss", {ENCODER: "gru"}, within=[EPSILON])
    with pytest.raises(OutputError, match="two arms"):
        compare_arms(runs[:5], BY, "val_loss")

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from veiltune.errors import OutputError
from veiltune_analysis.results import results
from veiltune_analysis.statistics import holm
from veiltune_analysis.tables import load_tables

MakeRun = Callable[..., Path]


def alone(make_run: MakeRun, site: str, seed: int, loss: float, **summary: object) -> None:
    make_run(
        f"{site}-{seed}", [4.0, loss], arm="alone", alone_site=site, seed=seed, sites=[site],
        **summary,
    )  # fmt: skip


@pytest.fixture
def runs(make_run: MakeRun, tmp_path: Path) -> pd.DataFrame:
    for seed, shift in ((1, 0.0), (2, 0.1), (3, 0.2)):
        make_run(f"f{seed}", [4.0, 1.0 + shift], seed=seed)
        make_run(f"c{seed}", [4.0, 1.1 - shift], arm="centralised", seed=seed, sites=["central"])
        alone(make_run, "site-1", seed, 2.0 + shift)
        alone(make_run, "site-2", seed, 3.01 + 1.1 * shift)
    return load_tables(tmp_path).runs


def test_the_arms_have_means_and_the_sites_alone_one_mean(runs: pd.DataFrame) -> None:
    arms = results([("skewed", runs)]).arms.set_index("arm")
    assert list(arms.index) == ["federated", "centralised", "alone"]
    assert arms.loc["federated", "val_loss"] == pytest.approx(1.1)
    assert arms.loc["alone", "val_loss"] == pytest.approx((2.1 + 3.12) / 2)
    assert list(arms["seeds"]) == [3, 3, 3]


def test_differences_are_paired_signed_and_judged(runs: pd.DataFrame) -> None:
    found = results([("skewed", runs)])
    losses = found.differences[found.differences["measure"] == "validation loss"]
    by_first = losses.set_index("first")
    assert by_first.loc["alone", "verdict"] == "alone is higher"
    assert by_first.loc["federated", "verdict"] == "no difference shown"
    text = found.markdown()
    assert "| skewed | alone − federated | validation loss | +1.51" in text
    assert "Only 3 seeds" in text


def test_a_verdict_rests_on_p_values_corrected_over_all_splits(runs: pd.DataFrame) -> None:
    one, two = results([("skewed", runs)]), results([("skewed", runs), ("uniform", runs)])
    for found in (one, two):
        for _, own in found.differences.groupby("measure"):
            assert own["p_holm"].tolist() == pytest.approx(holm(own["p"].tolist()))
    assert len(two.differences) == 2 * len(one.differences)
    assert (two.differences["p_holm"][:4] >= one.differences["p_holm"][:4]).all()


def test_as_good_as_centralised_is_a_test_of_its_own(runs: pd.DataFrame) -> None:
    """Losses differ by -0.1, 0.1 and 0.3 from seed to seed; accuracies are all the same."""
    found = results([("skewed", runs)]).differences.set_index(["first", "measure"])["equivalence"]
    assert found["federated", "validation loss"] == "not shown to be equivalent within ±0.05"
    assert found["federated", "validation accuracy"] == "equivalent within ±0.02"
    assert found["alone", "validation loss"] == ""


def test_one_seed_has_no_interval(runs: pd.DataFrame) -> None:
    found = results([("skewed", runs[runs["seed"] == 1])])
    assert found.differences["verdict"].str.startswith("not known: a test needs at least 2").all()
    assert "| skewed | federated | 1.000 | 0.750 | 1 |" in found.markdown()


def test_a_diverged_run_makes_its_arm_unknown(runs: pd.DataFrame) -> None:
    diverged = runs.assign(val_loss=runs["val_loss"].where(runs["run"] != "site-1-2", None))
    found = results([("skewed", diverged)])
    assert found.arms.set_index("arm")["val_loss"].isna()["alone"]
    assert "| skewed | alone | not known |" in found.markdown()


def test_a_seed_without_one_of_its_sites_does_not_count(runs: pd.DataFrame) -> None:
    arms = results([("skewed", runs[runs["run"] != "site-2-3"])]).arms.set_index("arm")
    assert arms.loc["alone", "seeds"] == 2


def test_one_seed_does_not_count_twice(runs: pd.DataFrame, make_run: MakeRun) -> None:
    again = pd.concat([runs, runs[runs["run"] == "f1"].assign(run="other")])
    with pytest.raises(OutputError, match="with seed 1, found f1, other"):
        results([("skewed", again)])


def test_nothing_complete_is_an_error(runs: pd.DataFrame) -> None:
    with pytest.raises(OutputError, match="at least one complete run"):
        results([("skewed", runs.assign(status="failed"))])

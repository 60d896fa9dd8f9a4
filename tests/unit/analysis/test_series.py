import math
from collections.abc import Callable
from pathlib import Path

import pytest

from veiltune.errors import OutputError
from veiltune_analysis.series import global_loss_series, natural_key
from veiltune_analysis.tables import load_tables

MakeRun = Callable[..., Path]


def test_a_series_is_an_arm_or_a_site_alone(make_run: MakeRun, tmp_path: Path) -> None:
    for site in ("site-10", "site-9"):
        make_run(site, [4.0, 3.0], arm="alone", alone_site=site, sites=[site])
    make_run("steps", [4.0, 1.5], arm="centralised (equal steps)", sites=["central"])
    make_run("central", [4.0, 1.0], arm="centralised", sites=["central"])
    make_run("a", [4.0, 2.0])
    table = global_loss_series(load_tables(tmp_path).rounds)
    assert list(table["series"].unique()) == [
        "federated",
        "centralised",
        "centralised (equal steps)",
        "site-9 alone",
        "site-10 alone",
    ]
    assert list(table.loc[table["series"] == "federated", "mean"]) == [4.0, 2.0]


def test_seeds_are_averaged_and_unfinished_runs_left_out(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("a", [4.0, 2.0], seed=1)
    make_run("b", [4.0, 1.0], seed=2)
    make_run("c", [4.0, 90.0], seed=3, status="interrupted")
    last = global_loss_series(load_tables(tmp_path).rounds).iloc[-1]
    assert (last["round"], last["mean"], last["seeds"]) == (1, 1.5, 2)
    assert last["low"] < 0 < last["high"]


def test_a_round_is_absent_where_nobody_measured_and_unknown_where_one_seed_did_not(
    make_run: MakeRun, tmp_path: Path
) -> None:
    make_run("a", [4.0, math.nan, 2.0], seed=1)
    make_run("b", [4.0, math.nan, math.nan], seed=2)
    table = global_loss_series(load_tables(tmp_path).rounds)
    assert list(table["round"]) == [0, 2]
    assert math.isnan(table["mean"].iloc[-1])


def test_one_seed_does_not_count_twice(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("a", [4.0, 2.0])
    make_run("b", [4.0, 2.1])
    with pytest.raises(OutputError, match="with seed 1, found a, b; keep one"):
        global_loss_series(load_tables(tmp_path).rounds)


def test_no_complete_run_is_an_error(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("a", [4.0], status="failed")
    with pytest.raises(OutputError, match="at least one complete run"):
        global_loss_series(load_tables(tmp_path).rounds)


def test_sites_are_in_the_order_of_their_numbers() -> None:
    assert sorted(["site-10", "ward", "site-9"], key=natural_key) == ["site-9", "site-10", "ward"]

"""From rounds to curves: one line for each arm and site, with its interval over the seeds."""

import re

import pandas as pd

from veiltune.errors import OutputError
from veiltune_analysis.statistics import mean_interval
from veiltune_analysis.tables import complete

FEDERATED = "federated"
CENTRALISED = "centralised"
EQUAL_STEPS = "centralised (equal steps)"
ALONE = "alone"


def global_loss_series(rounds: pd.DataFrame) -> pd.DataFrame:
    """One row a series and round: series, arm, round, mean, low, high, seeds.

    `rounds` is the table of `load_tables`; only complete runs count. A series is an arm, or in the
    arm "alone" one site ("site-1 alone"), whose global model is its own. The loss of a run in a
    round (nats per example) is the mean over the sites that evaluated the global model; with one
    validation set for everybody these are the same number. Rounds that no seed evaluated have no
    row; a round that only some seeds could evaluate has mean NaN.

    Raises:
        OutputError: no run is complete, or two runs share an arm, a site and a seed, which would
            count one seed twice.
    """
    finished = complete(rounds)
    if finished.empty:
        raise OutputError(
            "expected at least one complete run to draw, found none; run a job to its end first"
        )
    finished = finished.assign(series=series_names(finished))
    refuse_repeated_seeds(finished)
    by_run = (
        finished.groupby(["series", "arm", "round", "seed"], sort=False)["global_loss"]
        .mean()
        .reset_index()
    )
    rows: list[dict[str, object]] = []
    for (series, arm, at), group in by_run.groupby(["series", "arm", "round"], sort=False):
        if group["global_loss"].isna().all():
            continue
        interval = mean_interval(group["global_loss"].tolist())
        rows.append(
            {
                "series": series,
                "arm": arm,
                "round": at,
                "mean": interval.mean,
                "low": interval.low,
                "high": interval.high,
                "seeds": interval.seeds,
            }
        )
    columns = ["series", "arm", "round", "mean", "low", "high", "seeds"]
    table = pd.DataFrame(rows, columns=columns)
    order = table["series"].map({name: place for place, name in enumerate(in_order(table))})
    return (
        table.assign(order=order)
        .sort_values(["order", "round"])
        .drop(columns="order")
        .reset_index(drop=True)
    )


def series_names(table: pd.DataFrame) -> pd.Series:
    """The name of the series each row belongs to: its arm, or its site alone."""
    return table["arm"].where(table["arm"] != ALONE, table["alone_site"].astype(str) + " alone")


def refuse_repeated_seeds(table: pd.DataFrame) -> None:
    """Two runs never stand for one seed of one series; `table` has series, seed and run.

    Raises:
        OutputError: they do, for instance because the code changed between them.
    """
    for (series, seed), group in table.groupby(["series", "seed"], sort=True):
        names = sorted(set(group["run"]))
        if len(names) > 1:
            raise OutputError(
                f'expected one run of "{series}" with seed {seed}, found {", ".join(names)}; '
                "keep one of them in the folder"
            )


def in_order(table: pd.DataFrame) -> list[str]:
    """The series of `table` in reading order: the three arms, then sites by their number."""
    arms = [FEDERATED, CENTRALISED, EQUAL_STEPS]
    names = set(table["series"])
    sites = sorted(names - set(arms), key=natural_key)
    return [arm for arm in arms if arm in names] + sites


def natural_key(name: str) -> list[int | str]:
    """Sorts "site-10" after "site-9"."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]

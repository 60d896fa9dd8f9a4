"""What a sweep's runs spent after each round, as both accountants count it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from veiltune.errors import OutputError
from veiltune.records import read_json
from veiltune_analysis.tables import SweepRecord
from veiltune_privacy.dp.accounting import Release, prv_epsilon, rdp_epsilon

TARGET = "privacy.example_level.epsilon"
CARD = "privacy_card.json"


def spent_by_round(record: SweepRecord) -> pd.DataFrame:
    """A row a target, round and accountant: what one site would have spent by then.

    Columns: target (the epsilon that the job allowed), round, accountant (`prv` or `rdp`),
    epsilon, then whose it is: run, seed, site, delta, noise_multiplier, sample_rate and
    steps_per_round, as the run's privacy card has them. For each target it is the run of the
    smallest seed, and there the site that spent most.

    Raises:
        OutputError: no complete run has differential privacy, or a card cannot be read.
    """
    runs = record.tables.complete().runs
    private = runs[runs[TARGET].notna()] if TARGET in runs.columns else runs.iloc[:0]
    if private.empty:
        raise OutputError(
            f"expected a complete run with differential privacy in {record.folder} to count what "
            f"it spent, found none; let the sweep go on first"
        )
    chosen = private.sort_values("seed", kind="stable").drop_duplicates(TARGET)
    rows = [row for _, run in chosen.iterrows() for row in _rows(run)]
    return pd.DataFrame(rows).sort_values(["target", "accountant", "round"], ignore_index=True)


def _rows(run: pd.Series) -> Iterator[dict[str, Any]]:
    site, noised = _most_spent(Path(run["folder"]))
    for done in range(1, int(run["rounds"]) + 1):
        release = Release(
            noised["noise_multiplier"], noised["sample_rate"], done * noised["steps_per_round"]
        )
        tight = prv_epsilon([release], noised["delta"])
        spent = {"prv": tight.epsilon, "rdp": rdp_epsilon([release], noised["delta"])}
        for accountant, epsilon in spent.items():
            yield {
                "target": float(run[TARGET]),
                "round": done,
                "accountant": accountant,
                "epsilon": epsilon,
                "run": run["run"],
                "seed": run["seed"],
                "site": site,
                "delta": noised["delta"],
                "noise_multiplier": noised["noise_multiplier"],
                "sample_rate": noised["sample_rate"],
                "steps_per_round": noised["steps_per_round"],
                "note": tight.note if accountant == "prv" else "",
            }


def _most_spent(folder: Path) -> tuple[str, dict[str, Any]]:
    try:
        sites: dict[str, dict[str, Any]] = read_json(folder / CARD)["example_level_dp"]["sites"]
        return max(sites.items(), key=lambda item: float(item[1]["epsilon"]))
    except (OutputError, OSError, KeyError, TypeError, ValueError) as error:
        raise OutputError(
            f"expected the privacy card of a run with differential privacy in {folder / CARD}, "
            f"which lacks it ({type(error).__name__}); run the job again"
        ) from error

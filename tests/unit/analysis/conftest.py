"""Small fabricated run folders, written as a run leaves them."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
import pytest


class MakeRun(Protocol):
    """Writes one run folder and returns it."""

    def __call__(
        self,
        name: str,
        losses: Sequence[float],
        *,
        arm: str = "federated",
        alone_site: str | None = None,
        seed: int = 1,
        sites: Sequence[str] = ("site-1", "site-2"),
        **summary: Any,
    ) -> Path: ...


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    def make(
        name: str,
        losses: Sequence[float],
        *,
        arm: str = "federated",
        alone_site: str | None = None,
        seed: int = 1,
        sites: Sequence[str] = ("site-1", "site-2"),
        **summary: Any,
    ) -> Path:
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        rows = [
            row(at, site, loss, closing=at == len(losses) - 1)
            for at, loss in enumerate(losses)
            for site in sites
        ]
        pd.DataFrame(rows, columns=list(row(0, "", 0.0, closing=False))).to_parquet(
            folder / "rounds.parquet"
        )
        figures = {
            "run": name,
            "job": "fabricated",
            "engine": "inline",
            "arm": arm,
            "alone_site": alone_site,
            "seed": seed,
            "sites": list(sites),
            "rounds": len(losses) - 1,
            "status": "complete",
            "val_loss_first": losses[0] if losses else None,
            "val_loss": losses[-1] if losses else None,
            "val_accuracy": 0.75,
            "test_loss": None,
            "test_accuracy": None,
            "upload_bytes_per_site_round": 1024,
            "download_bytes_per_site_round": 2048,
            "clipped": 0,
            "epsilon": None,
            "encryption": None,
            "adapter_sha256": "ab" * 32,
            "seconds": 12.0,
            "examples": {site: 10 for site in sites},
            "label_counts": {site: {"up": 6, "down": 4} for site in sites},
            "truncated": {site: 0 for site in sites},
            "duplicates": {"train_validation": 3},
            "missing": [],
            "synthetic": True,
            "data": "fabricated texts",
            "backbone": "toy",
        }
        write(folder / "summary.json", figures | summary)
        write(
            folder / "provenance.json",
            {"commit": "c" * 40, "specification_hash": name, "machine": {"cores": 2}},
        )
        (folder / "spec.yaml").write_text("name: fabricated\ntemplate: '<|P|> {sentence}'\n")
        return folder

    return make


def write(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value))


def row(at: int, site: str, loss: float, *, closing: bool) -> dict[str, Any]:
    unmeasured = math.nan
    return {
        "round": at,
        "site": site,
        "global_loss": loss,
        "global_accuracy": 0.5,
        "local_loss": unmeasured if closing else loss * 0.9,
        "local_accuracy": unmeasured if closing else 0.6,
        "train_loss": unmeasured if closing else loss,
        "examples": 10,
        "steps": 0 if closing else 2,
        "seconds_evaluate": 0.1,
        "seconds_train": 0.0 if closing else 0.2,
        "seconds_encode": 0.0,
        "seconds_decode": 0.0,
        "upload_bytes": 0 if closing else 1024,
        "download_bytes": 2048,
        "clipped": 0,
        "error_bound": 0.0,
        "epsilon": unmeasured,
    }

"""The record of one run, read from its folder and checked.

A run folder is one that holds `summary.json`, `provenance.json` and `rounds.parquet`. Only what
is on the disk counts: nothing here knows how a run was made.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from veiltune.errors import OutputError

SUMMARY, PROVENANCE, ROUNDS = "summary.json", "provenance.json", "rounds.parquet"

Arm = Literal["federated", "centralised", "centralised (equal steps)", "alone"]

ROUND_COLUMNS = (
    "round",
    "site",
    "global_loss",
    "global_accuracy",
    "local_loss",
    "local_accuracy",
    "train_loss",
    "examples",
    "steps",
    "seconds_evaluate",
    "seconds_train",
    "seconds_encode",
    "seconds_decode",
    "upload_bytes",
    "download_bytes",
    "clipped",
    "error_bound",
    "epsilon",
)


class Record(BaseModel):
    """What one JSON file of a run says; later versions may add keys, which are kept."""

    model_config = ConfigDict(frozen=True, extra="allow")


class Missing(Record):
    """A site that took no part in a round, and why."""

    round: int
    site: str
    reason: str


class Summary(Record):
    """The final figures of a run. Losses are in nats per example, sizes in bytes."""

    run: str
    job: str
    engine: str
    arm: Arm
    alone_site: str | None
    seed: int
    sites: list[str]
    rounds: int
    status: Literal["complete", "interrupted", "failed"]
    val_loss_first: float | None
    val_loss: float | None
    val_accuracy: float | None
    test_loss: float | None
    test_accuracy: float | None
    upload_bytes_per_site_round: float | None
    download_bytes_per_site_round: float | None
    epsilon: dict[str, float | None] | None
    seeded_noise: bool = False
    encryption: str | None
    clipped: int
    adapter_sha256: str | None
    seconds: float | None
    examples: dict[str, int]
    label_counts: dict[str, dict[str, int]]
    truncated: dict[str, int]
    duplicates: dict[str, int]
    missing: list[Missing]
    synthetic: bool
    data: str
    backbone: str


class Provenance(Record):
    """Where a run came from; `commit` is null where the code was not in a repository."""

    commit: str | None
    specification_hash: str
    data_sha256: str | None = None
    versions: dict[str, str] = {}


@dataclass(frozen=True)
class Run:
    """One run folder as read; `rounds` has one row a round and site (`ROUND_COLUMNS`)."""

    folder: Path
    summary: Summary
    provenance: Provenance
    rounds: pd.DataFrame


def read_run(folder: Path) -> Run:
    """The record in one run folder is read and checked.

    Raises:
        OutputError: a file is missing, cannot be read or lacks a field.
    """
    return Run(
        folder=folder,
        summary=_read_json(folder, SUMMARY, Summary),
        provenance=_read_json(folder, PROVENANCE, Provenance),
        rounds=_read_rounds(folder),
    )


RecordType = TypeVar("RecordType", bound=Record)


def _read_json(folder: Path, name: str, kind: type[RecordType]) -> RecordType:
    content: Any
    try:
        content = json.loads((folder / name).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise _unusable(folder, f"it has no {name}") from None
    except (OSError, ValueError) as error:
        raise _unusable(folder, f"{name} cannot be read ({_one_line(error)})") from error
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc']) or name}: {fault['msg']}"
            for fault in error.errors()
        )
        raise _unusable(folder, f"{name} is not a run's record ({faults})") from error


def _read_rounds(folder: Path) -> pd.DataFrame:
    try:
        rounds = pd.read_parquet(folder / ROUNDS)
    except FileNotFoundError:
        raise _unusable(folder, f"it has no {ROUNDS}") from None
    except (OSError, ValueError) as error:
        raise _unusable(folder, f"{ROUNDS} cannot be read ({_one_line(error)})") from error
    absent = [column for column in ROUND_COLUMNS if column not in rounds.columns]
    if absent:
        raise _unusable(folder, f"{ROUNDS} lacks the columns {', '.join(absent)}")
    return rounds


def _unusable(folder: Path, fault: str) -> OutputError:
    return OutputError(
        f"expected a whole run record in {folder}, but {fault}; "
        "run the job again to finish it, or move the folder away"
    )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())

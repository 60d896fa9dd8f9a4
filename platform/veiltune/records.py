"""What a run leaves behind, and how it is read again.

runs/<job>/<run id>/
    spec.yaml  provenance.json  rounds.parquet  summary.json  privacy_card.json|.md
    adapter/            the shared prompt, loadable by PEFT
    sites/<site>/       each site's own state, log and prompt
    server/             the combined payload of each round, and who was missing
    tracking/           what a tracked job's sites sent in clear, for TensorBoard or MLflow
"""

import fcntl
import json
import math
import os
import platform
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from veiltune.data.examples import Dataset
from veiltune.errors import FolderInUse, OutputError
from veiltune.federation.coordinator import OUTCOMES_FILE
from veiltune.federation.site import Measurements
from veiltune.federation.site_state import FINAL_FILE, read_rows

VERSIONS_OF = (
    "veiltune",
    "torch",
    "transformers",
    "nvflare",
    "peft",
    "numpy",
    "opacus",
    "tenseal",
)


class RunFolder:
    """The files of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.spec = path / "spec.yaml"
        self.provenance = path / "provenance.json"
        self.rounds = path / "rounds.parquet"
        self.summary = path / "summary.json"
        self.card = path / "privacy_card.json"
        self.card_text = path / "privacy_card.md"
        self.adapter = path / "adapter"
        self.server = path / "server"
        self.log = path / "engine.log"

    def site(self, name: str) -> Path:
        """The folder that belongs to one site."""
        return self.path / "sites" / name

    def status(self) -> str | None:
        """`complete`, `interrupted` or `failed`; None where nothing has been recorded."""
        return read_json(self.summary)["status"] if self.summary.exists() else None

    def outcomes(self) -> list[dict[str, Any]]:
        """One entry a closed round, as the coordinator wrote them; a repeated round counts last."""
        path = self.server / OUTCOMES_FILE
        lines = path.read_text().splitlines() if path.exists() else []
        entries = {entry["round"]: entry for entry in map(_parsed, lines) if entry}
        return [entries[index] for index in sorted(entries)]

    def write_rounds(self, sites: Sequence[str]) -> pd.DataFrame:
        """`rounds.parquet` from the sites' own logs, one row a site and round."""
        columns = [field.name for field in fields(Measurements)]
        rows = [row for site in sites for row in read_rows(self.site(site))]
        table = pd.DataFrame(rows, columns=columns).sort_values(["round", "site"])
        table = table.reset_index(drop=True)
        table.to_parquet(self.rounds)
        return table

    def finals(self, sites: Sequence[str]) -> dict[str, dict[str, Any]]:
        """What each site measured of the final adapter, where it finished."""
        paths = {site: self.site(site) / FINAL_FILE for site in sites}
        return {site: read_json(path) for site, path in paths.items() if path.exists()}


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds a run's folder for this process alone.

    Raises:
        OutputError: the folder cannot be written.
        FolderInUse: another process holds it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = (folder / ".lock").open("w")
    except OSError as error:
        raise OutputError(
            f"runs are written to {folder}, but it cannot be written ({error.strerror}); "
            f"set runtime.output to a folder of your own"
        ) from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FolderInUse(
                f"another process is working on {folder}; wait for it, or stop it first"
            ) from None
        yield


def provenance(code: Path, specification_hash: str, seed: int, data_sha256: str) -> dict[str, Any]:
    """What is needed to make the same run again years later."""
    return {
        "commit": commit_of(code),
        "versions": {name: version(name) for name in VERSIONS_OF},
        "python": platform.python_version(),
        "machine": {
            "system": platform.system(),
            "architecture": platform.machine(),
            "cores": os.cpu_count(),
        },
        "seed": seed,
        "specification_hash": specification_hash,
        "data_sha256": data_sha256,
    }


def dataset_sha256(dataset: Dataset) -> str:
    """SHA-256 over every split's texts, labels and groups, in order."""
    digest = sha256()
    for part in (dataset.train, dataset.validation, dataset.test):
        rows = [asdict(example) for example in part]
        digest.update(json.dumps(rows, sort_keys=True).encode())
    return digest.hexdigest()


def sources_sha256(folders: Sequence[Path]) -> str:
    """SHA-256 over the Python sources in `folders`: the version of the code that makes results."""
    digest = sha256()
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            digest.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file of a run.

    Raises:
        OutputError: it is missing or damaged.
    """
    try:
        value = json.loads(path.read_text())
        assert isinstance(value, dict)
    except (OSError, ValueError) as error:
        raise OutputError(
            f"expected a run's file {path}, which is missing or damaged; give the folder of a run"
        ) from error
    return value


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Replaces the file in one step; NaN is written as null."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(without_nan(value), indent=2) + "\n")
    os.replace(partial, path)


def without_nan(value: Any) -> Any:
    """The same value with null where a number is not finite, for JSON knows no such numbers."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _parsed(line: str) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None  # the line being written when the process was cut
    return value if isinstance(value, dict) else None


def commit_of(folder: Path) -> str | None:
    """The commit of the checkout the code runs from, marked if it was changed; None elsewhere."""
    command = ["git", "-C", str(folder), "describe", "--always", "--abbrev=40", "--dirty"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()

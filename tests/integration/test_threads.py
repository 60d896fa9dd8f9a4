"""A run's numbers come from its own `runtime.threads`, not from what the machine would use."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import yaml

MEASURED = ["round", "site", "global_loss", "local_loss", "train_loss"]


def measured(specification: Path, machine_threads: int) -> pd.DataFrame:
    """The losses of a run in a process whose libraries would take so many threads."""
    output = specification.parent / f"runs-{machine_threads}"
    threads = str(machine_threads)
    subprocess.run(
        [sys.executable, "-m", "veiltune_jobs", "run", str(specification)]
        + ["--set", f"runtime.output={output}"],
        env={**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads},
        check=True,
        capture_output=True,
    )
    (table,) = output.rglob("rounds.parquet")
    return pd.read_parquet(table)[MEASURED]


def test_sites_at_once_use_no_more_threads_than_they_may(tmp_path: Path, tiny_model: Path) -> None:
    """A new thread starts with OpenMP's number of threads, whatever was set in the first one."""
    specification = tmp_path / "job.yaml"
    job = {
        "data": {"train": 120, "validation": 60, "test": 6},
        "backbone": {"name": str(tiny_model)},
        "federation": {"rounds": 1},
        "runtime": {"engine": "inline", "threads": 1, "progress": False},
    }
    specification.write_text(yaml.safe_dump(job))
    pd.testing.assert_frame_equal(
        measured(specification, 1), measured(specification, 2), check_exact=True
    )

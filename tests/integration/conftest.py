"""A small job of three unequal sites, as a file."""

from pathlib import Path
from typing import Any

import pytest
import yaml


@pytest.fixture
def specification(tiny_model: Path, tmp_path: Path) -> Path:
    """A job of three unequal sites with few rows."""
    path = tmp_path / "job.yaml"
    job: dict[str, Any] = {
        "name": "small",
        "data": {
            "train": 60,
            "validation": 20,
            "test": 20,
            "partition": {"kind": "dirichlet", "alpha": 1.0},
        },
        "backbone": {"name": str(tiny_model), "device": "cpu"},
        "adapter": {"virtual_tokens": 4, "hidden_size": 16},
        "training": {"batch_size": 8},
        "federation": {"rounds": 3, "min_sites": 2, "round_timeout_s": 100},
        "runtime": {"output": str(tmp_path / "runs"), "progress": False},
    }
    path.write_text(yaml.safe_dump(job))
    return path

"""What must stay true of the repository itself: its source roots, its version, its size."""

import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml

from veiltune_jobs.job import load_job
from veiltune_jobs.sweep_spec import load_sweep_spec

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGES = [
    ROOT / package for package in PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
]
SPECIFICATIONS = sorted((ROOT / "jobs").rglob("*.y*ml"))
LARGEST_FILE_BYTES = 10_000_000


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.parent.name)
def test_a_source_root_holds_one_package_and_no_module(package: Path) -> None:
    """A `platform/__init__.py` would hide Python's own `platform`, which torch imports."""
    source_root = package.parent
    assert (package / "__init__.py").is_file()
    assert (package / "py.typed").is_file()
    assert [path.name for path in source_root.glob("*.py")] == []


def test_the_standard_platform_module_is_not_hidden() -> None:
    """`python -c` puts the folder it starts in first on the path, as `python -m` does."""
    code = "import platform; print(platform.python_version())"
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr


def test_one_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == PROJECT["project"]["version"] == version("veiltune")


def test_specifications_are_shipped() -> None:
    """Guards the test below, which would pass if it found none."""
    assert len(SPECIFICATIONS) > 0


@pytest.mark.parametrize("path", SPECIFICATIONS, ids=lambda path: path.name)
def test_a_shipped_specification_loads(path: Path) -> None:
    """A sweep names the job it varies; its small version must load too."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    if "job" in content:
        assert load_sweep_spec(path, seeds=[1]).points
        assert "small" not in content or load_sweep_spec(path, small=True).points
    else:
        load_job(path)


def test_no_large_file_is_tracked() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("needs a git checkout to know which files are tracked")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    tracked = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    assert tracked
    sizes = {path: path.stat().st_size for path in tracked if path.exists()}
    assert [path for path, size in sizes.items() if size > LARGEST_FILE_BYTES] == []


def test_imports_run_one_way() -> None:
    """`make check` enforces the contract; this holds that there is one, and over every package."""
    settings = PROJECT["tool"]["importlinter"]
    names = {package.name for package in PACKAGES}
    layers = [
        {name.strip() for name in layer.split(":")}
        for contract in settings["contracts"]
        if contract["type"] == "layers"
        for layer in contract["layers"]
    ]
    assert set(settings["root_packages"]) == names
    assert layers == [
        {"veiltune_jobs"},
        {"veiltune_privacy", "veiltune_analysis"},
        {"veiltune"},
    ]

from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from veiltune.errors import OutputError
from veiltune_analysis.drawing import spread
from veiltune_analysis.figures import reference_panels, stamp_of
from veiltune_analysis.tables import Tables, load_tables

MakeRun = Callable[..., Path]


@pytest.fixture
def experiment(make_run: MakeRun, tmp_path: Path) -> Tables:
    """Two seeds of every arm; the wide spread of one arm takes its band below zero."""
    for seed in (1, 2):
        make_run(f"f{seed}", [4.0, 2.0 + 0.1 * seed, 1.0], seed=seed)
        make_run(f"c{seed}", [4.0, 2.0 * seed, 0.9], arm="centralised", seed=seed, sites=["c"])
        make_run(
            f"a{seed}", [4.0, 3.0, 2.0], arm="alone", alone_site="site-1", seed=seed, sites=["s"]
        )
    return load_tables(tmp_path)


def test_the_panels_stand_with_their_numbers(experiment: Tables, tmp_path: Path) -> None:
    settings = dict(mpl.rcParams)
    pair = [("skewed", experiment.rounds), ("uniform", experiment.rounds)]
    files = reference_panels(pair, tmp_path / "new" / "folder", stamp_of(experiment.runs))
    assert files.png.read_bytes().startswith(b"\x89PNG")
    assert files.pdf.read_bytes().startswith(b"%PDF")
    assert b"CreationDate" not in files.pdf.read_bytes()
    numbers = pd.read_csv(files.csv)
    assert len(numbers) == 2 * 3 * 3
    assert set(numbers["partition"]) == {"skewed", "uniform"}
    assert (numbers["low"] < 0).any(), "the CSV keeps an edge that a log axis cannot show"
    assert dict(mpl.rcParams) == settings


def test_the_same_records_give_the_same_bytes(experiment: Tables, tmp_path: Path) -> None:
    first, second = (
        reference_panels([("x", experiment.rounds)], tmp_path / name, stamp_of(experiment.runs))
        for name in ("1", "2")
    )
    assert first.pdf.read_bytes() == second.pdf.read_bytes()
    assert first.png.read_bytes() == second.png.read_bytes()


@pytest.mark.parametrize("arm", ["federated", "centralised", "alone"])
def test_any_subset_of_arms_is_drawn(experiment: Tables, tmp_path: Path, arm: str) -> None:
    one = experiment.rounds[experiment.rounds["arm"] == arm]
    assert reference_panels([("x", one)], tmp_path, stamp_of(experiment.runs)).png.exists()


def test_a_folder_that_cannot_be_made_is_named(experiment: Tables, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="expected to write figures to .*file"):
        reference_panels([("x", experiment.rounds)], tmp_path / "file", stamp_of(experiment.runs))


def test_the_stamp_says_where_the_figure_came_from(experiment: Tables) -> None:
    stamp = stamp_of(experiment.runs)
    assert stamp.seeds == (1, 2)
    text = stamp.text()
    assert "fabricated texts (synthetic; SHA-256 not recorded)" in text
    assert f"Commit {'c' * 12}, specification digest" in text
    assert "of 6" in text
    assert "Only 2 seeds" in text


def test_the_stamp_owns_up_to_changed_files(experiment: Tables) -> None:
    changed = experiment.runs.assign(commit="d" * 40 + "-dirty")
    assert stamp_of(changed).commit == "d" * 12 + " (changed)"
    assert stamp_of(changed.assign(commit=None)).commit == "unknown"


@given(st.lists(st.floats(0, 1), max_size=9), st.floats(0.01, 0.3))
def test_names_of_lines_keep_their_order_and_distance(heights: list[float], gap: float) -> None:
    places = spread(heights, gap)
    order = np.argsort(heights, kind="stable")
    steps = np.diff(np.asarray(places)[order])
    room = min(gap, 1 / max(1, len(heights) - 1))
    assert (steps >= room - 1e-9).all()
    assert all(-1e-9 <= place <= 1 + 1e-9 for place in places)


def test_names_with_room_stay_where_their_lines_end() -> None:
    assert spread([0.9, 0.1, 0.5], 0.1) == pytest.approx([0.9, 0.1, 0.5])
    assert spread([0.5, 0.5], 0.1) == pytest.approx([0.45, 0.55])

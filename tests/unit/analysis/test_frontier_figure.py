"""The frontier's figure and tables, from a fabricated sweep."""

import json
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from zlib import crc32

import pandas as pd
import pytest

from veiltune.errors import OutputError
from veiltune_analysis.figures import BOOK
from veiltune_analysis.tables import SweepRecord, load_sweep

MakeRun = Callable[..., Path]
EPSILON, SPACE = "privacy.example_level.epsilon", "privacy.example_level.space"
ENCODER = "adapter.encoder"
AXES = {EPSILON: [1, 2, 4, 8, None], SPACE: ["output", "encoder"], ENCODER: ["mlp", "lstm"]}


def fabricated(make_run: MakeRun, seeds: Sequence[int], diverged: str = "") -> SweepRecord:
    """Without privacy both spaces are one run."""
    runs: dict[str, float | None] = {}
    points = []
    for epsilon, space, encoder, seed in product(*AXES.values(), seeds):
        name = f"{encoder}-{f'{space}-{epsilon}' if epsilon else 'none'}-{seed}"
        scale = 0.4 if space == "output" else 0.2
        loss = (
            0.3 + (crc32(name.encode()) % 1000) / 2e4 + (scale / float(epsilon) if epsilon else 0)
        )
        runs[name] = None if name == diverged else loss
        labels = {EPSILON: epsilon, SPACE: space, ENCODER: encoder}
        points.append({"run": name, "seed": seed, "labels": labels})
    folder = Path()
    for name, loss in runs.items():
        seed = int(name.rpartition("-")[2])
        accuracy = None if loss is None else 1 - loss / 2
        folder = make_run(
            name, [4.0, loss or 4.0], seed=seed, val_loss=loss, val_accuracy=accuracy
        ).parent
    manifest = {"name": "frontier", "figure": "frontier", "small": False, "axes": AXES}
    (folder / "sweep.json").write_text(
        json.dumps(manifest | {"seeds": list(seeds), "points": points})
    )
    return load_sweep(folder)


def test_the_figure_stands_with_all_its_tables(make_run: MakeRun, tmp_path: Path) -> None:
    record = fabricated(make_run, seeds=[1, 2, 3])
    written = BOOK["frontier"](record, tmp_path / "new")
    names = {path.name for path in written}
    assert names == {
        "frontier.png", "frontier.pdf", "frontier.csv", "frontier.md", "frontier-price.csv",
        "frontier-findings.csv", "frontier-equal-epsilon.csv", "frontier-price-by-site.csv",
    }  # fmt: skip
    assert all(path.stat().st_size for path in written)
    drawn = pd.read_csv(tmp_path / "new" / "frontier.csv")
    assert set(drawn["panel"]) == {"mlp prompt encoder", "lstm prompt encoder"}
    assert set(drawn["line"]) == {"output space", "encoder space"}
    assert len(drawn) == 2 * 4 * 5  # measures, arms, epsilons and none
    equal = pd.read_csv(tmp_path / "new" / "frontier-equal-epsilon.csv")
    assert equal.groupby("measure").size().tolist() == [4 * 6 + 1] * 2  # and the encoders without
    page = (tmp_path / "new" / "frontier.md").read_text()
    assert "Only 3 seeds" in page and "a knee needs at least 5 seeds, there are 3" in page
    assert "## Validation accuracy" in page and "## Test loss" not in page
    assert "p corrected for 25 comparisons (Holm)" in page


def test_a_diverged_run_is_left_as_a_gap_and_said(make_run: MakeRun, tmp_path: Path) -> None:
    record = fabricated(make_run, seeds=[1, 2], diverged="mlp-output-2-1")
    BOOK["frontier"](record, tmp_path)
    drawn = pd.read_csv(tmp_path / "frontier.csv")
    own = drawn[(drawn["panel"] == "mlp prompt encoder") & (drawn["line"] == "output space")]
    assert own["fitted"].isna().all()
    assert own.loc[own["epsilon"] == 2.0, "mean"].isna().all()
    assert own.loc[own["epsilon"] == 4.0, "mean"].notna().all()
    assert (
        "a run diverged or was not measured at epsilon 2" in (tmp_path / "frontier.md").read_text()
    )


def test_a_sweep_without_epsilons_is_refused(make_run: MakeRun, tmp_path: Path) -> None:
    folder = make_run("r", [4.0, 1.0]).parent
    points = [{"run": "r", "seed": 1, "labels": {"bits": 8}}]
    (folder / "sweep.json").write_text(
        json.dumps(
            {
                "name": "b",
                "figure": None,
                "small": False,
                "seeds": [1],
                "axes": {"bits": [8]},
                "points": points,
            }
        )
    )
    with pytest.raises(OutputError, match="a frontier needs that axis"):
        BOOK["frontier"](load_sweep(folder), tmp_path)

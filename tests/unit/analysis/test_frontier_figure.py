"""The frontier of two encoders and two spaces that share their runs without privacy."""

import json
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from zlib import crc32

import pandas as pd

from veiltune_analysis.figures import BOOK
from veiltune_analysis.tables import SweepRecord, load_sweep

MakeRun = Callable[..., Path]
EPSILON, SPACE = "privacy.example_level.epsilon", "privacy.example_level.space"
ENCODER = "adapter.encoder"
AXES = {EPSILON: [1, 8, None], SPACE: ["output", "encoder"], ENCODER: ["mlp", "lstm"]}


def fabricated(make_run: MakeRun, seeds: Sequence[int]) -> SweepRecord:
    runs: dict[str, float] = {}
    points = []
    for epsilon, space, encoder, seed in product(*AXES.values(), seeds):
        name = f"{encoder}-{f'{space}-{epsilon}' if epsilon else 'none'}-{seed}"
        scale = 0.4 if space == "output" else 0.2
        loss = (
            0.3 + (crc32(name.encode()) % 1000) / 2e4 + (scale / float(epsilon) if epsilon else 0)
        )
        runs[name] = loss
        labels = {EPSILON: epsilon, SPACE: space, ENCODER: encoder}
        points.append({"run": name, "seed": seed, "labels": labels})
    folder = Path()
    for name, loss in runs.items():
        seed = int(name.rpartition("-")[2])
        folder = make_run(name, [4.0, loss], seed=seed, val_accuracy=1 - loss / 2).parent
    manifest = {"name": "frontier", "figure": "frontier", "small": False, "axes": AXES}
    (folder / "sweep.json").write_text(
        json.dumps(manifest | {"seeds": list(seeds), "points": points})
    )
    return load_sweep(folder)


def test_a_panel_an_encoder_and_no_run_compared_with_itself(
    make_run: MakeRun, tmp_path: Path
) -> None:
    BOOK["frontier"](fabricated(make_run, seeds=[1, 2, 3]), tmp_path)
    drawn = pd.read_csv(tmp_path / "frontier.csv")
    assert set(drawn["panel"]) == {"mlp prompt encoder", "lstm prompt encoder"}
    assert set(drawn["line"]) == {"output space", "encoder space"}
    assert len(drawn) == 2 * 4 * 3  # measures, arms, epsilons and none
    equal = pd.read_csv(tmp_path / "frontier-equal-epsilon.csv")
    private, without = 2 * 4, 1  # pairs that differ on one axis; without privacy the two encoders
    assert equal.groupby("measure").size().tolist() == [private + without] * 2
    page = (tmp_path / "frontier.md").read_text()
    assert "## Validation accuracy" in page and "## Test loss" not in page
    assert "p corrected for 9 comparisons (Holm)" in page

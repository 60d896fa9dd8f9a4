"""The book's figures, from fabricated sweeps."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from veiltune.errors import OutputError
from veiltune_analysis.figures import BOOK, accountants, encryption_cost, load_costs, stamp_of_sweep
from veiltune_analysis.figures.encryption_cost import RECORD
from veiltune_analysis.figures.swept import Column, Layout, swept_numbers
from veiltune_analysis.tables import load_sweep

MakeRun = Callable[..., Path]
Case = tuple[Mapping[str, Any], int, float, Mapping[str, Any]]
"""Labels, a seed, the final loss, and what the summary says besides."""
CLIP, EPSILON = "privacy.example_level.clip_norm", "privacy.example_level.epsilon"
SPACE, ALPHA = "privacy.example_level.space", "data.partition.alpha"


def sweep_of(make_run: MakeRun, figure: str, cases: Sequence[Case]) -> Path:
    points, axes = [], dict[str, list[Any]]()
    folder = Path()
    for number, (labels, seed, loss, summary) in enumerate(cases):
        folder = make_run(f"r{number}", [4.0, loss], seed=seed, **summary).parent
        points.append({"run": f"r{number}", "seed": seed, "labels": dict(labels)})
        for axis, label in labels.items():
            axes.setdefault(axis, [])
            axes[axis] += [] if label in axes[axis] else [label]
    manifest = {"name": f"{figure}-small", "figure": figure, "small": True, "axes": axes}
    seeds = sorted({seed for _, seed, _, _ in cases})
    written = manifest | {"seeds": seeds, "points": points}
    (folder / "sweep.json").write_text(json.dumps(written))
    return folder


def clipping(make_run: MakeRun) -> Path:
    cases: list[Case] = [
        ({CLIP: clip, EPSILON: epsilon, SPACE: space}, seed, clip + seed, {"seeded_noise": True})
        for clip in (0.1, 1.0)
        for epsilon in (1, 8)
        for space in ("output", "encoder")
        for seed in (1, 2)
    ]
    return sweep_of(make_run, "clip-and-noise", cases)


def test_a_sweep_stands_with_its_numbers_and_its_stamp(make_run: MakeRun, tmp_path: Path) -> None:
    record = load_sweep(clipping(make_run))
    png, pdf, csv = BOOK["clip-and-noise"](record, tmp_path / "new")
    assert png.read_bytes().startswith(b"\x89PNG") and pdf.read_bytes().startswith(b"%PDF")
    numbers = pd.read_csv(csv)
    assert len(numbers) == 2 * 2 * 2 and set(numbers["seeds"]) == {2}
    own = numbers[(numbers["x"] == 0.1) & (numbers["line"] == "epsilon 8")]
    assert list(own["mean"]) == pytest.approx([1.6, 1.6])  # of 0.1 + 1 and 0.1 + 2
    text = stamp_of_sweep(record).text()
    assert text.startswith("SMALL VERSION")
    assert "Noise is seeded" in text and "Only 2 seeds" in text and "16 runs" in text


def test_an_axis_that_lacks_names_what_is_there(make_run: MakeRun, tmp_path: Path) -> None:
    record = load_sweep(clipping(make_run))
    with pytest.raises(OutputError, match=r"expected a sweep with bits .* has the axes privacy"):
        BOOK["bits"](record, tmp_path)
    with pytest.raises(OutputError, match="axes split and arms"):
        BOOK["reference-panels"](record, tmp_path)


def test_sites_alone_count_as_one_number_a_seed_if_all_are_there(make_run: MakeRun) -> None:
    cases: list[Case] = [
        ({ALPHA: 1.0, "arms": site}, seed, loss, {"arm": "alone", "alone_site": site})
        for site, seed, loss in (("a", 1, 1.0), ("b", 1, 3.0), ("a", 2, 9.0))
    ]
    record = load_sweep(sweep_of(make_run, "skew", cases))
    layout = Layout(Column(ALPHA), "alpha", Column("arm"))
    (row,) = swept_numbers(record, layout).to_dict("records")
    assert row["mean"] == 2.0 and row["seeds"] == 1


def test_a_seed_that_diverged_leaves_a_gap(make_run: MakeRun, tmp_path: Path) -> None:
    cases: list[Case] = [
        ({"bits": bits}, seed, 1.0, {"val_loss": loss})
        for bits, seed, loss in (("8", 1, 1.0), ("8", 2, None), ("16", 1, 1.0), ("16", 2, 2.0))
    ]
    record = load_sweep(sweep_of(make_run, "bits", cases))
    layout = Layout(Column("bits"), "bits", Column("arm"), by_name=True)
    numbers = swept_numbers(record, layout).set_index("x")["mean"]
    assert pd.isna(numbers["8"]) and numbers["16"] == 1.5


def test_a_key_that_no_run_sets_is_one_line(make_run: MakeRun) -> None:
    """All runs of a sweep may be without privacy, which is then no axis."""
    cases: list[Case] = [({"bits": "8"}, seed, 1.0, {}) for seed in (1, 2)]
    folder = sweep_of(make_run, "bits", cases)
    for run in ("r0", "r1"):
        (folder / run / "spec.yaml").write_text("privacy: {example_level: {epsilon: null}}\n")
    layout = Layout(Column("bits"), "bits", Column(EPSILON, none="no privacy"), by_name=True)
    assert list(swept_numbers(load_sweep(folder), layout)["line"]) == ["no privacy"]


def test_no_complete_run_is_said(make_run: MakeRun, tmp_path: Path) -> None:
    folder = sweep_of(make_run, "bits", [({"bits": "8"}, 1, 1.0, {"status": "interrupted"})])
    with pytest.raises(OutputError, match="at least one complete run"):
        BOOK["bits"](load_sweep(folder), tmp_path)


def test_the_reference_takes_its_arms_from_the_sweep(make_run: MakeRun, tmp_path: Path) -> None:
    arms = {"federated": "federated", "centralised": "centralised"}
    arms |= {"centralised (equal steps)": "centralised", "site-1 alone": "alone"}
    cases: list[Case] = [
        (
            {"split": "uniform", "arms": label},
            seed,
            place + 1.0,
            {"arm": arm, "alone_site": "site-1" if arm == "alone" else None},
        )
        for place, (label, arm) in enumerate(arms.items())
        for seed in (1, 2)
    ]
    folder = sweep_of(make_run, "reference-panels", cases)
    files = BOOK["reference-panels"](load_sweep(folder), tmp_path / "f")
    assert {path.suffix for path in files} == {".png", ".pdf", ".csv", ".md"}
    table = pd.read_csv(tmp_path / "f" / "reference-panels-small-results.csv").set_index("arm")
    assert table.loc["centralised (equal steps)", "val_loss"] == 3.0
    assert table.loc["centralised", "seeds"] == 2


def test_encryption_is_drawn_and_a_damaged_record_is_named(tmp_path: Path) -> None:
    rows = [
        {
            "exchange": exchange,
            "sites": 3,
            "params": params,
            "up_bytes": 2.0 * params,
            "down_bytes": 4.0 * params,
            "encrypt_s": 0.1,
            "server_s": 0.2,
            "decrypt_s": 0.3,
        }
        for exchange in ("ckks 16 bits", "nvflare")
        for params in (3_000, 10_000)
    ]
    written = {"rows": rows, "small": False, "commit": None, "repeats": 1, "machine": "2 cores"}
    (tmp_path / RECORD).write_text(json.dumps(written))
    png, _, csv = encryption_cost(load_costs(tmp_path), tmp_path / "out")
    assert png.name == "encryption-cost.png"
    assert list(pd.read_csv(csv)["site_s"]) == pytest.approx([0.4] * 4)
    (tmp_path / RECORD).write_text(json.dumps(written | {"rows": [{}]}))
    with pytest.raises(OutputError, match="delete it and measure again"):
        load_costs(tmp_path)


@pytest.mark.parametrize("targets", [1, 2, 5])
def test_the_accountants_have_a_panel_a_budget(
    targets: int, make_run: MakeRun, tmp_path: Path
) -> None:
    stamp = stamp_of_sweep(load_sweep(clipping(make_run)))
    spent = pd.DataFrame(
        [
            {"target": float(t), "round": r, "accountant": a, "epsilon": t * r / 3}
            for t in range(1, targets + 1)
            for r in (1, 2, 3)
            for a in ("prv", "rdp")
        ]
    )
    _, _, csv = accountants(spent, stamp, tmp_path, "accountants")
    assert len(pd.read_csv(csv)) == 6 * targets

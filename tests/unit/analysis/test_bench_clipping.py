"""The clipping bench runs, its rows are whole and its errors are real. No time is asserted here."""

import json

import pytest
import torch
from typer.testing import CliRunner

from veiltune.adapter import encoder_parameters
from veiltune.adapter.prompt_encoder import EncoderKind
from veiltune.backbone import HuggingFaceModel
from veiltune_analysis.bench import private_steps
from veiltune_analysis.bench.clipping import ClippingPlan, Measure, bench_clipping
from veiltune_analysis.bench.private_steps import Bench
from veiltune_analysis.bench.step import StepShape, random_network
from veiltune_jobs.bench_cli import bench_app
from veiltune_privacy.dp.shared_activations import Site

KEYS = {
    "encoder",
    "params",
    "batch",
    "space",
    "step_ratio",
    "memory_ratio",
    "opacus_ratio",
    "norm_rel_err",
}
# What is asked for.
NORM_TOLERANCE, SUM_TOLERANCE = 1e-5, 1e-6


def silent(line: str) -> None:
    pass


def test_rows_are_whole_and_norms_are_those_of_single_examples() -> None:
    rows = bench_clipping(ClippingPlan.quick(), silent)["rows"]
    found = {(row["encoder"], row["space"], row["noise"]) for row in rows}
    both = {(space, noise) for space in ("encoder",) for noise in ("system", "seeded")}
    both |= {("output", "system")}
    assert found == {(kind, *one) for kind in ("mlp", "lstm") for one in both} | {
        ("mlp3", "output", "system")
    }
    for row in rows:
        assert row.keys() >= KEYS
        assert row["step_ratio"] > 0
        assert 0 <= row["norm_rel_err"] < NORM_TOLERANCE
        assert 0 <= row["sum_err"] < SUM_TOLERANCE
        assert (row["opacus_ratio"] is not None) == (row["encoder"] != "mlp3")
        assert (row["memory_ratio"] is not None) == (row["encoder"] == "mlp3")


def test_wrong_norms_would_show(monkeypatch: pytest.MonkeyPatch) -> None:
    right = private_steps.example_norms

    def wrong(sites: list[Site]) -> torch.Tensor:
        return right(sites[1:])

    monkeypatch.setattr(private_steps, "example_norms", wrong)
    plan = ClippingPlan(shape=StepShape.small(), measures=(Measure("mlp", 4000, 4),), repeats=1)
    rows = bench_clipping(plan, silent)["rows"]
    errors = {row["space"]: row["norm_rel_err"] for row in rows}
    assert errors["encoder"] > 1e-3 and errors["output"] < NORM_TOLERANCE


@pytest.mark.parametrize("params", [100_000, 2_000_000, 50_000_000])
def test_encoders_are_as_large_as_they_say(params: int) -> None:
    kinds: list[EncoderKind] = ["mlp", "mlp3", "lstm"]
    tiny = HuggingFaceModel(random_network(StepShape.small()), None, "", torch.device("cpu"))
    for kind in kinds:
        bench = Bench(StepShape(width=256), tiny, kind, params, 8)
        assert encoder_parameters(bench.adapter(), 256) == pytest.approx(params, rel=0.03)


def test_json_is_the_only_line_on_standard_output(monkeypatch: pytest.MonkeyPatch) -> None:
    few = ClippingPlan(shape=StepShape.small(), measures=(Measure("mlp", 4000, 4),), repeats=1)
    monkeypatch.setattr(ClippingPlan, "quick", lambda: few)
    result = CliRunner().invoke(bench_app, ["clipping", "--quick", "--json"])
    assert result.exit_code == 0
    (line,) = result.stdout.splitlines()
    assert len(json.loads(line)["rows"]) == 3
    table = CliRunner().invoke(bench_app, ["clipping", "--quick"]).stdout.splitlines()
    assert set(table[0].split()) >= KEYS

"""The two steps that are timed are the same step. No time is asserted here."""

import json

import pytest
import torch
from typer.testing import CliRunner

from veiltune_analysis.bench.step import PairOfSteps, StepShape, bench_step, max_relative_error
from veiltune_jobs.bench_cli import bench_app

KEYS = {"ratio_to_peft", "gradient_max_rel_err"}
# What is asked for; rounding of float32 gives about 1e-6.
GRADIENT_TOLERANCE = 1e-5


def test_both_steps_have_the_same_loss_and_gradient() -> None:
    figures = bench_step(StepShape.small(), repeats=1)
    assert KEYS <= figures.keys()
    assert 0 < figures["gradient_max_rel_err"] < GRADIENT_TOLERANCE
    assert figures["loss"] == pytest.approx(figures["loss_peft"], rel=1e-6)
    assert figures["ratio_to_peft"] == figures["cpu_seconds"] / figures["cpu_seconds_peft"]


def test_both_steps_stay_together_while_they_train() -> None:
    pair = PairOfSteps(StepShape.small())
    ours, theirs = [pair.ours() for _ in range(5)], [pair.peft() for _ in range(5)]
    assert ours == pytest.approx(theirs, rel=1e-4)
    assert ours[-1] < ours[0]


def test_a_wrong_gradient_would_show() -> None:
    right = torch.tensor([1.0, -4.0])
    assert max_relative_error([(right, right), (right + torch.tensor([0.0, 2.0]), right)]) == 0.5


def test_json_is_the_only_line_on_standard_output() -> None:
    result = CliRunner().invoke(bench_app, ["step", "--small", "--repeats", "1", "--json"])
    assert result.exit_code == 0
    (line,) = result.stdout.splitlines()
    assert KEYS <= json.loads(line).keys()


def test_the_table_has_a_line_a_figure() -> None:
    result = CliRunner().invoke(bench_app, ["step", "--small", "--repeats", "1"])
    assert {line.split()[0] for line in result.stdout.splitlines()} >= KEYS

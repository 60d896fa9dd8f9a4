"""What a sweep's file means, and every way in which it can be wrong, told before anything runs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from veiltune.errors import SpecificationError
from veiltune_jobs.sweep_spec import load_sweep_spec

JOB = {
    "name": "job",
    "data": {"train": 90, "validation": 6, "test": 6},
    "training": {"batch_size": 10, "learning_rate": 0.01},
}
Write = Callable[..., Path]
EPSILON = "privacy.example_level.epsilon"
SPACE = "privacy.example_level.space"


@pytest.fixture
def written(tmp_path: Path) -> Write:
    def write(**changes: Any) -> Path:
        (tmp_path / "job.yaml").write_text(yaml.safe_dump(JOB))
        sweep = {"name": "grid", "job": "job.yaml", "seeds": [1, 2]} | changes
        path = tmp_path / "sweep.yaml"
        path.write_text(yaml.safe_dump(sweep, sort_keys=False))
        return path

    return write


def refused(path: Path, **options: Any) -> str:
    with pytest.raises(SpecificationError) as caught:
        load_sweep_spec(path, **options)
    return str(caught.value)


def test_every_combination_comes_once_with_every_seed(written: Write) -> None:
    plan = load_sweep_spec(written(axes={EPSILON: [1, None], "adapter.encoder": ["mlp", "lstm"]}))
    assert [(p.labels[EPSILON], p.labels["adapter.encoder"], p.seed) for p in plan.points] == [
        (epsilon, encoder, seed)
        for epsilon in (1, None)
        for encoder in ("mlp", "lstm")
        for seed in (1, 2)
    ]
    for point in plan.points:
        assert point.spec.seed == point.seed and point.spec.name == "grid"
        assert point.spec.privacy.example_level.epsilon == point.labels[EPSILON]
        assert point.spec.adapter.encoder == point.labels["adapter.encoder"]
    assert plan.axes == {EPSILON: (1, None), "adapter.encoder": ("mlp", "lstm")}


def test_without_axes_a_sweep_is_its_seeds(written: Write) -> None:
    assert [p.labels for p in load_sweep_spec(written()).points] == [{}, {}]


def test_a_named_axis_sets_several_keys_together(written: Write) -> None:
    splits = {
        "uniform": {"data.partition": {"kind": "uniform", "sites": 2}},
        "three": {"data.partition.sites": 3, "training.batch_size": 4},
    }
    first, second = load_sweep_spec(written(seeds=[1], axes={"split": splits})).points
    assert first.labels == {"split": "uniform"} and first.spec.data.partition.kind == "uniform"
    assert first.spec.training.batch_size == 10
    assert second.spec.data.partition.sites == 3 and second.spec.training.batch_size == 4


def test_later_settings_win(written: Write) -> None:
    path = written(
        seeds=[1],
        set={"training.learning_rate": 0.02, "training.batch_size": 20},
        axes={"training.batch_size": [30, 40]},
        adjust=[{"where": {"training.batch_size": 40}, "set": {"training.batch_size": 41}}],
    )
    plan = load_sweep_spec(path, ["training.learning_rate=0.5"])
    assert [p.spec.training.batch_size for p in plan.points] == [30, 41]
    assert {p.spec.training.learning_rate for p in plan.points} == {0.5}
    assert [p.labels["training.batch_size"] for p in plan.points] == [30, 40]


def test_an_adjustment_holds_where_all_its_labels_are(written: Write) -> None:
    path = written(
        seeds=[1],
        axes={EPSILON: [1, None], SPACE: ["output", "encoder"]},
        adjust=[
            {"where": {EPSILON: None}, "set": {SPACE: "output"}},
            {"where": {EPSILON: 1.0, SPACE: "encoder"}, "set": {"training.learning_rate": 0.5}},
        ],
    )
    found = [
        (p.spec.privacy.example_level.space, p.spec.training.learning_rate)
        for p in load_sweep_spec(path).points
    ]
    assert found == [("output", 0.01), ("encoder", 0.5), ("output", 0.01), ("output", 0.01)]


def test_sections_set_by_two_points_are_not_shared(written: Write) -> None:
    partition = {"kind": "uniform", "sites": 2}
    path = written(
        seeds=[1],
        set={"data.partition": partition},
        axes={"data.partition.sites": [2, 3]},
    )
    assert [p.spec.data.partition.sites for p in load_sweep_spec(path).points] == [2, 3]


def test_the_small_version_has_a_name_of_its_own(written: Write) -> None:
    path = written(
        axes={EPSILON: [1, 2, None]},
        adjust=[{"where": {EPSILON: 2}, "set": {"training.learning_rate": 0.5}}],
        small={"seeds": [7], "set": {"data.train": 30}, "axes": {EPSILON: [1, 8]}},
    )
    plan = load_sweep_spec(path, small=True)
    assert plan.name == "grid-small" and plan.small and plan.seeds == (7,)
    assert [p.labels for p in plan.points] == [{EPSILON: 1}, {EPSILON: 8}]
    assert {p.spec.data.train for p in plan.points} == {30}
    assert not load_sweep_spec(path).small
    assert load_sweep_spec(path, seeds=[9]).seeds == (9,)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"axes": {"training.learning_rat": [1]}}, "did you mean training.learning_rate?"),
        ({"axes": {"nonsense": [1]}}, "nonsense is not a key of a job"),
        ({"axes": {EPSILON: []}}, "must hold at least one value, got none"),
        ({"axes": {"split": {}}}, "axes.split must hold at least one value"),
        ({"axes": {EPSILON: [1, 1.0]}}, "must hold different values, got 1.0 twice"),
        ({"axes": {"seed": [1, 2]}}, "cannot vary seed"),
        ({"axes": {"runtime.threads": [1, 2]}}, "cannot vary runtime.threads"),
        ({"axes": {"arm": {"a": {"training.batch_size": 4}}}}, "needs a name of its own"),
        ({"axes": {"data": {"a": {"training.batch_size": 4}}}}, "needs a name of its own"),
        ({"axes": {"val_loss": {"a": {"training.batch_size": 4}}}}, "needs a name of its own"),
        ({"axes": {EPSILON: {"a": {"training.batch_size": 4}}}}, "needs a name of its own"),
        ({"axes": {"split": {"a": {"training.batch": 4}}}}, "training.batch is not a key"),
        ({"set": {"training.batchsize": 4}}, "did you mean training.batch_size?"),
        ({"adjust": [{"where": {EPSILON: 1}, "set": {EPSILON: 2}}]}, "is not an axis"),
        (
            {"axes": {EPSILON: [1]}, "adjust": [{"where": {EPSILON: 3}, "set": {SPACE: "output"}}]},
            "has no value 3; name one of 1",
        ),
        ({"seeds": [1, 1]}, "seeds must differ, got 1 twice"),
        ({"seeds": []}, "seeds must hold at least 1 values"),
        ({"name": "a/b"}, "name must match"),
        ({"small": {"axes": {"typo.key": [1]}}}, None),
    ],
)
def test_what_is_wrong_is_said(
    changes: dict[str, Any], sentence: str | None, written: Write
) -> None:
    path = written(**changes)
    said = refused(path, small=sentence is None)
    assert (sentence or "typo.key is not a key of a job") in said


def test_every_combination_that_is_no_job_is_listed(written: Write) -> None:
    path = written(axes={"training.batch_size": [0, 10, -1], "data.partition.sites": [2, 3]})
    said = refused(path)
    assert "4 of 6 combinations are not jobs, and nothing was run" in said
    for size in (0, -1):
        for sites in (2, 3):
            assert f"training.batch_size={size}, data.partition.sites={sites}: " in said


def test_many_faults_are_cut_off_and_counted(written: Write) -> None:
    said = refused(written(axes={"training.batch_size": list(range(-29, 1))}))
    assert "30 of 30" in said and "and 10 more" in said


def test_a_fault_of_the_job_itself_is_said_once(written: Write) -> None:
    path = written(axes={EPSILON: [1, 2, 4]})
    (path.parent / "job.yaml").write_text(yaml.safe_dump(JOB | {"typo": 1}))
    assert refused(path).count("typo") == 1


def test_an_override_that_the_sweep_would_undo_is_refused(written: Write) -> None:
    path = written(
        axes={EPSILON: [1], "split": {"a": {"data.train": 30}}},
        adjust=[{"where": {EPSILON: 1}, "set": {"training.learning_rate": 0.5}}],
    )
    for key in (EPSILON, "data.train", "training.learning_rate"):
        assert f"--set {key} has no effect" in refused(path, overrides=[f"{key}=1"])


def test_a_sweep_without_a_small_version_says_so(written: Write) -> None:
    assert "has no small version" in refused(written(), small=True)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rates=st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.4]), min_size=1, unique=True),
    sizes=st.lists(st.integers(1, 60), min_size=1, max_size=4, unique=True),
    seeds=st.lists(st.integers(0, 99), min_size=1, max_size=3, unique=True),
)
def test_points_are_the_product_of_axes_and_seeds(
    rates: list[float], sizes: list[int], seeds: list[int], written: Write
) -> None:
    axes = {"training.learning_rate": rates, "training.batch_size": sizes}
    points = load_sweep_spec(written(axes=axes, seeds=seeds)).points
    found = {(p.spec.training.learning_rate, p.spec.training.batch_size, p.seed) for p in points}
    assert found == {(rate, size, seed) for rate in rates for size in sizes for seed in seeds}
    assert len(points) == len(found)

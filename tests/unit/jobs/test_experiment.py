"""The runs of an experiment: which there are, and that arms of a seed differ in one thing only."""

from pathlib import Path

import pytest
import yaml

from veiltune.errors import SpecificationError
from veiltune_jobs.experiment import Arm, arms_of, load_experiment
from veiltune_jobs.figures import parse_seeds

EXPERIMENT = {
    "name": "panels",
    "job": "job.yaml",
    "seeds": [1, 2],
    "splits": [
        {"title": "skewed", "partition": {"kind": "dirichlet", "seed": None}},
        {"title": "sector", "partition": {"kind": "column"}},
    ],
}
JOB = {"data": {"train": 90, "validation": 6, "test": 6}, "training": {"batch_size": 10}}


def written(folder: Path) -> Path:
    (folder / "job.yaml").write_text(yaml.safe_dump(JOB))
    path = folder / "experiment.yaml"
    path.write_text(yaml.safe_dump(EXPERIMENT))
    return path


def named(arms: list[Arm]) -> list[tuple[int, str | None, str, str | None]]:
    return [(a.spec.seed, a.split, a.label, a.spec.federation.alone_site) for a in arms]


def test_every_seed_has_two_central_runs_and_four_for_each_split(tmp_path: Path) -> None:
    arms = arms_of(*load_experiment(written(tmp_path)))
    of_seed = [
        (None, "centralised", None),
        (None, "centralised (equal steps)", None),
        *[
            (split, label, site)
            for split in ("skewed", "sector")
            for label, site in [
                ("federated", None),
                ("alone", "site-1"),
                ("alone", "site-2"),
                ("alone", "site-3"),
            ]
        ],
    ]
    assert named(arms) == [(seed, *arm) for seed in (1, 2) for arm in of_seed]


def test_arms_of_a_split_share_everything_but_who_takes_part(tmp_path: Path) -> None:
    arms = arms_of(*load_experiment(written(tmp_path)))
    skewed = [a.spec for a in arms if a.split == "skewed" and a.spec.seed == 1]
    assert len(skewed) == 4
    assert {spec.runtime.engine for spec in skewed} == {"inline"}
    first, *others = [spec.model_dump(exclude={"federation"}) for spec in skewed]
    assert all(other == first for other in others)


def test_the_second_central_arm_takes_the_steps_of_an_average_site(tmp_path: Path) -> None:
    arms = arms_of(*load_experiment(written(tmp_path)))
    steps = {a.label: a.spec.training.steps(90) for a in arms if a.split is None}
    assert steps == {"centralised": 9, "centralised (equal steps)": 3}


def test_a_split_by_groups_is_left_out_where_there_are_none(tmp_path: Path) -> None:
    rows = "\n".join(f"text {n},{'ab'[n % 2]}" for n in range(40))
    (tmp_path / "rows.csv").write_text(f"text,label\n{rows}\n")
    override = f"data.path={tmp_path / 'rows.csv'}"
    arms = arms_of(*load_experiment(written(tmp_path), [override], seeds=(7,)))
    assert {arm.split for arm in arms} == {None, "skewed"}
    assert {arm.spec.seed for arm in arms} == {7}


@pytest.mark.parametrize("text", ["", "1,1", "a", "1,-2", "1;2"])
def test_seeds_are_different_whole_numbers(text: str) -> None:
    with pytest.raises(SpecificationError, match="different whole numbers"):
        parse_seeds(text)
    assert parse_seeds("3,1") == (3, 1)
    assert parse_seeds(None) is None

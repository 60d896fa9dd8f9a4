"""What a job's sections say together, and what a run's id depends on."""

from pathlib import Path

import pytest
import yaml

from veiltune.errors import SpecificationError
from veiltune_jobs.job import JobSpec, load_job, run_id, with_absolute_paths
from veiltune_jobs.specification import dump_yaml


def job(**sections: object) -> JobSpec:
    return JobSpec.model_validate(sections)


def test_the_resolved_file_loads_to_the_same_job(tmp_path: Path) -> None:
    spec = job(data={"partition": {"kind": "sizes", "sites": 2, "sizes": (5, 7)}}, seed=3)
    path = tmp_path / "spec.yaml"
    path.write_text(dump_yaml(spec))
    assert load_job(path) == spec


@pytest.mark.parametrize(
    ("federation", "sites"),
    [
        ({}, ("site-1", "site-2", "site-3")),
        ({"arm": "centralised"}, ("central",)),
        ({"arm": "alone", "alone_site": "site-2"}, ("site-2",)),
    ],
)
def test_the_arm_says_who_takes_part(federation: dict[str, str], sites: tuple[str, ...]) -> None:
    assert job(federation=federation).sites() == sites


@pytest.mark.parametrize(
    ("federation", "message"),
    [
        ({"arm": "alone"}, "alone_site must be given with arm alone"),
        ({"arm": "alone", "alone_site": "site-9"}, "must be one of site-1, site-2, site-3"),
        ({"min_sites": 4}, "min_sites must be at most 3"),
    ],
)
def test_sections_that_do_not_fit_are_refused(
    tmp_path: Path, federation: dict[str, object], message: str
) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump({"federation": federation}))
    with pytest.raises(SpecificationError, match=message):
        load_job(path)


def test_a_run_id_depends_on_what_makes_the_result_and_on_nothing_else(tiny_model: Path) -> None:
    spec = job(backbone={"name": str(tiny_model)})
    same = [
        spec.model_copy(update={"runtime": spec.runtime.model_copy(update={"engine": "inline"})}),
        spec.model_copy(update={"runtime": spec.runtime.model_copy(update={"threads": 2})}),
        with_absolute_paths(spec),
    ]
    other = [
        spec.model_copy(update={"seed": 2}),
        job(backbone={"name": str(tiny_model)}, training={"learning_rate": 0.02}),
        job(),
    ]
    own = run_id(spec, "data")
    assert {run_id(each, "data") for each in same} == {own}
    assert own not in {run_id(each, "data") for each in other}
    assert run_id(spec, "other data") != own


def test_a_run_id_follows_the_content_of_a_models_folder(tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b", tmp_path / "c"]
    for folder, content in zip(folders, ("weights", "weights", "others"), strict=True):
        folder.mkdir()
        (folder / "model.safetensors").write_text(content)
    first, moved, changed = (
        run_id(job(backbone={"name": str(folder)}), "data") for folder in folders
    )
    assert first == moved
    assert first != changed

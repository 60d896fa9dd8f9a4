"""Reading, overriding, checking, writing and hashing a specification."""

from pathlib import Path
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, FiniteFloat, model_validator

from veiltune.config import Section
from veiltune.errors import SpecificationError
from veiltune_jobs.specification import (
    apply_overrides,
    dump_yaml,
    load,
    load_yaml,
    specification_hash,
    validate,
)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


class Training(Section):
    batch_size: int = Field(default=16, ge=1)
    learning_rate: float = Field(default=1e-4, gt=0, lt=1)
    epochs: int = Field(default=4, ge=1)
    warmup_epochs: int = Field(default=1, ge=0)

    @model_validator(mode="after")
    def _warmup_ends(self) -> "Training":
        if self.warmup_epochs >= self.epochs:
            raise ValueError(
                f"warmup_epochs must be below epochs, got {self.warmup_epochs} and {self.epochs}"
            )
        return self


class Uniform(Section):
    kind: Literal["uniform"] = "uniform"
    sites: int = Field(default=3, ge=1)


class Dirichlet(Section):
    kind: Literal["dirichlet"]
    alpha: FiniteFloat = Field(default=0.3, gt=0)


class Data(Section):
    source: Literal["headlines", "table"] = "headlines"
    labels: tuple[str, ...] = ("positive", "negative")
    counts: dict[str, Annotated[int, Field(ge=1)]] = {}
    partition: Annotated[Uniform | Dirichlet, Field(discriminator="kind")] = Uniform()


class Privacy(Section):
    clip_norm: float = Field(gt=0)


class Runtime(Section):
    threads: int | Literal["auto"] = "auto"
    progress: bool = True


class Job(Section):
    name: str
    data: Data = Data()
    training: Training = Training()
    privacy: Privacy | None = None
    runtime: Runtime = Runtime()

    @model_validator(mode="after")
    def _named(self) -> "Job":
        if self.name == "unnamed":
            raise ValueError("name must say what the job is, got 'unnamed'")
        return self


def faults(tree: dict[str, object]) -> list[str]:
    with pytest.raises(SpecificationError) as caught:
        validate(Job, tree)
    return caught.value.faults


def written(folder: Path, text: str) -> Path:
    path = folder / "job.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(path: Path) -> str:
    with pytest.raises(SpecificationError) as caught:
        load_yaml(path)
    return str(caught.value)


# Reading


def test_reads_plain_values_as_they_seem(tmp_path: Path) -> None:
    path = written(
        tmp_path, "a: 1e-4\nb: [no, 12:30, 2024-01-01, '1']\nc: ~/data\nd: null\ne: -3\n"
    )
    assert load_yaml(path) == {
        "a": 1e-4,
        "b": ["no", "12:30", "2024-01-01", "1"],
        "c": "~/data",
        "d": None,
        "e": -3,
    }


def test_missing_file(tmp_path: Path) -> None:
    assert "there is no specification" in refusal(tmp_path / "none.yaml")


def test_folder_instead_of_file(tmp_path: Path) -> None:
    assert "cannot read the specification" in refusal(tmp_path)


def test_wrong_encoding(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_bytes("name: Zürich".encode("iso-8859-1"))
    assert "must be UTF-8 text, got invalid start byte at byte 7" in refusal(path)


def test_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_bytes(b"\xef\xbb\xbfname: x\n")
    assert load_yaml(path) == {"name": "x"}


@pytest.mark.parametrize("text", ["", "# only a comment\n", "- a\n- b\n", "just text\n"])
def test_not_a_mapping(tmp_path: Path, text: str) -> None:
    assert "must hold a mapping of sections, got" in refusal(written(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "line"), [("a: 1\nb: [1, 2\nc: 3\n", 3), ("a: !!python/name:os.system\n", 1)]
)
def test_syntax_error_names_the_line(tmp_path: Path, text: str, line: int) -> None:
    said = refusal(written(tmp_path, text))
    assert "is not valid YAML" in said and f"in line {line}" in said and "\n" not in said


@pytest.mark.parametrize("text", ["a: \x00\n", "a: !!int few\n", "a: " + "9" * 5000])
def test_values_that_yaml_cannot_hold(tmp_path: Path, text: str) -> None:
    assert "is not valid YAML" in refusal(written(tmp_path, text))


def test_bottomless_nesting(tmp_path: Path) -> None:
    assert "nested too deeply" in refusal(written(tmp_path, "a: " + "[" * 500 + "]" * 500))


def test_every_duplicate_key_is_refused(tmp_path: Path) -> None:
    said = refusal(written(tmp_path, "a: 1\nb:\n  c: 1\n  c: 2\na: 2\n")).splitlines()
    assert len(said) == 2
    assert any("gives the key a in line 1 and again in line 5" in fault for fault in said)
    assert any("gives the key c in line 3 and again in line 4" in fault for fault in said)


# Overriding


def test_overrides_are_yaml_and_leave_the_tree_alone() -> None:
    tree: dict[str, object] = {"a": {"b": 1}, "empty": None}
    changed = apply_overrides(
        tree, ["a.b=2.5", "a.c=null", "new.deep.key=[1, x]", "empty.key=k=v", "a.t='no: map'"]
    )
    assert changed == {
        "a": {"b": 2.5, "c": None, "t": "no: map"},
        "empty": {"key": "k=v"},
        "new": {"deep": {"key": [1, "x"]}},
    }
    assert tree == {"a": {"b": 1}, "empty": None}


def test_last_override_wins() -> None:
    assert apply_overrides({}, ["a.b=1", "a.b=2"]) == {"a": {"b": 2}}


@pytest.mark.parametrize("bad", ["a.b", "=1", "a..b=1", ".a=1", "", "a.b=", "a.b= "])
def test_malformed_override(bad: str) -> None:
    with pytest.raises(SpecificationError, match="must read section.key=value"):
        apply_overrides({}, [bad])


def test_override_with_broken_yaml() -> None:
    with pytest.raises(SpecificationError, match="put quotes around"):
        apply_overrides({}, ["a.b={sentence} is"])


def test_override_below_a_value() -> None:
    with pytest.raises(SpecificationError, match=r"cannot set a\.b\.c: a\.b is not a section"):
        apply_overrides({"a": {"b": 1}}, ["a.b.c=1"])


def test_every_bad_override_is_reported() -> None:
    with pytest.raises(SpecificationError) as caught:
        apply_overrides({}, ["a", "b"])
    assert len(caught.value.faults) == 2


# Checking


def test_good_tree_becomes_the_model() -> None:
    job = validate(Job, {"name": "x", "data": {"partition": {"kind": "dirichlet", "alpha": 1}}})
    assert job.data.partition == Dirichlet(kind="dirichlet", alpha=1.0)


@pytest.mark.parametrize(
    ("tree", "sentence"),
    [
        (
            {"training": {"batch_size": 0}},
            "training.batch_size must be at least 1, got 0",
        ),
        (
            {"training": {"learning_rate": 1.5}},
            "training.learning_rate must be less than 1.0, got 1.5",
        ),
        (
            {"training": {"epochs": "many"}},
            "training.epochs must be a whole number, got 'many'",
        ),
        (
            {"training": {"epochs": 1.5}},
            "training.epochs must be a whole number, got 1.5",
        ),
        (
            {"training": {"learning_rate": [1]}},
            "training.learning_rate must be a number, got [1]",
        ),
        (
            {"runtime": {"progress": 7}},
            "runtime.progress must be true or false, got 7",
        ),
        (
            {"training": {"epochs": True}},
            "training.epochs must be a whole number, got true",
        ),
        (
            {"training": {"learning_rate": "0.1"}},
            "training.learning_rate must be a number, got '0.1'",
        ),
        ({"name": 5}, "name must be text, got 5"),
        (
            {"data": {"source": "headline"}},
            "data.source must be one of 'headlines' or 'table', got 'headline'",
        ),
        (
            {"data": {"labels": "positive"}},
            "data.labels must be a list, got 'positive'",
        ),
        ({"data": {"labels": ["a", None]}}, "data.labels[1] must be text, got null"),
        (
            {"data": {"counts": {"site-1": 0}}},
            "data.counts.site-1 must be at least 1, got 0",
        ),
        (
            {"runtime": {"threads": "few"}},
            "runtime.threads must be a whole number or be 'auto', got 'few'",
        ),
        (
            {"training": None},
            "training must be a section with keys of its own, got null",
        ),
        (
            {"privacy": "none"},
            "privacy must be a section with keys of its own or be null, got 'none'",
        ),
        ({"privacy": {}}, "privacy.clip_norm is required and was not given; add it"),
        (
            {"training": {"batch_size": -1}},
            "training.batch_size must be at least 1, got -1",
        ),
        (
            {"data": {"partition": {"kind": "uniform", "sites": 0}}},
            "data.partition.sites must be at least 1, got 0",
        ),
        (
            {"data": {"partition": {"alpha": 0.3}}},
            "data.partition must have the key 'kind', got {'alpha': 0.3}",
        ),
        (
            {"data": {"partition": {"kind": "even"}}},
            "data.partition must have 'kind' set to one of 'uniform', 'dirichlet', "
            "got {'kind': 'even'}",
        ),
        (
            {"data": {"partition": {"kind": "dirichlet", "alpha": float("inf")}}},
            "data.partition.alpha must be a finite number, got inf",
        ),
        (
            {"training": {"epochs": 1}},
            "training: warmup_epochs must be below epochs, got 1 and 1",
        ),
        ({"name": "unnamed"}, "name must say what the job is, got 'unnamed'"),
    ],
)
def test_a_fault_is_one_plain_sentence(tree: dict[str, object], sentence: str) -> None:
    assert faults({"name": "x"} | tree) == [sentence]


@pytest.mark.parametrize(
    ("tree", "sentence"),
    [
        (
            {"trainning": {}},
            "trainning is not a known key; did you mean training?",
        ),
        (
            {"training": {"batchsize": 4}},
            "training.batchsize is not a known key; did you mean training.batch_size?",
        ),
        (
            {"learning_rate": 0.1},
            "learning_rate is not a known key; did you mean training.learning_rate?",
        ),
        (
            {"data": {"learning_rate": 0.1}},
            "data.learning_rate is not a known key; did you mean training.learning_rate?",
        ),
        (
            {"data": {"learningrate": 0.1}},
            "data.learningrate is not a known key; did you mean training.learning_rate?",
        ),
        (
            {"data": {"partition": {"kind": "dirichlet", "alpah": 1}}},
            "data.partition.alpah is not a known key; did you mean data.partition.alpha?",
        ),
        (
            {"privacy": {"clip_norm": 1, "clipnorm": 1}},
            "privacy.clipnorm is not a known key; did you mean privacy.clip_norm?",
        ),
        (
            {"runtime": {"zzz": 1}},
            "runtime.zzz is not a known key; runtime knows threads, progress",
        ),
        (
            {"zzz": 1},
            "zzz is not a known key; a specification knows name, data, training, privacy, runtime",
        ),
        (
            {"data": {"partition": {"kind": "uniform", "alpha": 1}}},
            "data.partition.alpha is known only where data.partition.kind is 'dirichlet'; "
            "remove it or set that",
        ),
    ],
)
def test_unknown_key_names_the_nearest(tree: dict[str, object], sentence: str) -> None:
    assert faults({"name": "x"} | tree) == [sentence]


def test_all_faults_of_file_and_overrides_come_together(tmp_path: Path) -> None:
    path = written(tmp_path, "training: {batch_size: 0, lr: 1}\ndata: {source: web}\n")
    with pytest.raises(SpecificationError) as caught:
        load(Job, path, ["nonsense", "runtime.threads=few"])
    said = str(caught.value)
    assert len(caught.value.faults) == 6
    for part in ("nonsense", "batch_size", "training.lr", "data.source", "name is required", "few"):
        assert part in said


def test_load_applies_overrides(tmp_path: Path) -> None:
    path = written(tmp_path, "name: x\n")
    assert load(Job, path, ["training.learning_rate=1e-3"]).training.learning_rate == 1e-3


# Writing and hashing

JOBS = st.builds(
    Job,
    name=TEXT.filter(lambda name: name != "unnamed"),
    data=st.builds(
        Data,
        labels=st.lists(TEXT).map(tuple),
        counts=st.dictionaries(TEXT, st.integers(min_value=1)),
        partition=st.one_of(
            st.builds(Uniform, kind=st.just("uniform"), sites=st.integers(1, 9)),
            st.builds(
                Dirichlet,
                kind=st.just("dirichlet"),
                alpha=st.floats(min_value=0, exclude_min=True, allow_infinity=False),
            ),
        ),
    ),
    training=st.builds(
        Training,
        learning_rate=st.floats(0, 1, exclude_min=True, exclude_max=True),
        epochs=st.integers(2, 9),
        warmup_epochs=st.just(1),
    ),
    privacy=st.none()
    | st.builds(Privacy, clip_norm=st.floats(min_value=1e-300, allow_infinity=False)),
    runtime=st.builds(Runtime, threads=st.integers() | st.just("auto"), progress=st.booleans()),
)


@given(JOBS)
def test_what_is_written_reads_back(tmp_path_factory: pytest.TempPathFactory, job: Job) -> None:
    path = tmp_path_factory.getbasetemp() / "round-trip.yaml"
    path.write_text(dump_yaml(job), encoding="utf-8")
    again = load(Job, path)
    assert again == job
    assert specification_hash(again) == specification_hash(job)


def test_written_out_with_every_default_in_order() -> None:
    assert dump_yaml(Job(name="no")) == (
        "name: 'no'\n"
        "data:\n"
        "  source: headlines\n"
        "  labels:\n"
        "  - positive\n"
        "  - negative\n"
        "  counts: {}\n"
        "  partition:\n"
        "    kind: uniform\n"
        "    sites: 3\n"
        "training:\n"
        "  batch_size: 16\n"
        "  learning_rate: 0.0001\n"
        "  epochs: 4\n"
        "  warmup_epochs: 1\n"
        "privacy: null\n"
        "runtime:\n"
        "  threads: auto\n"
        "  progress: true\n"
    )


def test_hash_ignores_what_cannot_change_a_result() -> None:
    job = Job(name="x")
    assert specification_hash(job) == specification_hash(Job(name="x", runtime=Runtime(threads=2)))
    assert specification_hash(job) != specification_hash(Job(name="y"))
    assert specification_hash(job, leave_out=("runtime", "name")) == specification_hash(
        Job(name="y"), leave_out=("runtime", "name")
    )
    assert len(specification_hash(job)) == 64

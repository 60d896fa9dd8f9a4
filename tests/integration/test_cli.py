"""`veiltune run` as it is typed: exit codes, one sentence an error, and what `--json` promises."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from veiltune.federation import site as site_module
from veiltune_jobs import run as run_module
from veiltune_jobs.cli import RUN_KEYS, main

Call = Callable[..., tuple[int, str, str]]
SECRET = "Nokia's profit fell to EUR 7.8 mn"


@pytest.fixture
def specification(tiny_model: Path, tmp_path: Path) -> Path:
    path = tmp_path / "job.yaml"
    job: dict[str, Any] = {
        "name": "small",
        "data": {"train": 24, "validation": 9, "test": 9},
        "backbone": {"name": str(tiny_model), "device": "cpu"},
        "adapter": {"virtual_tokens": 3, "hidden_size": 8},
        "training": {"batch_size": 8},
        "federation": {"rounds": 2},
        "runtime": {"engine": "inline", "output": str(tmp_path / "runs")},
    }
    path.write_text(yaml.safe_dump(job))
    return path


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """The exit code, standard output and standard error of a command."""

    def typed(*arguments: object) -> tuple[int, str, str]:
        try:
            main([str(argument) for argument in arguments])
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return typed


def one_sentence(err: str) -> str:
    """The single line of an error, progress left out; no traceback."""
    lines = [line for line in err.splitlines() if line.startswith("veiltune: ")]
    assert len(lines) == 1, err
    assert "Traceback" not in err and "something in veiltune failed" not in err
    assert err.rstrip().endswith(lines[0]), "the error should be the last thing said"
    return lines[0]


def test_a_run_ends_with_0_and_says_where_it_is(
    specification: Path, call: Call, tmp_path: Path
) -> None:
    code, out, err = call("run", specification)
    assert code == 0
    assert "validation loss" in out and "report.html" in out
    assert "round 2/2" in err and "Traceback" not in err
    (folder,) = (tmp_path / "runs" / "small").iterdir()
    for name in (
        "spec.yaml",
        "provenance.json",
        "rounds.parquet",
        "summary.json",
        "privacy_card.json",
        "privacy_card.md",
        "report.html",
        "adapter/adapter_config.json",
    ):
        assert (folder / name).stat().st_size > 0, name


def test_json_is_one_object_with_the_fixed_keys_and_nothing_else(
    specification: Path, call: Call, tmp_path: Path
) -> None:
    code, out, _ = call("run", specification, "--json")
    assert code == 0
    assert out.count("\n") == 1 and out.endswith("\n")
    result = json.loads(out)
    assert tuple(result) == RUN_KEYS
    assert (result["engine"], result["rounds"]) == ("inline", 2)
    assert result["sites"] == ["site-1", "site-2", "site-3"]
    assert result["val_loss"] < result["val_loss_first"]
    assert result["upload_bytes_per_site_round"] > 0 and len(result["adapter_sha256"]) == 64
    again = json.loads(call("run", specification, "--json")[1])
    assert again == result, "a complete run is shown again, not repeated"
    fresh = json.loads(call("run", specification, "--json", "--fresh")[1])
    assert fresh["adapter_sha256"] == result["adapter_sha256"]


def test_json_keeps_standard_output_clean_in_a_process_of_its_own(specification: Path) -> None:
    """Libraries print too; here nothing stands between them and standard output."""
    command = [sys.executable, "-m", "veiltune_jobs", "run", str(specification), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ.copy())
    assert done.returncode == 0, done.stderr
    assert tuple(json.loads(done.stdout)) == RUN_KEYS


def bad_data(tmp_path: Path, name: str, content: bytes) -> str:
    path = tmp_path / name
    path.write_bytes(content)
    return f"data.path={path}"


ROWS = "".join(f'{{"text": "text {i}", "label": "{"ab"[i % 2]}"}}\n' for i in range(30)).encode()


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (lambda _: ["data.path=/no/such/file.csv"], "/no/such/file.csv"),
        (lambda p: [bad_data(p, "empty.jsonl", b"")], "empty.jsonl"),
        (lambda p: [bad_data(p, "a.csv", b"text,label\nx\xff,a\n")], "a.csv"),
        (lambda p: [bad_data(p, "b.jsonl", ROWS + b'{"text": "x"}\n')], "b.jsonl:31"),
        (
            lambda p: (
                [bad_data(p, "c.jsonl", ROWS + b'{"text": "x", "label": "z"}\n')]
                + ["data.labels=[a, b]"]
            ),
            "c.jsonl:31",
        ),
        (lambda p: [bad_data(p, "d.jsonl", ROWS), "data.partition.sites=31"], "31"),
        (lambda _: ["data.partition.sites=25"], "25"),
        (lambda _: ["data.template=no marker {sentence} {label}"], "VIRTUAL_PROMPT"),
        (lambda _: ["data.template=<|VIRTUAL_PROMPT_0|> {sentence}"], "{label}"),
        (lambda _: ["training.batchsize=8"], "batch_size"),
        (lambda _: ["training.batch_size=0"], "training.batch_size"),
        (lambda _: ["training.learning_rate=.inf"], "training.learning_rate"),
        (lambda _: ["training.betas=[0.9, 1.0]"], "training.betas"),
        (lambda _: ["federation.min_sites=4"], "federation.min_sites"),
        (lambda _: ["federation.arm=alone"], "alone_site"),
        (lambda _: ["backbone.name=/no/such/model"], "/no/such/model"),
        (lambda _: ["backbone.name=nobody/nothing"], "nobody/nothing"),
        (lambda _: ["adapter.virtual_tokens=128"], "window"),
        (lambda _: ["runtime.engine=magic"], "runtime.engine"),
        (lambda _: ["training"], "training"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    fault: Callable[[Path], list[str]],
    says: str,
    specification: Path,
    call: Call,
    tmp_path: Path,
) -> None:
    overrides = [part for value in fault(tmp_path) for part in ("--set", value)]
    code, out, err = call("run", specification, "--json", *overrides)
    assert (code, out) == (2, "")
    assert says in one_sentence(err)


def test_a_file_that_is_no_specification_is_exit_code_2(call: Call, tmp_path: Path) -> None:
    for name, content in {"a.yaml": "{", "b.yaml": "- 1", "c.yaml": "\x00"}.items():
        (tmp_path / name).write_text(content)
        code, out, err = call("run", tmp_path / name)
        assert (code, out) == (2, "") and name in one_sentence(err)
    code, out, err = call("run", tmp_path / "missing.yaml")
    assert (code, out) == (2, "") and "missing.yaml" in one_sentence(err)
    assert call("run", tmp_path)[0] == 2


def test_several_faults_are_told_together(specification: Path, call: Call) -> None:
    code, _, err = call(
        "run", specification, "--set", "training.batch_size=0", "--set", "adapter.encoder=gru"
    )
    assert code == 2
    assert "training.batch_size" in err and "adapter.encoder" in err


@pytest.mark.parametrize("where", ["a file", "below a file", "read only"])
def test_an_output_folder_that_cannot_be_written(
    where: str, specification: Path, call: Call, tmp_path: Path
) -> None:
    blocker = tmp_path / "blocker"
    if where == "read only":
        if os.geteuid() == 0:
            pytest.skip("needs a user who may not write everywhere")
        blocker.mkdir(mode=0o500)
    else:
        blocker.write_text("")
    output = blocker / "deeper" if where == "below a file" else blocker
    code, out, err = call("run", specification, "--set", f"runtime.output={output}")
    assert (code, out) == (2, "")
    assert "runtime.output" in one_sentence(err)


def test_a_failure_of_ours_is_exit_code_1(
    specification: Path, call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Every site fails with a text in its message; the sentence names sites and no text."""

    def fail(*arguments: object) -> None:
        raise ValueError(SECRET)

    monkeypatch.setattr(site_module.Site, "_train", fail)
    code, out, err = call("run", specification, "--json")
    assert (code, out) == (1, "")
    sentence = one_sentence(err)
    assert "round 0" in sentence and "site-1" in sentence and "Nokia" not in err
    (folder,) = (tmp_path / "runs" / "small").iterdir()
    assert json.loads((folder / "summary.json").read_text())["status"] == "failed"
    monkeypatch.undo()
    assert call("run", specification)[0] == 0, "the same command goes on once it is mended"


def test_ctrl_c_is_exit_code_130_and_the_run_goes_on_later(
    specification: Path, call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    whole = json.loads(
        call("run", specification, "--json", "--set", f"runtime.output={tmp_path / 'whole'}")[1]
    )
    answers: list[int] = []

    def tick(self: object) -> None:
        answers.append(1)
        if len(answers) == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr("veiltune_jobs.progress.RunProgress.tick", tick)
    code, out, err = call("run", specification, "--json")
    assert (code, out) == (130, "")
    assert "stopped in round 1 of 2" in one_sentence(err)
    (folder,) = (tmp_path / "runs" / "small").iterdir()
    assert json.loads((folder / "summary.json").read_text())["status"] == "interrupted"
    monkeypatch.undo()
    code, out, _ = call("run", specification, "--json")
    assert code == 0
    assert json.loads(out)["adapter_sha256"] == whole["adapter_sha256"]


def test_a_run_that_another_process_works_on_is_left_alone(specification: Path, call: Call) -> None:
    from veiltune.records import locked
    from veiltune_jobs.job import load_job

    run = run_module.Run(load_job(specification))
    with locked(run.folder.path):
        code, _, err = call("run", specification)
    assert code == 2 and "another process" in one_sentence(err)


def test_a_surprise_is_one_line_and_a_traceback_only_on_request(
    specification: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def surprise(*arguments: object) -> None:
        raise ZeroDivisionError("dividing")

    monkeypatch.setattr(run_module, "load_corpus", surprise)
    code, _, err = call("run", specification)
    assert code == 1 and "Traceback" not in err and "--debug" in err
    code, _, err = call("--debug", "run", specification)
    assert code == 1 and "Traceback" in err


def test_wrong_usage_is_exit_code_2(call: Call) -> None:
    assert call("run")[0] == 2
    assert call("walk")[0] == 2
    assert call("run", "job.yaml", "--no-such-option")[0] == 2
    assert call("--version")[0] == 0
    assert call("--help")[0] == 0

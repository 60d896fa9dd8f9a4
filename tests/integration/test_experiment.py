"""An experiment from its YAML to its figure, on a tiny model; and what one does with its runs."""

import json
from pathlib import Path

import pandas as pd
import peft
import pytest
import torch
import yaml
from transformers import AutoModelForCausalLM

from veiltune.adapter import load_encoder
from veiltune.backbone import BackboneConfig, label_batch, load_backbone
from veiltune.errors import DataError, OutputError
from veiltune_jobs.cli import main
from veiltune_jobs.predict import predict, read_texts


def command(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """The YAML of an experiment of one split and two seeds."""
    folder = tmp_path_factory.mktemp("experiment")
    job = {
        "data": {"train": 36, "validation": 12, "test": 12, "partition": {"sites": 2}},
        "backbone": {"name": str(tiny_model)},
        "training": {"batch_size": 8},
        "federation": {"rounds": 2},
        "runtime": {"output": str(folder / "runs"), "engine": "inline", "progress": False},
    }
    splits = [{"title": "uniform", "partition": {"sites": 2, "seed": None}}]
    written = {"name": "panels", "job": "job.yaml", "seeds": [1, 2], "splits": splits}
    (folder / "job.yaml").write_text(yaml.safe_dump(job))
    (folder / "panels.yaml").write_text(yaml.safe_dump(written))
    return folder / "panels.yaml"


@pytest.fixture(scope="module")
def drawn(experiment: Path) -> Path:
    """The folder of the experiment's figures, once it was run."""
    output = experiment.parent / "figures"
    assert command("figures", str(experiment), "-o", str(output), "--workers", "1") == 0
    return output


@pytest.fixture(scope="module")
def run(experiment: Path) -> Path:
    """The folder of a finished run of the experiment's job."""
    path = str(experiment.parent / "job.yaml")
    assert command("run", path) == 0
    return next((experiment.parent / "runs" / "job").iterdir())


def test_the_panels_come_with_their_numbers(drawn: Path) -> None:
    assert (drawn / "panels.png").read_bytes().startswith(b"\x89PNG")
    assert (drawn / "panels.pdf").read_bytes().startswith(b"%PDF")
    numbers = pd.read_csv(drawn / "panels.csv")
    series = {"federated", "centralised", "centralised (equal steps)"}
    assert set(numbers["series"]) == series | {"site-1 alone", "site-2 alone"}
    assert set(numbers["round"]) == {0, 1, 2}
    assert set(numbers["seeds"]) == {2}
    results = pd.read_csv(drawn / "panels-results.csv").set_index("arm")
    last = numbers[numbers["round"] == 2].set_index("series")["mean"]
    for arm in series:
        assert results["val_loss"][arm] == pytest.approx(last[arm], rel=1e-6)
    alone = last[["site-1 alone", "site-2 alone"]].mean()
    assert results["val_loss"]["alone"] == pytest.approx(alone, rel=1e-6)


def test_runs_that_are_complete_are_not_repeated(experiment: Path, drawn: Path) -> None:
    runs = experiment.parent / "runs" / "panels"
    before = {path: path.stat().st_mtime_ns for path in runs.rglob("summary.json")}
    assert len(before) == 10
    assert command("figures", str(experiment), "-o", str(drawn), "--workers", "1") == 0
    assert {path: path.stat().st_mtime_ns for path in runs.rglob("summary.json")} == before


def test_a_plan_tells_the_bytes_that_the_run_then_needs(
    experiment: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("plan", str(experiment.parent / "job.yaml"), "--json") == 0
    planned = json.loads(capsys.readouterr().out)
    summary = json.loads((run / "summary.json").read_text())
    for key in ("upload_bytes_per_site_round", "download_bytes_per_site_round", "examples"):
        assert planned[key] == summary[key]
    assert planned["steps_per_round"] == {"site-1": 3, "site-2": 3}


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
def test_an_export_loads_into_peft_to_the_same_logits(
    run: Path, tiny_model: Path, tmp_path: Path
) -> None:
    assert command("export", str(run), "-o", str(tmp_path / "prompt")) == 0
    base = AutoModelForCausalLM.from_pretrained(tiny_model).eval()
    model = peft.PeftModel.from_pretrained(base, str(tmp_path / "prompt")).eval()
    ids = [5, 6, 7, 8]
    frozen = load_backbone(BackboneConfig(name=str(tiny_model), device="cpu"))
    with torch.no_grad():
        prompt = load_encoder(run / "adapter")()
        ours = frozen.label_logits(prompt, label_batch([ids], [[9]], frozen.device))[0, -1]
        theirs = model(input_ids=torch.tensor([ids])).logits[0, -1]
    assert torch.allclose(ours, theirs, rtol=0, atol=1e-6)


def test_predictions_are_shares_of_the_label_set(run: Path, tmp_path: Path) -> None:
    texts = tmp_path / "texts.txt"
    texts.write_text("Profit rose .\n\nProfit fell .\n")
    predictions = predict(run, read_texts(texts), None)
    assert [p.text for p in predictions] == ["Profit rose .", "Profit fell ."]
    for prediction in predictions:
        assert sum(prediction.probabilities.values()) == pytest.approx(1)
        shares = prediction.probabilities
        assert prediction.label == max(shares, key=shares.__getitem__)


def test_a_sites_own_prompt_answers_differently(run: Path) -> None:
    shared, own = (predict(run, ["Profit rose ."], site)[0] for site in (None, "site-2"))
    assert shared.probabilities != own.probabilities


def test_a_site_that_is_not_there_is_named(run: Path) -> None:
    with pytest.raises(OutputError, match="--site must be one of site-1, site-2, got site-9"):
        predict(run, ["x"], "site-9")


def test_a_file_without_texts_is_refused(tmp_path: Path) -> None:
    empty, missing = tmp_path / "empty.txt", tmp_path / "missing.txt"
    empty.write_text("\n")
    for path, message in ((empty, "found none"), (missing, "No such file")):
        with pytest.raises(DataError, match=message):
            read_texts(path)


def test_an_export_never_overwrites(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("export", str(run), "-o", str(run)) == 2
    assert "must be a new or empty folder" in capsys.readouterr().err


def test_a_report_is_written_again(run: Path) -> None:
    (run / "report.html").unlink()
    assert command("report", str(run)) == 0
    assert "<h1>" in (run / "report.html").read_text()

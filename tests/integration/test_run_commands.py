"""What one does with a job and its run: plan, export, predict, report; on a tiny model."""

import json
from pathlib import Path

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
def specification(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """The YAML of a job of two sites."""
    folder = tmp_path_factory.mktemp("job")
    job = {
        "data": {"train": 36, "validation": 12, "test": 12, "partition": {"sites": 2}},
        "backbone": {"name": str(tiny_model)},
        "training": {"batch_size": 8},
        "federation": {"rounds": 2},
        "runtime": {"output": str(folder / "runs"), "engine": "inline", "progress": False},
    }
    (folder / "job.yaml").write_text(yaml.safe_dump(job))
    return folder / "job.yaml"


@pytest.fixture(scope="module")
def run(specification: Path) -> Path:
    """The folder of a finished run of the job."""
    assert command("run", str(specification)) == 0
    return next((specification.parent / "runs" / "job").iterdir())


def test_a_plan_tells_the_bytes_that_the_run_then_needs(
    specification: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("plan", str(specification), "--json") == 0
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

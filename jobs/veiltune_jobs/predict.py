"""Answers for new texts with the prompt of a finished run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from veiltune.backbone import label_log_probabilities, load_backbone
from veiltune.data import Example, Template, encode
from veiltune.errors import DataError
from veiltune_jobs.job import load_job
from veiltune_jobs.run import open_prompt

BATCH = 64


@dataclass(frozen=True)
class Prediction:
    """A label for one text."""

    text: str
    label: str
    probabilities: dict[str, float]
    """Each label's share of the probability that the model gives to the label set."""


def read_texts(path: Path) -> list[str]:
    """The lines of a UTF-8 file that are not empty.

    Raises:
        DataError: the file cannot be read or holds no text.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise DataError(
            f"--file must be a readable text file, {path} is not ({error.strerror}); check the path"
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} must be UTF-8, but byte {error.start} is not; convert it"
        ) from error
    texts = [line.strip() for line in lines if line.strip()]
    if not texts:
        raise DataError(f"expected a text a line in {path}, found none")
    return texts


def predict(run: Path, texts: Sequence[str], site: str | None) -> list[Prediction]:
    """The most probable label for each text, with the shared prompt or a site's own.

    Raises:
        OutputError: `run` is not a finished run, or has no such site.
    """
    folder, summary, encoder = open_prompt(run, site)
    spec = load_job(folder.spec)
    model = load_backbone(spec.backbone)
    encoder.to(model.device)
    labels = tuple(next(iter(summary["label_counts"].values())))
    examples = encode(
        [Example(text, labels[0]) for text in texts],
        labels,
        Template.parse(spec.data.template),
        model.tokenizer,
        model.window,
        encoder.tokens,
    )
    predictions = []
    with torch.no_grad():
        prompt = encoder()
        for start in range(0, len(texts), BATCH):
            contexts = examples.context_ids[start : start + BATCH]
            scores = label_log_probabilities(model, prompt, contexts, examples.label_ids)
            for text, shares in zip(
                texts[start : start + BATCH], scores.softmax(1).tolist(), strict=True
            ):
                probabilities = dict(zip(labels, shares, strict=True))
                best = max(probabilities, key=probabilities.__getitem__)
                predictions.append(Prediction(text, best, probabilities))
    return predictions

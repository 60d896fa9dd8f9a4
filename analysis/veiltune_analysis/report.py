"""One self-contained page about one run: its curves, its figures, its protection, its origin."""

import base64
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from veiltune.errors import OutputError
from veiltune_analysis.drawing import house_style
from veiltune_analysis.figures import curves
from veiltune_analysis.page import number, page, share, table, text
from veiltune_analysis.runs import Run, Summary, read_run
from veiltune_analysis.series import natural_key

DUPLICATES = {
    "train_validation": "validation texts that also stand in training",
    "train_test": "test texts that also stand in training",
    "validation_test": "test texts that also stand in validation",
}


def write_report(run: Path) -> Path:
    """`report.html` of the run in `run` is written from its records; returns its path.

    Raises:
        OutputError: the record of the run is incomplete, or the page cannot be written.
    """
    record = read_run(run)
    summary = record.summary
    body = [
        f"<h1>{text(summary.job)}</h1>",
        f'<p class="under">{text(_arm(summary))}, run {text(summary.run)}</p>',
        f"<p>{text(_lead(summary))}</p>",
        *_notices(summary),
        _picture(record.rounds),
        "<h2>Sites</h2>",
        _sites(record),
        "<h2>What travelled, and how long it took</h2>",
        _cost(record),
        "<h2>Who was missing</h2>",
        _missing(summary),
        "<h2>Privacy</h2>",
        f"<p>{text(_privacy(summary))}</p>",
        "<h2>Duplicates</h2>",
        _duplicates(summary),
        "<h2>Origin</h2>",
        _origin(record),
        "<details><summary>The resolved specification</summary>"
        f"<pre>{text(_specification(run))}</pre></details>",
    ]
    path = run / "report.html"
    try:
        path.write_text(page(f"{summary.job} {summary.run}", body), encoding="utf-8")
    except OSError as error:
        raise OutputError(
            f"expected to write {path}, got {error.strerror}; give the run folder back its "
            "write permission or copy it elsewhere"
        ) from error
    return path


def _arm(summary: Summary) -> str:
    sites = f"{len(summary.sites)} site{'s' if len(summary.sites) != 1 else ''}"
    alone = f" ({summary.alone_site})" if summary.alone_site else ""
    return f"{summary.arm}{alone}, {sites}, {summary.rounds} rounds, seed {summary.seed}"


def _lead(summary: Summary) -> str:
    return (
        f"A prompt for the frozen model “{summary.backbone}” was tuned on “{summary.data}”. "
        f"Validation loss: {number(summary.val_loss_first)} before, {number(summary.val_loss)} "
        f"after (nats per example). Validation accuracy: {share(summary.val_accuracy)}. "
        f"On the test examples: loss {number(summary.test_loss)}, accuracy "
        f"{share(summary.test_accuracy)}."
    )


def _notices(summary: Summary) -> Iterable[str]:
    if summary.status != "complete":
        yield f'<p class="notice">This run is {text(summary.status)}: the figures are partial.</p>'
    if summary.synthetic:
        yield (
            '<p class="notice">Synthetic data: a program made these texts. Nothing here says how '
            "well a prompt does on real text.</p>"
        )


def _picture(rounds: pd.DataFrame) -> str:
    image = io.BytesIO()
    with house_style():
        curves(rounds).savefig(image, format="svg", metadata={"Date": None})
    data = base64.b64encode(image.getvalue()).decode()
    return (
        "<figure><img alt=\"Three charts by round: loss of the shared prompt, loss of each site's "
        f'own prompt, accuracy of the shared prompt" src="data:image/svg+xml;base64,{data}">'
        "<figcaption>Left: the shared prompt after each round, from the untuned one at round 0. "
        "Middle: each site's own prompt after its training in a round, before the updates are "
        "combined. Right: accuracy of the shared prompt. All on validation examples; losses on a "
        "logarithmic scale.</figcaption></figure>"
    )


def _sites(record: Run) -> str:
    summary = record.summary
    labels = sorted({label for counts in summary.label_counts.values() for label in counts})
    sites = sorted(summary.sites, key=natural_key)
    rows = []
    for site in sites:
        own = record.rounds[record.rounds["site"] == site]
        rows.append(
            [
                site,
                *_counts(summary, [site], labels),
                number(_last(own["local_loss"])),
                share(_last(own["local_accuracy"])),
            ]
        )
    if len(sites) > 1:
        shared = [number(summary.val_loss), share(summary.val_accuracy)]
        rows.append(["all, shared prompt", *_counts(summary, sites, labels), *shared])
    header = ["site", "examples", *labels, "texts cut", "final loss", "final accuracy"]
    return (
        table(header, rows, numbers_from=1, total=len(sites) > 1)
        + "<p>A site's row gives the validation loss (nats per example) and accuracy of its own "
        "prompt after its last training. Texts cut: too long for the model's window.</p>"
    )


def _counts(summary: Summary, sites: list[str], labels: list[str]) -> list[str]:
    """Examples, each label's count and cut texts, summed over `sites`."""
    by_label = [
        sum(summary.label_counts.get(site, {}).get(label, 0) for site in sites) for label in labels
    ]
    examples = sum(summary.examples.get(site, 0) for site in sites)
    cut = sum(summary.truncated.get(site, 0) for site in sites)
    return [f"{count:,}" for count in (examples, *by_label, cut)]


def _last(column: pd.Series) -> float | None:
    measured = column.dropna()
    return float(measured.iloc[-1]) if len(measured) else None


def _cost(record: Run) -> str:
    summary = record.summary
    columns = {
        "bytes up": ("upload_bytes", 0),
        "bytes down": ("download_bytes", 0),
        "training, s": ("seconds_train", 1),
        "evaluation, s": ("seconds_evaluate", 1),
        "encoding, s": ("seconds_encode", 3),
        "decoding, s": ("seconds_decode", 3),
    }
    by_site = [
        (site, record.rounds[record.rounds["site"] == site])
        for site in sorted(summary.sites, key=natural_key)
    ]
    if len(by_site) > 1:
        by_site.append(("all sites", record.rounds))
    rows = [
        [name, *[number(float(own[column].sum()), d) for column, d in columns.values()]]
        for name, own in by_site
    ]
    sentence = (
        f"A site sends {number(summary.upload_bytes_per_site_round, 0)} bytes and receives "
        f"{number(summary.download_bytes_per_site_round, 0)} bytes a round. The run took "
        f"{number(summary.seconds, 0)} s with start-up, on the engine “{summary.engine}”. "
        "Sums over the rounds:"
    )
    costs = table(["site", *columns], rows, numbers_from=1, total=len(by_site) > 1)
    return f"<p>{text(sentence)}</p>{costs}"


def _missing(summary: Summary) -> str:
    if not summary.missing:
        return "<p>Nobody: every site took part in every recorded round.</p>"
    rows = [[str(each.round), each.site, each.reason] for each in summary.missing]
    return table(["round", "site", "reason"], rows, numbers_from=3)


def _privacy(summary: Summary) -> str:
    noise = (
        "No differential privacy: the prompt may reveal training text."
        if summary.epsilon is None
        else "Epsilon spent: "
        + ", ".join(f"{site} {number(value)}" for site, value in summary.epsilon.items())
        + "."
    )
    if summary.seeded_noise:
        noise += " Not private: seeded noise, which whoever knows the seed can take away."
    wire = (
        "Updates are not encrypted: whoever runs the server can read every site's update."
        if summary.encryption is None
        else f"Updates are encrypted: {summary.encryption}. The server adds them unread; together "
        "with any one site it could read them, for all sites share one key."
    )
    clipped = (
        f" {summary.clipped:,} values were out of range when they were sent; what was cut off "
        "followed in later rounds."
        if summary.clipped
        else ""
    )
    return f"{noise} {wire}{clipped}"


def _duplicates(summary: Summary) -> str:
    rows = [[DUPLICATES.get(key, key), f"{n:,}"] for key, n in summary.duplicates.items()]
    return table(["across splits", "texts"], rows, numbers_from=1)


def _origin(record: Run) -> str:
    values = {
        **record.provenance.model_dump(),
        "commit": record.provenance.commit or "not from a repository",
        "adapter_sha256": record.summary.adapter_sha256 or "none",
    }
    rows = [[name.replace("_", " "), value] for name, value in _flat(values)]
    return table(["what", "value"], rows, numbers_from=2)


def _flat(values: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """Nested names and values one after another: `machine cores`, `2`."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from ((f"{name} {inner}", shown) for inner, shown in _flat(value))
        else:
            yield name, str(value)


def _specification(run: Path) -> str:
    path = run / "spec.yaml"
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise OutputError(
            f"expected the resolved specification in {path}, which cannot be read; "
            "run the job again to write it"
        ) from error

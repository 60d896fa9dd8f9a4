"""One self-contained page about one run: its curves, its figures, its protection, its origin."""

import base64
import html
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from veiltune_analysis.figures import curves
from veiltune_analysis.runs import Run, Summary, read_run
from veiltune_analysis.series import natural_key

STYLE = """
body { font: 16px/1.5 Georgia, serif; color: #1a1a1a; max-width: 60rem; margin: 2rem auto;
       padding: 0 1rem; }
h1 { font-size: 1.7rem; margin-bottom: 0; } h2 { font-size: 1.15rem; margin-top: 2rem; }
.lead { font-size: 1.05rem; } .notice { border-left: 4px solid #d55e00; padding: .4rem 1rem; }
table { border-collapse: collapse; font: 14px/1.4 system-ui, sans-serif; }
th, td { padding: .25rem .8rem .25rem 0; text-align: left; border-bottom: 1px solid #ddd; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
img { width: 100%; } pre { font-size: 13px; background: #f6f6f6; padding: 1rem; overflow-x: auto; }
@media print { body { margin: 0; max-width: none; } h2 { break-after: avoid; } }
"""

NUMBER = ' class="n"'


def write_report(run: Path) -> Path:
    """`report.html` of the run in `run` is written from its records; returns its path.

    Raises:
        OutputError: the record of the run is incomplete.
    """
    record = read_run(run)
    summary = record.summary
    body = [
        f"<h1>{_text(summary.job)}</h1>",
        f"<p>{_text(_arm(summary))}, run {_text(summary.run)}</p>",
        f'<p class="lead">{_text(_lead(summary))}</p>',
        *_notices(summary),
        _picture(record.rounds),
        "<h2>Sites</h2>",
        _sites(record),
        "<h2>What travelled, and how long it took</h2>",
        _cost(record),
        "<h2>Privacy</h2>",
        f"<p>{_text(_privacy(summary))}</p>",
        "<h2>Data</h2>",
        _data(summary),
        "<h2>Origin</h2>",
        _origin(record),
        "<details><summary>The resolved specification</summary>"
        f"<pre>{_text((run / 'spec.yaml').read_text())}</pre></details>",
    ]
    path = run / "report.html"
    path.write_text(
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">'
        f"<title>{_text(summary.job)} {_text(summary.run)}</title><style>{STYLE}</style></head>\n"
        "<body>\n" + "\n".join(body) + "\n</body>\n</html>\n",
        encoding="utf-8",
    )
    return path


def _arm(summary: Summary) -> str:
    sites = f"{len(summary.sites)} site{'s' if len(summary.sites) > 1 else ''}"
    return f"{summary.arm}, {sites}, {summary.rounds} rounds, seed {summary.seed}"


def _lead(summary: Summary) -> str:
    return (
        f"A prompt for the frozen model “{summary.backbone}” was tuned on “{summary.data}”. The "
        f"validation loss went from {_number(summary.val_loss_first)} to "
        f"{_number(summary.val_loss)} nats per example; the final prompt labels "
        f"{_share(summary.val_accuracy)} of the validation examples and "
        f"{_share(summary.test_accuracy)} of the test examples correctly "
        f"(test loss {_number(summary.test_loss)})."
    )


def _notices(summary: Summary) -> Iterable[str]:
    if summary.status != "complete":
        yield f'<p class="notice">This run is {_text(summary.status)}: the figures are partial.</p>'
    if summary.synthetic:
        yield (
            '<p class="notice">The texts are synthetic: a program made them. Nothing here says how '
            "well a prompt does on real text.</p>"
        )
    if summary.missing:
        items = "".join(
            f"<li>round {m.round}: {_text(m.site)} ({_text(m.reason)})</li>"
            for m in summary.missing
        )
        yield f'<div class="notice">Sites that were missing:<ul>{items}</ul></div>'


def _picture(rounds: pd.DataFrame) -> str:
    image = io.BytesIO()
    curves(rounds).savefig(image, format="png", dpi=150)
    data = base64.b64encode(image.getvalue()).decode()
    alt = "Validation loss and accuracy of the global prompt, and each site's own loss, by round"
    return f'<p><img alt="{_text(alt)}" src="data:image/png;base64,{data}"></p>'


def _sites(record: Run) -> str:
    labels = list(next(iter(record.summary.label_counts.values()), {}))
    rows = []
    for site in sorted(record.summary.sites, key=natural_key):
        own = record.rounds[record.rounds["site"] == site]
        local = own["local_loss"].dropna()
        counts = record.summary.label_counts.get(site, {})
        rows.append(
            [
                site,
                str(record.summary.examples.get(site, 0)),
                *[str(counts.get(label, 0)) for label in labels],
                str(record.summary.truncated.get(site, 0)),
                _number(float(local.iloc[-1]) if len(local) else None),
            ]
        )
    header = ["site", "examples", *labels, "cut texts", "loss of its own prompt"]
    return _table(header, rows)


def _cost(record: Run) -> str:
    trained = record.rounds[record.rounds["steps"] > 0]
    stages = {
        "training": "seconds_train",
        "evaluation": "seconds_evaluate",
        "encoding": "seconds_encode",
        "decoding": "seconds_decode",
    }
    rows = [
        ["bytes up, a site and round", _bytes(record.summary.upload_bytes_per_site_round)],
        ["bytes down, a site and round", _bytes(record.summary.download_bytes_per_site_round)],
        *[
            [f"seconds of {name}, a site and round", f"{trained[column].mean():.3f}"]
            for name, column in stages.items()
        ],
        ["seconds in all, start-up included", _number(record.summary.seconds, 0)],
    ]
    return _table(["", f"engine: {record.summary.engine}"], rows)


def _privacy(summary: Summary) -> str:
    noise = (
        "No differential privacy: the prompt may reveal training text."
        if summary.epsilon is None
        else "Epsilon spent: "
        + ", ".join(f"{site} {_number(value)}" for site, value in summary.epsilon.items())
    )
    wire = (
        "Updates are not encrypted: whoever runs the server can read every site's update."
        if summary.encryption is None
        else f"Updates are encrypted: {summary.encryption}."
    )
    return f"{noise} {wire}"


def _data(summary: Summary) -> str:
    names = {
        "train_validation": "validation texts that also stand in training",
        "train_test": "test texts that also stand in training",
        "validation_test": "test texts that also stand in validation",
    }
    return _table(
        ["duplicates across splits", "texts"],
        [[names.get(key, key), str(count)] for key, count in summary.duplicates.items()],
    )


def _origin(record: Run) -> str:
    return _table(
        ["", ""],
        [
            ["commit", record.provenance.commit or "not from a checkout"],
            ["specification", record.provenance.specification_hash],
            ["adapter SHA-256", record.summary.adapter_sha256 or "none"],
            ["seed", str(record.summary.seed)],
        ],
    )


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def cells(kind: str, values: Sequence[str]) -> str:
        return "".join(
            f"<{kind}{NUMBER if place else ''}>{_text(value)}</{kind}>"
            for place, value in enumerate(values)
        )

    head = f"<tr>{cells('th', header)}</tr>" if any(header) else ""
    lines = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f"<table>{head}{lines}</table>"


def _text(value: str) -> str:
    return html.escape(value)


def _number(value: float | None, digits: int = 3) -> str:
    return "not measured" if value is None or value != value else f"{value:.{digits}f}"


def _share(value: float | None) -> str:
    return "an unmeasured part" if value is None else f"{100 * value:.1f} %"


def _bytes(value: float | None) -> str:
    return "not measured" if value is None else f"{value:,.0f}"

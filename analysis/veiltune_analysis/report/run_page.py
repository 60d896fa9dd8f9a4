"""The page about one run: its curves, its sites, what it cost, its protection, its origin."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from veiltune.errors import OutputError
from veiltune_analysis.report.card import card_html, read_card
from veiltune_analysis.report.charts import Axis, Chart, Curve, draw
from veiltune_analysis.report.choices import Choice, boxes, rules
from veiltune_analysis.report.looks import look
from veiltune_analysis.report.page import Heading, Section, page, text
from veiltune_analysis.report.parts import (
    SYNTHETIC,
    Cell,
    Row,
    duration,
    figure,
    folded,
    many,
    notices,
    number,
    pairs,
    paragraph,
    per_cent,
    share,
    size,
    table,
    tiles,
    word,
)
from veiltune_analysis.runs import Run, Summary, read_run
from veiltune_analysis.series import natural_key

SHARED = "shared"
LOSS = "validation loss (nats per example)"
ACCURACY = "validation accuracy"

DUPLICATES = {
    "train_validation": "validation texts that also stand in training",
    "train_test": "test texts that also stand in training",
    "validation_test": "test texts that also stand in validation",
}


def run_page(folder: Path) -> str:
    """The page about the run in `folder`, as HTML.

    Raises:
        OutputError: the record of the run is incomplete.
    """
    record = read_run(folder)
    summary = record.summary
    sites = sorted(summary.sites, key=natural_key)
    prompts = [SHARED, *sites]
    choice = Choice(0, "Prompts", prompts, [look(place) for place in range(len(prompts))])
    heading = Heading("veiltune · one run", summary.job, f"{_arm(summary)}, run {summary.run}")
    opening = [paragraph(_lead(summary)), notices(_notices(summary)), tiles(_figures(summary))]
    sections = [
        Section("curves", "Curves", _curves(record, sites, choice)),
        Section("sites", "Sites", _sites(record, sites)),
        Section("cost", "Traffic and time", _cost(record, sites)),
        Section("privacy", "Privacy card", list(card_html(read_card(folder), summary))),
        Section("origin", "Origin", _origin(record)),
    ]
    return page(heading, opening, sections, rules([choice]))


def _arm(summary: Summary) -> str:
    alone = f" ({summary.alone_site})" if summary.alone_site else ""
    return (
        f"{summary.arm}{alone}, {many(len(summary.sites), 'site')}, "
        f"{many(summary.rounds, 'round')}, seed {summary.seed}"
    )


def _lead(summary: Summary) -> str:
    return (
        f"A prompt for the frozen model “{summary.backbone}” was tuned on “{summary.data}”. "
        f"Validation loss: {number(summary.val_loss_first)} before, {number(summary.val_loss)} "
        "after (nats per example)."
    )


def _notices(summary: Summary) -> Iterable[str]:
    if summary.status != "complete":
        yield f"This run is {summary.status}: the figures are partial."
    if summary.synthetic:
        yield SYNTHETIC
    if summary.seeded_noise:
        yield (
            "Not private: seeded noise, which whoever knows the seed can take away. Epsilon is "
            "what the same run with system noise spends."
        )
    if summary.missing:
        yield f"Sites were missing in {many(len(summary.missing), 'case')}; see below."


def _figures(summary: Summary) -> list[tuple[str, str, str]]:
    spent = [value for value in (summary.epsilon or {}).values() if value is not None]
    epsilon = f"{max(spent):.3f}" if spent else "none"
    wire = "encrypted" if summary.encryption else "not encrypted"
    found = [
        ("Validation loss", number(summary.val_loss), f"{number(summary.val_loss_first)} untuned"),
        ("Validation accuracy", share(summary.val_accuracy), "of the shared prompt"),
        ("Test loss", number(summary.test_loss), f"accuracy {share(summary.test_accuracy)}"),
        ("Epsilon", epsilon, "the largest a site spent" if spent else "no noise was added"),
        ("Upload", size(summary.upload_bytes_per_site_round), f"a site and round, {wire}"),
        ("Time", duration(summary.seconds), f"with start-up, engine {summary.engine}"),
    ]
    return [each for each in found if each[1] != "not measured"]


def _curves(record: Run, sites: list[str], choice: Choice) -> list[str]:
    loss = _by_round(record.rounds, sites, choice, "global_loss", "local_loss")
    accuracy = _by_round(record.rounds, sites, choice, "global_accuracy", "local_accuracy")
    at = Axis("round")
    charts = [
        Chart("Loss", at, Axis(LOSS, is_log=True), loss),
        Chart("Accuracy", at, Axis(ACCURACY, limits=(0, 1)), accuracy),
    ]
    spent = _spent(record.rounds, sites, choice)
    if spent:
        charts.append(Chart("Privacy spent", at, Axis("epsilon, all rounds so far"), spent))
    return [
        boxes([choice]),
        draw(charts, "curves"),
        '<p class="quiet">“Shared” is the prompt all sites have after a round, from the untuned '
        "one at round 0. A site's curve is its own prompt after its training in a round, before "
        "the updates are combined. All on validation examples.</p>",
        folded("The numbers, round by round", _rounds(record.rounds, sites, choice)),
    ]


def _by_round(
    rounds: pd.DataFrame, sites: list[str], choice: Choice, shared: str, own: str
) -> list[Curve]:
    """Row r describes the shared prompt after r rounds and a site's own after r + 1."""
    mean = rounds.groupby("round")[shared].mean().dropna()
    curves = [_curve(SHARED, 0, choice, mean.index.to_series(), mean)]
    for place, site in enumerate(sites, start=1):
        rows = rounds[(rounds["site"] == site) & rounds[own].notna()]
        curves.append(_curve(site, place, choice, rows["round"] + 1, rows[own]))
    return curves


def _spent(rounds: pd.DataFrame, sites: list[str], choice: Choice) -> list[Curve]:
    curves = []
    for place, site in enumerate(sites, start=1):
        rows = rounds[(rounds["site"] == site) & rounds["epsilon"].notna()]
        if len(rows):
            curves.append(_curve(site, place, choice, rows["round"] + 1, rows["epsilon"]))
    return curves


def _curve(name: str, place: int, choice: Choice, x: pd.Series, y: pd.Series) -> Curve:
    values = [float(value) for value in y]
    return Curve(
        name,
        look(place),
        [float(value) for value in x],
        values,
        [f"{value:.3f}" for value in values],
        of=[choice.token(place)],
    )


def _rounds(rounds: pd.DataFrame, sites: list[str], choice: Choice) -> str:
    rows = [
        Row(
            [
                figure(row["round"], 0),
                word(row["site"]),
                figure(row["global_loss"]),
                per_cent(row["global_accuracy"]),
                figure(row["local_loss"]),
                per_cent(row["local_accuracy"]),
                figure(row["train_loss"]),
                figure(row["epsilon"]),
            ],
            [choice.token(sites.index(row["site"]) + 1)] if row["site"] in sites else [],
        )
        for row in rounds.to_dict("records")
    ]
    header = ["round", "site", "shared loss", "shared accuracy", "own loss", "own accuracy"]
    return table("Rounds", [*header, "training loss", "epsilon"], rows)


def _sites(record: Run, sites: list[str]) -> list[str]:
    summary = record.summary
    labels = sorted({label for counts in summary.label_counts.values() for label in counts})
    rows = []
    for site in sites:
        own = record.rounds[record.rounds["site"] == site]
        measured = [figure(_last(own["local_loss"])), per_cent(_last(own["local_accuracy"]))]
        rows.append(Row([word(site), *_counts(summary, [site], labels), *measured]))
    total = None
    if len(sites) > 1:
        measured = [figure(summary.val_loss), per_cent(summary.val_accuracy)]
        total = Row([word("all, shared prompt"), *_counts(summary, sites, labels), *measured])
    header = ["site", "examples", *labels, "texts cut", "final loss", "final accuracy"]
    return [
        table("Each site's examples and its own prompt", header, rows, total=total),
        paragraph(
            "A site's row gives the validation loss (nats per example) and accuracy of its own "
            "prompt after its last training. Texts cut: too long for the model's window."
        ),
        _missing(summary),
        _duplicates(summary),
    ]


def _counts(summary: Summary, sites: list[str], labels: list[str]) -> list[Cell]:
    """Examples, each label's count and cut texts, summed over `sites`."""
    by_label = [
        sum(summary.label_counts.get(site, {}).get(label, 0) for site in sites) for label in labels
    ]
    examples = sum(summary.examples.get(site, 0) for site in sites)
    cut = sum(summary.truncated.get(site, 0) for site in sites)
    return [figure(count, 0) for count in (examples, *by_label, cut)]


def _last(column: pd.Series) -> float | None:
    measured = column.dropna()
    return float(measured.iloc[-1]) if len(measured) else None


def _cost(record: Run, sites: list[str]) -> list[str]:
    summary = record.summary
    columns = {
        "bytes up": ("upload_bytes", 0),
        "bytes down": ("download_bytes", 0),
        "training, s": ("seconds_train", 1),
        "evaluation, s": ("seconds_evaluate", 1),
        "encoding, s": ("seconds_encode", 3),
        "decoding, s": ("seconds_decode", 3),
    }

    def sums(name: str, rows: pd.DataFrame) -> Row:
        return Row(
            [word(name), *[figure(float(rows[key].sum()), n) for key, n in columns.values()]]
        )

    rows = [sums(site, record.rounds[record.rounds["site"] == site]) for site in sites]
    total = sums("all sites", record.rounds) if len(sites) > 1 else None
    return [
        paragraph(
            f"A site sends {number(summary.upload_bytes_per_site_round, 0)} bytes and receives "
            f"{number(summary.download_bytes_per_site_round, 0)} bytes a round. Time with "
            f"start-up: {duration(summary.seconds)}, on the engine “{summary.engine}”."
        ),
        table("Sums over the rounds", ["site", *columns], rows, total=total),
    ]


def _missing(summary: Summary) -> str:
    if not summary.missing:
        return paragraph("Nobody was missing: every site took part in every recorded round.")
    rows = [
        Row([figure(each.round, 0), word(each.site), word(each.reason)]) for each in summary.missing
    ]
    return table("Who was missing", ["round", "site", "reason"], rows)


def _duplicates(summary: Summary) -> str:
    rows = [
        Row([word(DUPLICATES.get(key, key)), figure(n, 0)]) for key, n in summary.duplicates.items()
    ]
    return table("Duplicates across the splits", ["across splits", "texts"], rows) if rows else ""


def _origin(record: Run) -> list[str]:
    origin = record.provenance
    values = {
        **origin.model_dump(),
        "commit": origin.commit or "not from a repository",
        "adapter_sha256": record.summary.adapter_sha256 or "none",
    }
    return [
        pairs("Origin", values),
        folded("The resolved specification", f"<pre>{text(_specification(record.folder))}</pre>"),
    ]


def _specification(folder: Path) -> str:
    path = folder / "spec.yaml"
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise OutputError(
            f"expected the resolved specification in {path}, which cannot be read; "
            "run the job again to write it"
        ) from error

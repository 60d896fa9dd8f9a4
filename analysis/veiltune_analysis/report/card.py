"""The privacy card of a run, told from `privacy_card.json` as it stands in the run's folder."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from veiltune_analysis.report.parts import (
    Cell,
    Row,
    beside,
    bullets,
    figure,
    pairs,
    paragraph,
    table,
    word,
)
from veiltune_analysis.runs import Summary

CARD = "privacy_card.json"
NESTED = ("sites", "not_charged")


def read_card(folder: Path) -> dict[str, Any] | None:
    """The card in the run's folder; None where there is none that can be read."""
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return card if isinstance(card, dict) else None


def statement(card: Mapping[str, Any] | None, summary: Summary) -> str:
    """What protects the run, in a few sentences; from its summary where it has no card."""
    said = _from_summary(summary) if card is None else str(card.get("statement", ""))
    clipped = (
        f" {summary.clipped:,} values were out of range when they were sent; what was cut off "
        "followed in later rounds."
        if summary.clipped
        else ""
    )
    return f"{said}{clipped}"


def card_html(card: Mapping[str, Any] | None, summary: Summary) -> Iterable[str]:
    """The whole card as HTML."""
    yield paragraph(statement(card, summary))
    if card is None:
        yield paragraph(f"This run has no {CARD} that can be read: the card cannot be shown.")
        return
    yield beside(
        bullets("Kept out", _lines(card, "threats_kept_out")),
        bullets("Not kept out", _lines(card, "threats_not_kept_out")),
    )
    noised = card.get("example_level_dp")
    if isinstance(noised, Mapping):
        yield "<h3>Example-level differential privacy</h3>"
        yield pairs("Example-level differential privacy", _shown(noised))
        yield _sites(noised.get("sites"), card.get("epsilon"))
        yield bullets("Not charged to the budget", _lines(noised, "not_charged"))
    encryption = card.get("encryption")
    if isinstance(encryption, Mapping):
        yield "<h3>Encryption of updates</h3>"
        yield pairs("Encryption of updates", _shown(encryption))


def _from_summary(summary: Summary) -> str:
    noise = (
        "No differential privacy: the prompt may reveal training text."
        if summary.epsilon is None
        else "Epsilon spent: "
        + ", ".join(
            f"{site} {'unknown' if value is None else f'{value:.3f}'}"
            for site, value in summary.epsilon.items()
        )
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
    return f"{noise} {wire}"


def _sites(sites: object, epsilon: object) -> str:
    if not isinstance(sites, Mapping) or not sites:
        return ""
    spent = epsilon if isinstance(epsilon, Mapping) else {}
    columns = {
        "delta": ("delta", 0),
        "noise multiplier": ("noise_multiplier", 3),
        "sample rate": ("sample_rate", 4),
        "steps a round": ("steps_per_round", 0),
        "examples": ("examples", 0),
    }
    rows = []
    for site, each in sites.items():
        values = each if isinstance(each, Mapping) else {}
        cells = [word(site), figure(_number(spent.get(site)))]
        for name, digits in columns.values():
            value = _number(values.get(name))
            is_small = name == "delta" and value is not None
            cells.append(Cell(f"{value:.2g}", value, True) if is_small else figure(value, digits))
        cells.append(word(str(values.get("accountant", "")).upper()))
        rows.append(Row(cells))
    header = ["site", "epsilon spent", *columns, "accountant"]
    return table("What each site has spent", header, rows)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _shown(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: ", ".join(str(each) for each in value) if isinstance(value, list) else value
        for name, value in values.items()
        if name not in NESTED and value is not None
    }


def _lines(values: Mapping[str, Any], name: str) -> list[str]:
    lines = values.get(name)
    return [str(line) for line in lines] if isinstance(lines, list) else []

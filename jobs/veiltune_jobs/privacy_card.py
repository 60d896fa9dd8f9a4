"""The statement of what a run protects, and from whom: in this release, nothing.

The card is written for every run, so that a reader never has to guess from its absence.
"""

from typing import Any

from veiltune.records import RunFolder, write_json

CARD: dict[str, Any] = {
    "example_level_dp": None,
    "client_level_dp": None,
    "encryption": None,
    "statement": (
        "No differential privacy: the prompt may reveal training text. No encryption: whoever "
        "runs the server can read every site's update."
    ),
    "threats_kept_out": [],
    "threats_not_kept_out": [
        "a server that reads the updates of single sites",
        "other sites, or anyone with the prompt, who try to infer training text from it",
    ],
}


def write(folder: RunFolder, summary: dict[str, Any]) -> None:
    """`privacy_card.json` and `.md` state what protects this run."""
    card = {"run": summary["run"], **CARD, "epsilon": summary["epsilon"]}
    write_json(folder.card, card)
    threats = "\n".join(f"- {threat}" for threat in CARD["threats_not_kept_out"])
    folder.card_text.write_text(
        f"# Privacy card of run {summary['run']}\n\n{CARD['statement']}\n\n"
        f"| | |\n|---|---|\n| Example-level differential privacy | none |\n"
        f"| Client-level differential privacy | none |\n| Encryption of updates | none |\n\n"
        f"Not kept out:\n\n{threats}\n"
    )

"""The statement of what a run protects, from whom, and what it does not.

The card is written for every run, so that a reader never has to guess from its absence.
"""

from typing import Any

from veiltune.records import RunFolder, write_json
from veiltune_jobs import exchange
from veiltune_jobs.job import JobSpec

SIMULATED = (
    "a user of the machine on which this run was simulated: all sites, the server and the key "
    "files were there"
)
PROMPT = "other sites, or anyone with the prompt, who try to infer training text from it"
SHARED_KEY = (
    "the server together with any one site, or a site that overhears another's upload: all sites "
    "hold the same secret key"
)
ACTIVE_SERVER = "a server that breaks the protocol: it can leave updates out, repeat or alter them"
ACTIVE_SITE = "a site that breaks the protocol: it can send whatever numbers it likes"
READING_SERVER = "a server that reads the updates of single sites"


def write(folder: RunFolder, spec: JobSpec, summary: dict[str, Any]) -> None:
    """`privacy_card.json` and `.md` state what protects this run."""
    card = {
        "run": summary["run"],
        **statements(folder, spec, summary),
        "epsilon": summary["epsilon"],
    }
    write_json(folder.card, card)
    folder.card_text.write_text(_text(card))


def statements(folder: RunFolder, spec: JobSpec, summary: dict[str, Any]) -> dict[str, Any]:
    """What holds for a run of `spec`, as plain values."""
    public = exchange.public_part(spec, folder)
    no_dp = "No differential privacy: the prompt may reveal training text."
    if public is None:
        return {
            "example_level_dp": None,
            "client_level_dp": None,
            "encryption": None,
            "statement": f"{no_dp} No encryption: whoever runs the server can read every site's "
            f"update.",
            "threats_kept_out": [],
            "threats_not_kept_out": [READING_SERVER, ACTIVE_SERVER, ACTIVE_SITE, PROMPT, SIMULATED],
        }
    encryption = exchange.describe(spec, public.parameters)
    return {
        "example_level_dp": None,
        "client_level_dp": None,
        "encryption": {
            **encryption,
            "key_fingerprint": public.fingerprint,
            "key": "one for all sites, made for this run, "
            + ("destroyed at its end" if summary["status"] == "complete" else "kept to go on"),
        },
        "statement": f"{no_dp} Updates are encrypted ({exchange.short(encryption)}): the server "
        f"adds them and can read neither an update nor the sum.",
        "threats_kept_out": [
            "a server that follows the protocol and tries to read updates, their sum or the prompt"
        ],
        "threats_not_kept_out": [SHARED_KEY, ACTIVE_SERVER, ACTIVE_SITE, PROMPT, SIMULATED],
    }


def _text(card: dict[str, Any]) -> str:
    """The card for a person to read."""
    encryption = card["encryption"]
    rows = {
        "Example-level differential privacy": "none",
        "Client-level differential privacy": "none",
        "Encryption of updates": exchange.short(encryption) if encryption else "none",
    }
    if encryption:
        rows |= {
            "A slot of a sum decodes wrongly": exchange.failure(encryption),
            "Exact for sums of at most": f"{encryption['max_sites']} sites",
            "Key": f"{encryption['key']}; fingerprint {encryption['key_fingerprint']}",
        }
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    return (
        f"# Privacy card of run {card['run']}\n\n{card['statement']}\n\n| | |\n|---|---|\n{table}\n"
        f"{_list('Kept out', card['threats_kept_out'])}"
        f"{_list('Not kept out', card['threats_not_kept_out'])}"
    )


def _list(title: str, threats: list[str]) -> str:
    lines = "\n".join(f"- {threat}" for threat in threats)
    return f"\n{title}:\n\n{lines}\n" if threats else ""

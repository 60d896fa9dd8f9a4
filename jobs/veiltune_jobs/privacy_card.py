"""The statement of what a run protects, from whom, and what it does not.

The card is written for every run, so that a reader never has to guess from its absence.
"""

from dataclasses import asdict
from typing import Any

from veiltune.records import RunFolder, write_json
from veiltune_jobs import exchange, private_training
from veiltune_jobs.job import JobSpec
from veiltune_jobs.tracking import measurements_sent

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
FOLLOWING_SERVER = (
    "a server that follows the protocol and tries to read updates, their sum or the prompt"
)
READING_SERVER = "a server that reads the updates of single sites"


MEMBERSHIP = (
    "other sites, the server, or anyone with the prompt, who try to tell whether one training "
    "example was there: as far as epsilon and delta say"
)
NOT_CHARGED = [
    "choosing hyper-parameters, a round or a run by what it did on private data",
    "losses and accuracies that a site measures and tells",
    "validation and test examples",
    "how many examples a site has",
]


def write(folder: RunFolder, spec: JobSpec, summary: dict[str, Any]) -> None:
    """`privacy_card.json` and `.md` state what protects this run."""
    card = {"run": summary["run"], **statements(folder, spec, summary)}
    write_json(folder.card, card)
    folder.card_text.write_text(_text(card))


def statements(folder: RunFolder, spec: JobSpec, summary: dict[str, Any]) -> dict[str, Any]:
    """What holds for a run of `spec`, as plain values."""
    public = exchange.public_part(spec, folder)
    encryption = (
        None
        if public is None
        else {
            **exchange.describe(spec, public.parameters),
            "key_fingerprint": public.fingerprint,
            "key": "one for all sites, made for this run, "
            + ("destroyed at its end" if summary["status"] == "complete" else "kept to go on"),
        }
    )
    noised = private_training.describe(spec, summary["examples"])
    for site, each in (noised["sites"] if noised else {}).items():
        each |= asdict(private_training.spent(spec, folder, site, each["examples"]))
    private = noised is not None and noised["noise"] != "seeded"
    threats = {
        FOLLOWING_SERVER: True if encryption else None,
        READING_SERVER: None if encryption else False,
        SHARED_KEY: None if encryption is None else False,
        ACTIVE_SERVER: False,
        ACTIVE_SITE: False,
        MEMBERSHIP if private else PROMPT: private,
        SIMULATED: False,
    }
    return {
        "example_level_dp": noised and {**noised, "not_charged": NOT_CHARGED},
        "client_level_dp": None,
        "encryption": encryption,
        "measurements_sent": list(measurements_sent(spec)),
        "epsilon": summary["epsilon"],
        "statement": f"{_dp_sentence(noised, summary['epsilon'])} {_wire_sentence(encryption)}",
        "threats_kept_out": [threat for threat, kept_out in threats.items() if kept_out],
        "threats_not_kept_out": [threat for threat, out in threats.items() if out is False],
    }


def _dp_sentence(noised: dict[str, Any] | None, epsilon: dict[str, float] | None) -> str:
    if noised is None or epsilon is None:
        return "No differential privacy: the prompt may reveal training text."
    if noised["noise"] == "seeded":
        return "Not private: seeded noise, which whoever knows the seed can take away again."
    spent = max(epsilon.values())
    return (
        f"Differential privacy of single training examples: every site has spent at most epsilon "
        f"{spent:.3f}, at the delta below."
    )


def _wire_sentence(encryption: dict[str, Any] | None) -> str:
    if encryption is None:
        return "No encryption: whoever runs the server can read every site's update."
    return (
        f"Updates are encrypted ({exchange.short(encryption)}): the server adds them and can read "
        f"neither an update nor the sum."
    )


def _text(card: dict[str, Any]) -> str:
    """The card for a person to read."""
    rows = {**_dp_rows(card["example_level_dp"], card["epsilon"])}
    rows["Client-level differential privacy"] = "none"
    rows |= _encryption_rows(card["encryption"])
    rows["Measurements sent in clear"] = ", ".join(card["measurements_sent"]) or "none"
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    noised = card["example_level_dp"]
    return (
        f"# Privacy card of run {card['run']}\n\n{card['statement']}\n\n| | |\n|---|---|\n"
        f"{table}\n"
        f"{_list('Kept out', card['threats_kept_out'])}"
        f"{_list('Not kept out', card['threats_not_kept_out'])}"
        f"{_list('Not charged to the budget', noised['not_charged'] if noised else [])}"
    )


def _dp_rows(noised: dict[str, Any] | None, epsilon: dict[str, float] | None) -> dict[str, str]:
    if noised is None or epsilon is None:
        return {"Example-level differential privacy": "none"}
    rows = {
        "Example-level differential privacy": f"{noised['mechanism']}, {noised['space']} space",
        "Unit and neighbours": f"{noised['unit']}; {noised['neighbours']}",
        "Clip norm; noise": f"{noised['clip_norm']:g}; {noised['noise']}",
        "Sampler; accountant": f"{noised['sampler']}; {noised['accountant']}",
        "Ledger": noised["ledger"],
    }
    for site, each in noised["sites"].items():
        rows[f"Site {site}"] = (
            f"epsilon {epsilon[site]:.3f} spent at delta {each['delta']:.3g} "
            f"({each['accountant'].upper()}{': ' + each['note'] if each['note'] else ''}); noise "
            f"multiplier "
            f"{each['noise_multiplier']:g}, rate {each['sample_rate']:.4g}, "
            f"{each['steps_per_round']} steps a round, {each['examples']} examples"
        )
    return rows


def _encryption_rows(encryption: dict[str, Any] | None) -> dict[str, str]:
    if encryption is None:
        return {"Encryption of updates": "none"}
    return {
        "Encryption of updates": exchange.short(encryption),
        "A slot of a sum decodes wrongly": exchange.failure(encryption),
        "Exact for sums of at most": f"{encryption['max_sites']} sites",
        "Key": f"{encryption['key']}; fingerprint {encryption['key_fingerprint']}",
    }


def _list(title: str, lines: list[str]) -> str:
    return f"\n{title}:\n\n" + "\n".join(f"- {line}" for line in lines) + "\n" if lines else ""

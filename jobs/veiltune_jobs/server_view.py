"""What a run's server received and stored, and what can be made of it without a site's key."""

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np

from veiltune.errors import PayloadError
from veiltune.federation import Payload, PlainCodec, read_payload
from veiltune.federation.coordinator import RECEIVED_FILE
from veiltune.records import RunFolder
from veiltune_jobs import exchange
from veiltune_jobs.job import load_job
from veiltune_jobs.run import open_run
from veiltune_jobs.tracking import measurements_sent
from veiltune_privacy.he.cipher import EncryptedIntegers
from veiltune_privacy.he.keys import PublicPart, generate_key
from veiltune_privacy.he.parameters import Form

SECRET_KEY = {
    None: "no site has one any more, so there is nothing to look for",
    False: "in none of the files below",
    True: "FOUND in the files below",
}


def server_view(path: Path) -> dict[str, Any]:
    """Everything in the server's folder of the run at `path`, and whether it can be read.

    Raises:
        OutputError: `path` is not the folder of a run.
    """
    folder, summary = open_run(path)
    spec = load_job(folder.spec)
    public = exchange.public_part(spec, folder)
    journal = folder.server / RECEIVED_FILE
    lines = journal.read_text().splitlines() if journal.exists() else []
    received = [json.loads(line) for line in lines]
    sums = {
        file.name: read_payload(np.fromfile(file, np.uint8))
        for file in sorted(folder.server.glob("sum-*.bin"))
    }
    return {
        "run": summary["run"],
        "encryption": summary["encryption"],
        "replies": len(received),
        "updates": sum(entry.get("update") is not None for entry in received),
        "refused": sum(entry["refused"] is not None for entry in received),
        "fields": sorted({field for entry in received for field in entry}),
        "update_fields": sorted(
            {field for entry in received for field in entry.get("update") or ()}
        ),
        "measurements": list(measurements_sent(spec)),
        "files": {file.name: file.stat().st_size for file in sorted(folder.server.iterdir())},
        "sums": {name: _reading(total, public) for name, total in sums.items()},
        "secret_key_found": _finds_secret_key(folder, spec.sites()),
    }


def describe(view: dict[str, Any]) -> str:
    """The view for a person to read."""
    lines = [
        f"What the server of run {view['run']} has seen",
        f"encryption  {view['encryption'] or 'none'}",
        f"received    {view['updates']} updates in {view['replies']} replies, "
        f"{view['refused']} refused",
        f"a reply     {', '.join(view['fields'])}",
        f"an update   {', '.join(view['update_fields'])}, and its body",
        f"in clear    {', '.join(view['measurements']) or 'no measurement'}",
        f"secret key  {SECRET_KEY[view['secret_key_found']]}",
        "stored",
    ]
    for name, size in view["files"].items():
        reading = view["sums"].get(name)
        lines.append(f"  {name}  {size:,} bytes" + (f"  {reading}" if reading else ""))
    return "\n".join(lines)


def _reading(total: Payload, public: PublicPart | None) -> str:
    """What comes out of a stored sum, by whatever the server has or could make itself."""
    if public is not None:
        try:
            # Parameters are public, so anybody can make a key for them; it is just another one.
            form: Form = "full" if total.header.codec.endswith("full") else "seeds"
            EncryptedIntegers(generate_key(public.parameters), form, processes=1).open(total)
        except PayloadError:
            return "does not open under a key made from what the server has"
        return "OPENED under a key made from what the server has"
    if total.header.codec == "plain-float32":
        norm = PlainCodec().decode(total).mean.norm().item()
        return f"can be read: the mean update, of norm {norm:.4g}"
    integers = total.body.view("<i4")
    return f"can be read: {integers.size:,} integers, from {integers.min()} to {integers.max()}"


def _finds_secret_key(folder: RunFolder, sites: tuple[str, ...]) -> bool | None:
    """Whether a site's key lies anywhere in the server's folder; None if no site has one left."""
    paths = [folder.site(site) / exchange.SECRET_KEY_FILE for site in sites]
    texts = {json.loads(path.read_text())["key"].encode() for path in paths if path.exists()}
    if not texts:
        return None
    stored = [file.read_bytes() for file in folder.server.iterdir()]
    return any(
        text in content or base64.b64decode(text) in content for text in texts for content in stored
    )

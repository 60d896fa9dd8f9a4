"""Copies a finished run's prompt to where another program loads it from."""

import shutil
from pathlib import Path

from veiltune.adapter import save_adapter
from veiltune.backbone import EMBEDDED, EMBEDDED_FOLDER
from veiltune.errors import OutputError
from veiltune_jobs.job import load_job
from veiltune_jobs.run import open_prompt

FORMATS = ("peft",)


def export(run: Path, output: Path, to: str, site: str | None) -> Path:
    """`output` holds the prompt in the format `to`, with the run's specification and card.

    Raises:
        OutputError: the run has no such prompt, the format is unknown, or `output` has files.
    """
    if to not in FORMATS:
        raise OutputError(f"--to must be one of {', '.join(FORMATS)}, got {to!r}")
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise OutputError(f"--output must be a new or empty folder, {output} is not; name another")
    folder, _, encoder = open_prompt(run, site)
    name = load_job(folder.spec).backbone.name
    try:
        save_adapter(encoder, output, str(EMBEDDED_FOLDER) if name == EMBEDDED else name)
        for path in (folder.spec, folder.provenance, folder.card_text):
            shutil.copy(path, output / path.name)
    except OSError as error:
        raise OutputError(
            f"the prompt is written to {output}, which cannot be written ({error.strerror}); name "
            f"another folder"
        ) from error
    return output

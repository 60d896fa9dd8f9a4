"""`report.html`: written from the records in a folder, beside them."""

from pathlib import Path

from veiltune.errors import OutputError
from veiltune_analysis.report.run_page import run_page
from veiltune_analysis.report.sweep_page import sweep_page
from veiltune_analysis.tables import SWEEP

REPORT = "report.html"


def write_report(folder: Path) -> Path:
    """`report.html` of the run or sweep in `folder` is written from its records; returns its path.

    Raises:
        OutputError: the record is incomplete, or the page cannot be written.
    """
    content = sweep_page(folder) if (folder / SWEEP).exists() else run_page(folder)
    path = folder / REPORT
    try:
        path.write_text(content, encoding="utf-8")
    except OSError as error:
        raise OutputError(
            f"expected to write {path}, got {error.strerror}; give the folder back its "
            "write permission or copy it elsewhere"
        ) from error
    return path

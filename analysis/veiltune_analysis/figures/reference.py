"""The reference figure of a sweep: its two panels for each split, and its tables."""

from pathlib import Path

import pandas as pd

from veiltune.errors import OutputError
from veiltune_analysis.figures.panels import reference_panels
from veiltune_analysis.figures.stamp import stamp_of_sweep
from veiltune_analysis.figures.swept import complete_runs
from veiltune_analysis.results import results
from veiltune_analysis.series import CENTRALISED, EQUAL_STEPS, FEDERATED
from veiltune_analysis.tables import SweepRecord

SPLIT, ARMS = "split", "arms"
"""The axes of the sweep: how the data are dealt, and who trains on what."""


def reference(record: SweepRecord, folder: Path) -> tuple[Path, ...]:
    """Both panels for each split stand in `folder`, with the tables of arms and differences.

    Raises:
        OutputError: no run is complete, the sweep has other axes, or `folder` cannot be written.
    """
    runs = complete_runs(record)
    if not {SPLIT, ARMS} <= record.tables.axes.keys():
        raise OutputError(
            f"expected a sweep with the axes {SPLIT} and {ARMS} to draw {record.name}, which has "
            f"{', '.join(record.tables.axes) or 'none'}; run the sweep that is shipped"
        )
    splits = [label for label in record.tables.axes[SPLIT] if (runs[SPLIT] == label).any()]
    rounds = record.tables.complete().rounds
    files = reference_panels(
        [(str(split), _of(rounds, split)) for split in splits],
        folder,
        stamp_of_sweep(record),
        record.name,
    )
    tables = results([(str(split), _of(runs, split)) for split in splits])
    try:
        markdown = folder / f"{record.name}.md"
        markdown.write_text(tables.markdown() + "\n", encoding="utf-8")
        arms, differences = (
            folder / f"{record.name}-{table}.csv" for table in ("results", "differences")
        )
        tables.arms.to_csv(arms, index=False)
        tables.differences.to_csv(differences, index=False)
    except OSError as error:
        raise OutputError(
            f"expected to write tables to {folder}, got {error.strerror}; name another folder"
        ) from error
    return files.png, files.pdf, files.csv, markdown, arms, differences


def _of(table: pd.DataFrame, split: object) -> pd.DataFrame:
    """The rows of one split, once a run and round, under the arms' own names."""
    own = table[table[SPLIT] == split]
    named = own[ARMS].isin([FEDERATED, CENTRALISED, EQUAL_STEPS])
    return own.assign(arm=own["arm"].where(~named, own[ARMS])).reset_index(drop=True)

"""The book: which function draws the sweep of which figure."""

from collections.abc import Callable
from pathlib import Path

from veiltune_analysis.figures.ablations import bits, clip_and_noise, sites, skew
from veiltune_analysis.figures.frontier import frontier
from veiltune_analysis.figures.reference import reference
from veiltune_analysis.tables import SweepRecord

Draw = Callable[[SweepRecord, Path], tuple[Path, ...]]
"""Draws a sweep's figure into a folder and returns its files."""

BOOK: dict[str, Draw] = {
    "reference-panels": reference,
    "frontier": frontier,
    "clip-and-noise": clip_and_noise,
    "sites": sites,
    "skew": skew,
    "bits": bits,
}

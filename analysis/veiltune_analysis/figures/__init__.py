"""The figures: each drawn from recorded runs alone, with its numbers and a stamp."""

from veiltune_analysis.figures.files import FigureFiles
from veiltune_analysis.figures.panels import reference_panels
from veiltune_analysis.figures.stamp import Stamp, stamp_of

__all__ = ["FigureFiles", "Stamp", "reference_panels", "stamp_of"]

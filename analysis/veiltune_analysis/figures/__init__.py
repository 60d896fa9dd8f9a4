"""The figures: each drawn from recorded runs alone, with its numbers and a stamp."""

from veiltune_analysis.figures.accountants import accountants
from veiltune_analysis.figures.book import BOOK
from veiltune_analysis.figures.encryption_cost import CostRecord, encryption_cost, load_costs
from veiltune_analysis.figures.files import FigureFiles
from veiltune_analysis.figures.panels import reference_panels
from veiltune_analysis.figures.stamp import Stamp, stamp_of, stamp_of_sweep

__all__ = [
    "BOOK",
    "CostRecord",
    "FigureFiles",
    "Stamp",
    "accountants",
    "encryption_cost",
    "load_costs",
    "reference_panels",
    "stamp_of",
    "stamp_of_sweep",
]

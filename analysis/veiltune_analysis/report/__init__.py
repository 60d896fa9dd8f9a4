"""The report: one self-contained page about a run or a sweep."""

from veiltune_analysis.report.report import write_report

__all__ = ["write_report"]

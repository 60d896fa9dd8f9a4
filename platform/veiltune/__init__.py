"""Federated prompt tuning of a frozen language model: the ground, knowing nothing of privacy."""

from importlib.metadata import version

__version__ = version("veiltune")

__all__ = ["__version__"]

"""Labelled texts: where they come from, how sites share them, what a language model reads."""

from veiltune.data.encoding import EncodedExamples, Tokenizer, encode
from veiltune.data.examples import Dataset, Example, label_counts
from veiltune.data.headlines import headline_dataset
from veiltune.data.partition import PartitionConfig, groups_by_site, partition, site_names
from veiltune.data.phrasebank import phrasebank_dataset
from veiltune.data.source import DataConfig, duplicates_across_splits, load_dataset
from veiltune.data.tables import Columns, table_dataset
from veiltune.data.template import DEFAULT_TEMPLATE, PROMPT_MARKER, Template

__all__ = [
    "DEFAULT_TEMPLATE",
    "PROMPT_MARKER",
    "Columns",
    "DataConfig",
    "Dataset",
    "EncodedExamples",
    "Example",
    "PartitionConfig",
    "Template",
    "Tokenizer",
    "duplicates_across_splits",
    "encode",
    "groups_by_site",
    "headline_dataset",
    "label_counts",
    "load_dataset",
    "partition",
    "phrasebank_dataset",
    "site_names",
    "table_dataset",
]

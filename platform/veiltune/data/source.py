"""Where a job's examples come from: the embedded corpus, Financial PhraseBank or a table."""

import codecs
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from veiltune.config import Section
from veiltune.data.examples import Dataset
from veiltune.data.headlines import headline_dataset
from veiltune.data.partition import PartitionConfig
from veiltune.data.phrasebank import PHRASEBANK_ENCODING, phrasebank_dataset
from veiltune.data.splits import REFERENCE_SEED
from veiltune.data.tables import TABLE_ENCODING, TABLE_SUFFIXES, Columns, table_dataset
from veiltune.data.template import DEFAULT_TEMPLATE, Template
from veiltune.errors import DataError

Source = Literal["headlines", "phrasebank", "table"]


class DataConfig(Section):
    """The examples of a job, how a language model reads them, and how sites share them."""

    source: Literal["auto", "headlines", "phrasebank", "table"] = "auto"
    """`headlines`: the embedded synthetic corpus. `phrasebank`: the user's copy of Financial
    PhraseBank. `table`: the user's JSONL, CSV or TSV. `auto`: headlines without a `path`, a table
    for a path that ends so, else Financial PhraseBank."""
    path: Path | None = None
    """The user's file (for phrasebank also its folder or zip); not for headlines."""
    encoding: str | None = None
    """Encoding of the file; null means ISO-8859-1 for phrasebank and UTF-8 for a table."""

    train: int = Field(default=1800, ge=1)
    """Training examples over all sites, 1 or more; only for headlines."""
    validation: int = Field(default=225, ge=1)
    """Validation examples, 1 or more; only for headlines."""
    test: int = Field(default=225, ge=1)
    """Test examples, 1 or more; only for headlines."""
    disagreement: float = Field(default=0.07, ge=0, le=1)
    """Share of labels on which annotators disagree, 0 to 1; only for headlines."""
    seed: int | None = Field(default=None, ge=0)
    """Seed of the drawn headlines, 0 or more; null takes the job's seed, so that each seed draws
    its own corpus. Only for headlines."""

    train_fraction: float = Field(default=0.8, gt=0, lt=1)
    """Share of the rows that is trained on, between 0 and 1; for phrasebank and a table."""
    validation_fraction: float = Field(default=0.1, gt=0, lt=1)
    """Share of the rows that is validated on, between 0 and 1; the rest is the test."""
    split_seed: int = Field(default=REFERENCE_SEED, ge=0)
    """Seed of the shuffle before rows are split, 0 or more; the same for every job seed, so that no
    job tests on what another has trained on. With the defaults the split of Financial PhraseBank is
    the reference's."""

    text_column: str = Field(default="text", min_length=1)
    """Name of the column with the text; only for a table."""
    label_column: str = Field(default="label", min_length=1)
    """Name of the column with the label; only for a table."""
    group_column: str | None = Field(default=None, min_length=1)
    """Name of a column to partition by (a sector, a department), or null; only for a table."""
    labels: tuple[str, ...] = ()
    """The labels in the order in which they are reported; empty means those of the file, sorted.
    Only for a table."""

    template: str = DEFAULT_TEMPLATE
    """Marker of the virtual prompt, `{sentence}` and `{label}`, with the words between them."""
    partition: PartitionConfig = PartitionConfig()
    """How the training examples are dealt to the sites."""

    def resolved_source(self) -> Source:
        """The source that `auto` stands for here."""
        if self.source != "auto":
            return self.source
        if self.path is None:
            return "headlines"
        return "table" if self.path.suffix.lower() in TABLE_SUFFIXES else "phrasebank"

    @field_validator("encoding")
    @classmethod
    def _encoding_is_known(cls, encoding: str | None) -> str | None:
        if encoding is not None:
            try:
                codecs.lookup(encoding)
                "a".encode(encoding)  # refuses codecs that are not of text, such as base64
            except (LookupError, ValueError):
                raise ValueError(
                    f"expected a text encoding that Python knows, got {encoding!r}; common ones are"
                    " utf-8, iso-8859-1, cp1252 and utf-16"
                ) from None
        return encoding

    @field_validator("labels")
    @classmethod
    def _labels_differ(cls, labels: Sequence[str]) -> Sequence[str]:
        if labels and (len(set(labels)) < max(2, len(labels)) or not all(map(str.strip, labels))):
            raise ValueError(
                f"expected two or more different labels, got {list(labels)}; correct the list, or"
                " leave it empty to take the labels of the file"
            )
        return labels

    @field_validator("template")
    @classmethod
    def _template_parses(cls, template: str) -> str:
        try:
            Template.parse(template)
        except DataError as error:
            raise ValueError(str(error)) from None
        return template

    @model_validator(mode="after")
    def _parts_fit(self) -> "DataConfig":
        if self.train_fraction + self.validation_fraction >= 1:
            raise ValueError(
                "train_fraction and validation_fraction must sum to less than 1, got"
                f" {self.train_fraction:g} and {self.validation_fraction:g}; leave some to test"
            )
        if self.source in ("phrasebank", "table") and self.path is None:
            raise ValueError(f"the source {self.source} needs a file; set path to your copy")
        if self.source == "headlines" and self.path is not None:
            raise ValueError(
                "the source headlines is drawn and reads no file, but path is set; remove path, or"
                " set source to auto"
            )
        return self


def load_dataset(config: DataConfig, seed: int) -> Dataset:
    """The three splits of the configured data; `seed` is the job's.

    Raises: DataError when the data cannot be used as they are.
    """
    source = config.resolved_source()
    if config.path is None or source == "headlines":
        drawn = seed if config.seed is None else config.seed
        return headline_dataset(
            config.train, config.validation, config.test, drawn, config.disagreement
        )
    path = Path(os.path.expanduser(config.path))  # an unknown user is left as it is
    fractions = config.train_fraction, config.validation_fraction
    if source == "table":
        columns = Columns(config.text_column, config.label_column, config.group_column)
        encoding = config.encoding or TABLE_ENCODING
        return table_dataset(path, columns, config.labels, encoding, config.split_seed, *fractions)
    named_so = path.suffix.lower() in ("", ".txt", ".zip")
    if config.source == "auto" and path.is_file() and not named_so:
        raise DataError(
            f"cannot tell from its name what {path} is; a table ends in"
            f" {', '.join(TABLE_SUFFIXES)}, Financial PhraseBank in .txt or .zip; rename the file"
            " or set data.source"
        )
    encoding = config.encoding or PHRASEBANK_ENCODING
    return phrasebank_dataset(path, encoding, config.split_seed, *fractions)


def duplicates_across_splits(dataset: Dataset) -> dict[str, int]:
    """How many texts of the later split also stand in the earlier one, for each pair of splits.

    Texts are compared without regard to case and to the amount of white space; a text that the
    later split holds twice counts twice. Labels are not compared.
    """
    train, validation, test = (
        [" ".join(example.text.casefold().split()) for example in part]
        for part in (dataset.train, dataset.validation, dataset.test)
    )
    return {
        "train_validation": _also_in(train, validation),
        "train_test": _also_in(train, test),
        "validation_test": _also_in(validation, test),
    }


def _also_in(earlier: Sequence[str], later: Sequence[str]) -> int:
    known = set(earlier)
    return sum(text in known for text in later)

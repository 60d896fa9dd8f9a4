"""Cuts rows into training, validation and test."""

import random
from collections.abc import Sequence

from veiltune.data.examples import Example
from veiltune.errors import DataError

REFERENCE_SEED = 1234
Splits = tuple[tuple[Example, ...], tuple[Example, ...], tuple[Example, ...]]


def split(
    rows: Sequence[Example],
    seed: int = REFERENCE_SEED,
    train_fraction: float = 0.8,
    validation_fraction: float = 0.1,
) -> Splits:
    """Training, validation and test rows, shuffled and cut by the rule of the reference.

    With the default arguments this is the split of NeMo's preprocessing of Financial PhraseBank
    (v1.17, `prompt_learning_financial_phrase_bank_preprocessing.py`): shuffle with Python's own
    generator, take the first 80 % down to a whole row, give half of the rest, rounded down, to
    validation.

    Raises: DataError when a split would be empty.
    """
    shuffled = list(rows)
    random.Random(seed).shuffle(shuffled)
    train = int(len(shuffled) * train_fraction)
    # Rounded, so that 0.1 of the 0.2 that 0.8 leaves is the half it is meant to be.
    validation_share = round(validation_fraction / (1 - train_fraction), 12)
    validation = int((len(shuffled) - train) * validation_share)
    parts = shuffled[:train], shuffled[train : train + validation], shuffled[train + validation :]
    if not all(parts):
        raise DataError(
            f"{len(shuffled)} rows leave {', '.join(str(len(part)) for part in parts)} for"
            " training, validation and test, but each needs one at least; give more rows or change"
            " data.train_fraction and data.validation_fraction"
        )
    return tuple(parts[0]), tuple(parts[1]), tuple(parts[2])

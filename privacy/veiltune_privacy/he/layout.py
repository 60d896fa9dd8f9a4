"""Where in a row of digits what is: values, clipped counts, weight."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from veiltune.errors import RunError
from veiltune_privacy.he.quantisation import BLOCK

WEIGHT_BITS = 40
"""Weights are whole numbers below 2 ** 40."""


@dataclass(frozen=True)
class Layout:
    """The digits of one update.

    Args:
        parameters: Values of the update.
        levels: The largest magnitude of a digit.
    """

    parameters: int
    levels: int

    @property
    def blocks(self) -> int:
        """Blocks of values that share a range, each with a count of clipped values."""
        return -(-self.parameters // BLOCK)

    @property
    def weight_digits(self) -> int:
        """Digits of a weight, to the base `levels + 1`, the lowest first."""
        return math.ceil(WEIGHT_BITS / math.log2(self.levels + 1))

    @property
    def digits(self) -> int:
        """Digits of a whole row."""
        return self.parameters + self.blocks + self.weight_digits

    def join(
        self, values: NDArray[np.int32], clipped: NDArray[np.int64], weight: float
    ) -> NDArray[np.int32]:
        """The row `(digits,)` of one update. A count above `levels` is told as `levels`.

        Raises:
            RunError: the weight is no whole number from 1 to 2 ** 40.
        """
        if not 1 <= weight < 2**WEIGHT_BITS or weight != int(weight):
            raise RunError(
                f"a site's weight must be a whole number from 1 to 2 ** {WEIGHT_BITS}, got {weight}"
            )
        row = np.empty(self.digits, np.int32)
        row[: self.parameters] = values
        row[self.parameters : self.parameters + self.blocks] = np.minimum(clipped, self.levels)
        rest = int(weight)
        for place in range(self.parameters + self.blocks, self.digits):
            rest, row[place] = divmod(rest, self.levels + 1)
        return row

    def split(self, sums: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
        """Values `(parameters,)`, clipped counts `(blocks,)` and weight in a sum of rows."""
        values, clipped, row = np.split(sums, [self.parameters, self.parameters + self.blocks])
        weight = sum(int(digit) * (self.levels + 1) ** place for place, digit in enumerate(row))
        return values, clipped, weight

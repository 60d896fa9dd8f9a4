"""Values to integers and back: one range a block, agreed by all sites before anybody encrypts.

A value x of a block with range c becomes the integer nearest to x L / c, from -L to L. The ranges
of the first round are fixed; those of the next follow from the decrypted sum of this one, which all
sites hold, so every site comes to the same ranges without saying how large its own values are.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from veiltune.errors import RunError

BLOCK = 4096
"""Consecutive values that share a range."""
BLOCKS_AT_A_TIME = 256
"""Blocks that are worked on at a time, so that temporary arrays stay small."""

HEADROOM = 4.0
"""Ranges shrink towards so many times what a site's largest value seems to be."""
SMALLEST_RANGE = 2.0**-60
"""Ranges shrink no further, so that they stay positive where nothing changes any more."""

Ranges = NDArray[np.float64]


@dataclass(frozen=True)
class Quantised:
    """Integers, and what they do not say."""

    digits: NDArray[np.int32]
    """`(values,)`, from `-levels` to `levels`."""
    residual: NDArray[np.float32]
    """`(values,)`, what was clipped or rounded away."""
    clipped: NDArray[np.int64]
    """`(blocks,)`, how many values were out of range."""


@dataclass(frozen=True, kw_only=True)
class Quantiser:
    """How values become integers."""

    bits: int
    """Bits of an integer, its sign included."""
    rounding: Literal["nearest", "stochastic"]

    @property
    def levels(self) -> int:
        """L, the largest magnitude."""
        return levels(self.bits)

    def quantise(
        self, values: NDArray[np.float32], ranges: Ranges, draw: np.random.Generator | None
    ) -> Quantised:
        """The integers of `values`, `(values,)`, under `ranges`, `(blocks,)`.

        Args:
            draw: Decides stochastic rounding; not used for the nearest integer.

        Raises:
            RunError: a value is infinite or NaN.
        """
        wrong = len(values) - int(np.isfinite(values).sum())
        if wrong:
            raise RunError(
                f"an update must be finite to be sent, but {wrong} of its {len(values)} values are "
                f"infinite or NaN; lower training.learning_rate or set training.gradient_clip"
            )
        digits = np.empty(len(values), np.int32)
        residual = np.empty(len(values), np.float32)
        clipped = np.zeros(len(ranges), np.int64)
        for part, blocks in _parts(len(values)):
            count = part.stop - part.start
            reach = ranges[blocks][:, None]
            step = reach / self.levels
            rows = _rows(values[part])
            # Before the division, whose rounding would put values at their range's end beyond it.
            clipped[blocks] = np.count_nonzero(np.abs(rows) > reach, axis=1)
            rows /= step
            self._round(rows, draw)
            np.clip(rows, -self.levels, self.levels, out=rows)
            digits[part] = rows.reshape(-1)[:count]
            rows *= step
            residual[part] = values[part] - rows.reshape(-1)[:count]
        return Quantised(digits, residual, clipped)

    def dequantise(self, sums: NDArray[np.int64], ranges: Ranges) -> NDArray[np.float64]:
        """The values `(values,)` that summed integers stand for."""
        values = np.empty(len(sums))
        for part, blocks in _parts(len(sums)):
            rows = _rows(sums[part])
            rows *= (ranges[blocks] / self.levels)[:, None]
            values[part] = rows.reshape(-1)[: part.stop - part.start]
        return values

    def error_bound(self, ranges: Ranges) -> Ranges:
        """`(blocks,)`: how far one site's value in range can be from its integer's."""
        return ranges / self.levels * (0.5 if self.rounding == "nearest" else 1.0)

    def _round(self, scaled: NDArray[np.float64], draw: np.random.Generator | None) -> None:
        """Rounds in place."""
        if self.rounding == "stochastic":
            assert draw is not None
            scaled += draw.random(scaled.shape)
            np.floor(scaled, out=scaled)
        else:
            np.rint(scaled, out=scaled)


def levels(bits: int) -> int:
    """The largest magnitude of a signed integer of so many bits, the same both ways."""
    return int(2 ** (bits - 1) - 1)


def first_ranges(values: int, first_range: float) -> Ranges:
    """The ranges `(blocks,)` of the first round."""
    return np.full(-(-values // BLOCK), float(first_range))


def next_ranges(
    ranges: Ranges,
    sums: NDArray[np.int64],
    clipped: NDArray[np.int64],
    sites: int,
    quantiser: Quantiser,
) -> Ranges:
    """The ranges after a round, from its opened sums; the same at every site.

    A block in which any site clipped gets twice its range. Any other may shrink, by half at most,
    towards `HEADROOM` times sqrt(sites) times its largest mean: values of single sites are larger
    than their mean, by about the square root of their number where they have little in common.

    Args:
        sums: Summed integers `(values,)`.
        clipped: All sites' clipped values `(blocks,)`.
        sites: How many sites are in the sum.
    """
    largest = np.empty(len(ranges))
    for part, blocks in _parts(len(sums)):
        rows = _rows(sums[part])
        largest[blocks] = np.maximum(rows.max(axis=1), -rows.min(axis=1))
    mean = largest * ranges / quantiser.levels / sites
    wanted = np.clip(HEADROOM * np.sqrt(sites) * mean, ranges / 2, ranges)
    return np.maximum(np.where(clipped > 0, 2 * ranges, wanted), SMALLEST_RANGE)


def _parts(values: int) -> list[tuple[slice, slice]]:
    """The values in turn, and the blocks that they are."""
    count = -(-values // BLOCK)
    return [
        (
            slice(first * BLOCK, min(values, (first + BLOCKS_AT_A_TIME) * BLOCK)),
            slice(first, min(count, first + BLOCKS_AT_A_TIME)),
        )
        for first in range(0, count, BLOCKS_AT_A_TIME)
    ]


def _rows(values: NDArray[Any]) -> NDArray[np.float64]:
    """The values as rows of one block each, the last filled up with zeros."""
    rows = np.zeros((-(-len(values) // BLOCK), BLOCK))
    rows.reshape(-1)[: len(values)] = values
    return rows

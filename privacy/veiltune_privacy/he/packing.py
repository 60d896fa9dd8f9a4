"""Several integers in one slot, wide enough for the sum over all sites.

A slot is a number in a signed mixed radix: k digits, each of which can hold the sum of what
`max_sites` sites send, so that adding slots adds digits and nothing ever carries over.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from veiltune.errors import PayloadError

FLOAT64_BITS = 53
"""Integers below 2 ** 53 are exact in float64, in which slots are kept."""


@dataclass(frozen=True, kw_only=True)
class Packing:
    """How integers share a slot.

    *Guarantee*: `unpack` of a sum of at most `max_sites` results of `pack` is the exact sum of
    their digits.

    Raises:
        ValueError: no slot holds a digit, or a slot would not be exact in float64.
    """

    levels: int
    """The largest magnitude of one site's digit."""
    max_sites: int
    """The most sites whose sum is exact."""
    digits_per_slot: int
    """k, the digits that share a slot."""

    def __post_init__(self) -> None:
        if min(self.levels, self.max_sites, self.digits_per_slot) < 1:
            raise ValueError(
                f"levels, max_sites and digits_per_slot must be at least 1, got {self.levels}, "
                f"{self.max_sites} and {self.digits_per_slot}"
            )
        if self.slot_bits >= FLOAT64_BITS:
            raise ValueError(
                f"a slot must have fewer than {FLOAT64_BITS} bits, got {self.slot_bits:.1f}; take "
                f"fewer digits per slot, fewer sites or fewer levels"
            )

    @property
    def radix(self) -> int:
        """How many values the sum of one digit has."""
        return 2 * self.max_sites * self.levels + 1

    @property
    def slot_limit(self) -> int:
        """The largest magnitude of a summed slot."""
        return (int(self.radix**self.digits_per_slot) - 1) // 2

    @property
    def slot_bits(self) -> float:
        """Bits that a summed slot can occupy, its sign included."""
        return self.digits_per_slot * math.log2(self.radix)

    def slots(self, digits: int) -> int:
        """How many slots so many digits need."""
        return -(-digits // self.digits_per_slot)

    def pack(self, digits: NDArray[np.int32], degree: int) -> NDArray[np.float64]:
        """The slots `(ciphertexts, degree)` of `digits`, `(digits,)`.

        Digit `j` of slot `s` of a ciphertext is the ciphertext's digit number `j * degree + s`. The
        last ciphertext is filled up with zeros.
        """
        assert np.abs(digits).max(initial=0) <= self.levels, "a digit is beyond the levels"
        room = self.digits_per_slot * degree
        ciphertexts = -(-len(digits) // room)
        padded = np.zeros(ciphertexts * room)
        padded[: len(digits)] = digits
        rows = padded.reshape(ciphertexts, self.digits_per_slot, degree)
        slots = rows[:, -1].copy()
        for place in range(self.digits_per_slot - 2, -1, -1):
            slots *= self.radix
            slots += rows[:, place]
        return slots

    def unpack(self, slots: NDArray[np.float64], digits: int) -> NDArray[np.int64]:
        """The first `digits` summed digits in slots `(ciphertexts, degree)`.

        Raises:
            PayloadError: a slot is larger than any sum of `max_sites` packed slots.
        """
        if np.abs(slots).max(initial=0) > self.slot_limit:
            raise PayloadError(
                f"a slot of a sum of up to {self.max_sites} sites is at most {self.slot_limit}, "
                f"got a larger one; some site sent a malformed update"
            )
        ciphertexts, degree = slots.shape
        rows = np.empty((ciphertexts, self.digits_per_slot, degree), np.int64)
        rest = slots.astype(np.int64)
        half = self.radix // 2
        for place in range(self.digits_per_slot):
            upper = (rest + half) // self.radix  # the nearest multiple: digits are balanced
            rows[:, place] = rest - upper * self.radix
            rest = upper
        return rows.reshape(-1)[:digits]

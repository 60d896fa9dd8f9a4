"""Which ring, which modulus, how many integers a slot: chosen for size, refused where not exact.

A sum of n sites decodes exactly if no coefficient wraps around the modulus q and no slot is moved
by half a unit or more. A slot that lies farther than `TOLERANCE` from an integer is refused, and
whoever sees a refusal learns something of the noise, so the bound is for that: honest sums move no
slot so far. What can move a slot, in units of 1 / scale, for CKKS with ring degree N:

noise       A fresh symmetric ciphertext of SEAL carries a centred binomial error a coefficient: 42
            coin flips of 1/2, variance 10.5, at most 21. A slot's real or imaginary part weighs the
            N errors of each site by cosines whose squares add up to N / 2. A weighed sum of coin
            flips is sub-Gaussian with its own variance, so with t standard deviations of room
            P(|error| >= t sd) <= 2 exp(-t^2 / 2), sd^2 = 10.5 n N / 2  (Hoeffding 1963).
rounding    The encoder rounds each coefficient, by 1/2 at most; the cosines' magnitudes add up to
            less than 2 N / pi + 1. Taken at its worst, for every site at once: n (N / pi + 1/2).
transform   The encoder and the decoder compute in float64. Bounded by
            4 log2(N) 2^-53 sqrt(2) slot_limit, in units of a slot; the tests hold the bound against
            what SEAL does. This is the one term that is measured and not proved.
wrap        A coefficient is a mean of slots times roots of unity, so at most the largest modulus of
            a complex slot, sqrt(2) slot_limit, times the scale; noise and rounding add 21.5 a site.
            What they add has room: slot_limit is half a unit less than what the scale is made for,
            which is 0.7 scale, and a scale with room for the rounding above is more than 600 n.
            `ckks.coefficient_modulus` holds the sum against q itself.

The bound is for one part of one slot. For a whole run it is as many times as large as the run has
slots: 2^-98 for 2^30 slots, a thousand rounds of two million values at two a slot.

Exactness is not only correctness. From approximate decryptions of CKKS the key can be computed (Li
and Micciancio, Eurocrypt 2021, ePrint 2020/1533); rounded to the exact integers, decryptions say
nothing but the sum, unless one of them fails (Alexandru, Al Badawi, Micciancio and Polyakov, ePrint
2024/203; for exact CKKS, ePrint 2024/853). So a failure has to be as rare as a broken cipher.

For BFV an error of at most 21.5 a coefficient and site is always below q / (2 t) or not; there is
no probability in it.
"""

import math
from dataclasses import dataclass
from itertools import product
from typing import Literal

from veiltune.errors import SpecificationError
from veiltune_privacy.he.packing import FLOAT64_BITS, Packing

Scheme = Literal["ckks", "bfv"]
Form = Literal["seeds", "full"]

SEED_BYTES = 64
TOLERANCE = 3 / 8
"""How far from an integer a decrypted slot may lie; under another key every fourth is farther."""
MAX_LOG2_FAILURE = -128.0
MIN_SECURITY_BITS = 128

DEGREES = (2048, 4096, 8192)
MODULUS_BITS = (32, 40, 48, 53, 56, 60)
"""Whole bytes travel, so other sizes save nothing. 53 is the most at degree 2048 by the Security
Guidelines of 2024 (Bossuat et al., ePrint 2024/463); the older standard's table allows 54."""

# The most bits of q for ternary secrets and classical attackers at each level, from the
# HomomorphicEncryption.org standard (Albrecht et al. 2018, table 1), as SEAL enforces them.
LARGEST_MODULUS = {
    256: {1024: 14, 2048: 29, 4096: 58, 8192: 118, 16384: 237},
    192: {1024: 19, 2048: 37, 4096: 75, 8192: 152, 16384: 305},
    128: {1024: 27, 2048: 54, 4096: 109, 8192: 218, 16384: 438},
}

NOISE_VARIANCE = 10.5
LARGEST_NOISE = 21.5
"""Of one site's coefficient: 21, and 1/2 from rounding."""
PRIME_GAP = 2**-9
"""SEAL takes the largest prime of b bits that is 1 modulo 2N; its log2 is above b less this."""
SMALLEST_PRIME_BITS = 28
"""Below so many bits such primes can be farther apart."""
ABOUT_EQUAL = 1.05
"""Uploads within 5 % of the smallest count as small; among them security decides."""


@dataclass(frozen=True, kw_only=True)
class CipherParameters:
    """One way to encrypt one update."""

    scheme: Scheme
    degree: int
    """N, the ring's degree; a ciphertext has N slots (CKKS: real and imaginary parts)."""
    modulus_bits: int
    """Bits of q, the one coefficient modulus, a prime."""
    plain_bits: int | None
    """BFV: bits of the plaintext modulus t, a prime; CKKS: None."""
    packing: Packing
    digits: int
    """Digits of one update."""

    @property
    def word_bytes(self) -> int:
        """Bytes of a coefficient on the wire."""
        return -(-self.modulus_bits // 8)

    @property
    def ciphertexts(self) -> int:
        """Ciphertexts of one update."""
        return -(-self.digits // (self.packing.digits_per_slot * self.degree))

    @property
    def upload_bytes(self) -> int:
        """Bytes of one encrypted update."""
        return self.ciphertexts * (self.degree * self.word_bytes + SEED_BYTES)

    def download_bytes(self, form: Form, sites: int) -> int:
        """Bytes of the sum of so many sites."""
        second = self.degree * self.word_bytes if form == "full" else sites * SEED_BYTES
        return self.ciphertexts * (self.degree * self.word_bytes + second)

    @property
    def scale(self) -> float:
        """CKKS: what integers are multiplied with. The largest that keeps every sum below q / 2.

        A coefficient is at most the largest modulus of a complex slot, sqrt(2) slot_limit. SEAL's
        encoder wants one bit more than that of what it encodes, which matters for one site alone.
        """
        alone = 1 if self.packing.max_sites == 1 else 0
        room = self.modulus_bits - self.packing.slot_bits - 0.5 - alone
        return float(2.0 ** (room - PRIME_GAP))

    @property
    def security_bits(self) -> int:
        """256, 192 or 128 bits by the standard's table; 0 if it is none of them."""
        levels = (
            level
            for level, largest in LARGEST_MODULUS.items()
            if self.modulus_bits <= largest.get(self.degree, 0)
        )
        return next(levels, 0)

    @property
    def log2_failure(self) -> float:
        """A bound on log2 of the probability that one slot of a full sum is refused or wrong.

        Minus infinity where it cannot; 0 where there is no bound below 1.
        """
        return self._bfv_failure() if self.scheme == "bfv" else self._ckks_failure()

    def _bfv_failure(self) -> float:
        assert self.plain_bits is not None
        room = 2.0 ** (self.modulus_bits - PRIME_GAP - 1 - self.plain_bits)
        exact = self.packing.max_sites * LARGEST_NOISE < room
        return -math.inf if exact else 0.0

    def _ckks_failure(self) -> float:
        sites, limit = self.packing.max_sites, self.packing.slot_limit
        variance = NOISE_VARIANCE * sites * self.degree / 2
        rounding = sites * (self.degree / math.pi + 0.5)
        room = self.scale * (TOLERANCE - transform_error(self.degree, limit)) - rounding
        if room <= 0:
            return 0.0
        return min(0.0, 1 - room**2 / (2 * variance) / math.log(2))

    def describe(self) -> str:
        """All parameters in one line; equal if and only if the parameters are."""
        plain = "" if self.plain_bits is None else f"plain={self.plain_bits} "
        return (
            f"{self.scheme} degree={self.degree} modulus={self.modulus_bits} {plain}"
            f"levels={self.packing.levels} digits-per-slot={self.packing.digits_per_slot} "
            f"sites={self.packing.max_sites} digits={self.digits}"
        )


def transform_error(degree: int, slot_limit: int) -> float:
    """The bound on what float64 transforms change in a slot, in units of a slot."""
    return float(4 * math.log2(degree) * 2**-FLOAT64_BITS * math.sqrt(2) * slot_limit)


def check_parameters(parameters: CipherParameters) -> None:
    """The parameters are 128-bit secure, and a slot fails with a probability below 2^-128.

    Raises:
        SpecificationError: they are not.
    """
    faults = []
    if parameters.security_bits < MIN_SECURITY_BITS:
        largest = LARGEST_MODULUS[MIN_SECURITY_BITS].get(parameters.degree, 0)
        faults.append(
            f"{parameters.describe()} must be {MIN_SECURITY_BITS}-bit secure, for which the "
            f"modulus may have {largest} bits at degree {parameters.degree}, got "
            f"{parameters.modulus_bits}; take a larger degree or a smaller modulus"
        )
    if parameters.log2_failure > MAX_LOG2_FAILURE:
        faults.append(
            f"{parameters.describe()} must fail with a probability below "
            f"2^{MAX_LOG2_FAILURE:.0f} a slot, got a bound of 2^{parameters.log2_failure:.0f}; "
            f"take fewer digits per slot, fewer sites or a larger modulus"
        )
    if faults:
        raise SpecificationError(faults)


def choose_parameters(scheme: Scheme, levels: int, max_sites: int, digits: int) -> CipherParameters:
    """The smallest upload that is exact and secure; among nearly equal ones the most secure.

    Raises:
        SpecificationError: no parameters are exact for so many sites.
    """
    fitting = [
        parameters
        for parameters in _candidates(scheme, levels, max_sites, digits)
        if parameters.security_bits >= MIN_SECURITY_BITS
        and parameters.log2_failure <= MAX_LOG2_FAILURE
    ]
    if not fitting:
        raise SpecificationError(
            [
                f"{scheme} cannot add values of {(2 * levels + 1).bit_length()} bits from "
                f"{max_sites} sites exactly with a failure below 2^{MAX_LOG2_FAILURE:.0f} a slot; "
                f"take fewer privacy.encryption.bits or a lower privacy.encryption.max_sites"
            ]
        )
    smallest = min(parameters.upload_bytes for parameters in fitting)
    small = [each for each in fitting if each.upload_bytes <= ABOUT_EQUAL * smallest]
    return min(small, key=lambda each: (-each.security_bits, each.degree, each.upload_bytes))


def _candidates(scheme: Scheme, levels: int, max_sites: int, digits: int) -> list[CipherParameters]:
    most = int(FLOAT64_BITS / math.log2(2 * max_sites * levels + 1))
    candidates = []
    for count in range(1, most + 1):
        packing = Packing(levels=levels, max_sites=max_sites, digits_per_slot=count)
        # BFV's t, a prime a little below 2 ** plain_bits, has room for every slot of a sum.
        needed = max(SMALLEST_PRIME_BITS, math.ceil(packing.slot_bits + PRIME_GAP))
        plain_bits = needed if scheme == "bfv" else None
        candidates += [
            CipherParameters(
                scheme=scheme,
                degree=degree,
                modulus_bits=bits,
                plain_bits=plain_bits,
                packing=packing,
                digits=digits,
            )
            for degree, bits in product(DEGREES, MODULUS_BITS)
        ]
    return candidates

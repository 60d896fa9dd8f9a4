"""The failure bound is what its terms add up to, term by term, by other means than its formula."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from tenseal import sealapi as seal

from veiltune_privacy.he.ckks import coefficient_modulus
from veiltune_privacy.he.packing import Packing
from veiltune_privacy.he.parameters import (
    DEGREES,
    LARGEST_MODULUS,
    LARGEST_NOISE,
    TOLERANCE,
    CipherParameters,
    choose_parameters,
)

BITS = st.sampled_from([8, 12, 16])


@pytest.mark.parametrize("degree", DEGREES)
def test_a_slot_weighs_errors_by_cosines_of_these_sizes(degree: int) -> None:
    """Squares of N / 2 together, and halves of the magnitudes below N / pi."""
    for root in (1, 5, 2 * degree - 1):
        angles = np.pi * (root * np.arange(degree) % (2 * degree)) / degree
        for weights in (np.cos(angles), np.sin(angles)):
            assert (weights**2).sum() == pytest.approx(degree / 2)
            assert np.abs(weights).sum() / 2 < degree / math.pi


@pytest.mark.parametrize("degree", DEGREES)
@pytest.mark.parametrize("sites", [1, 3, 10])
@pytest.mark.parametrize(("bits", "levels"), [(48, 2047), (54, 2047), (54, 32767)])
def test_the_bound_is_the_tail_beyond_rounding_and_transforms(
    degree: int, sites: int, bits: int, levels: int
) -> None:
    """log2 of 2 exp(-t^2 / 2), with the variance of 42 coin flips from the binomial distribution.

    Where the tail is not too small for float64, it is computed as it stands.
    """
    packing = Packing(levels=levels, max_sites=sites, digits_per_slot=2)
    made = CipherParameters(
        scheme="ckks",
        degree=degree,
        modulus_bits=bits,
        plain_bits=None,
        packing=packing,
        digits=1,
    )
    deviation = math.sqrt(sites * degree / 2 * stats.binom(42, 0.5).var())
    transform = 4 * (degree.bit_length() - 1) * math.sqrt(2) * packing.slot_limit / 2**53
    rounding = sites * (degree / math.pi + 0.5)
    t = (made.scale * (TOLERANCE - transform) - rounding) / deviation
    assert abs(t) > 1.2  # all but surely beyond, or without any room
    expected = 1 - t**2 / 2 / math.log(2) if t > 0 else 0.0
    assert made.log2_failure == pytest.approx(expected, rel=1e-9)
    if 0 < t < 30:
        assert made.log2_failure == pytest.approx(math.log2(2 * math.exp(-(t**2) / 2)))
        assert 2**made.log2_failure > 2 * stats.norm.sf(t)


@given(BITS, st.integers(1, 200), st.integers(1, 10**7))
def test_no_coefficient_wraps_and_seals_encoder_takes_every_site(
    bits: int, sites: int, digits: int
) -> None:
    """SEAL encodes coefficients of at most two bits less than q has (ckks.h, "too large").

    In fractions and squared, so that nothing is rounded here.
    """
    chosen = choose_parameters("ckks", 2 ** (bits - 1) - 1, sites, digits)
    limit, scale = chosen.packing.slot_limit, Fraction(chosen.scale)
    room = coefficient_modulus(chosen) - 2 * sites * Fraction(LARGEST_NOISE)
    assert 8 * (limit * scale) ** 2 < room**2
    assert 2 * (limit // sites * scale) ** 2 <= 4 ** (chosen.modulus_bits - 2)


@pytest.mark.parametrize("level", LARGEST_MODULUS)
def test_the_security_table_is_seals(level: int) -> None:
    kind = getattr(seal.SEC_LEVEL_TYPE, f"TC{level}")
    table = LARGEST_MODULUS[level]
    assert table == {degree: seal.CoeffModulus.MaxBitCount(degree, kind) for degree in table}

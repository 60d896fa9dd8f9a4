"""Parameters are small, exact and secure, or refused."""

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from veiltune.errors import SpecificationError
from veiltune_privacy.he.ckks import coefficient_modulus
from veiltune_privacy.he.packing import Packing
from veiltune_privacy.he.parameters import (
    LARGEST_NOISE,
    MAX_LOG2_FAILURE,
    MIN_SECURITY_BITS,
    NOISE_VARIANCE,
    TOLERANCE,
    CipherParameters,
    Scheme,
    check_parameters,
    choose_parameters,
)

SCHEMES = st.sampled_from(["ckks", "bfv"])


def parameters(**changes: Any) -> CipherParameters:
    """The large default: CKKS, degree 4096, 56 bits, two 16-bit values a slot, ten sites."""
    packing = Packing(levels=32767, max_sites=10, digits_per_slot=2)
    default = CipherParameters(
        scheme="ckks", degree=4096, modulus_bits=56, plain_bits=None, packing=packing, digits=10**6
    )
    return replace(default, **changes)


def twelve_bits(sites: int, digits_per_slot: int) -> Packing:
    return Packing(levels=2047, max_sites=sites, digits_per_slot=digits_per_slot)


@pytest.mark.parametrize(
    ("scheme", "bits", "sites", "digits", "expected", "most_bytes"),
    [
        ("ckks", 16, 10, 10**6, (4096, 56, 2), 3.6),
        ("ckks", 12, 3, 10**6, (4096, 56, 3), 2.4),
        ("ckks", 16, 10, 10**4, (2048, 40, 1), 5.2),
        ("bfv", 16, 10, 10**6, (4096, 48, 2), 3.1),
        ("bfv", 12, 10, 10**6, (4096, 56, 3), 2.4),
    ],
)
def test_the_smallest_upload_is_chosen(
    scheme: Scheme, bits: int, sites: int, digits: int, expected: tuple[int, ...], most_bytes: float
) -> None:
    chosen = choose_parameters(scheme, 2 ** (bits - 1) - 1, sites, digits)
    got = (chosen.degree, chosen.modulus_bits, chosen.packing.digits_per_slot)
    assert (got[0], 8 * chosen.word_bytes, got[2]) == (
        expected[0],
        8 * math.ceil(expected[1] / 8),
        expected[2],
    )
    assert chosen.upload_bytes / digits <= most_bytes
    check_parameters(chosen)


@settings(max_examples=60, deadline=None)
@given(SCHEMES, st.sampled_from([8, 12, 16]), st.integers(1, 200), st.integers(1, 10**7))
def test_whatever_is_chosen_is_exact_and_secure_for_seal_too(
    scheme: Scheme, bits: int, sites: int, digits: int
) -> None:
    chosen = choose_parameters(scheme, 2 ** (bits - 1) - 1, sites, digits)
    check_parameters(chosen)
    assert chosen.security_bits >= MIN_SECURITY_BITS
    assert chosen.log2_failure <= MAX_LOG2_FAILURE
    modulus = coefficient_modulus(chosen)  # refuses what does not fit the prime that SEAL takes
    assert modulus.bit_length() == chosen.modulus_bits
    assert chosen.ciphertexts * chosen.degree * chosen.packing.digits_per_slot >= digits


def test_three_twelve_bit_values_of_ten_sites_are_too_many_for_ckks() -> None:
    """At 60 bits they would have 12.8 standard deviations of room, and less with rounding."""
    tight = parameters(modulus_bits=60, packing=twelve_bits(10, 3))
    deviation = math.sqrt(NOISE_VARIANCE * 10 * 4096 / 2)
    assert tight.scale / 2 / deviation == pytest.approx(12.8, abs=0.1)
    with pytest.raises(SpecificationError, match=r"below 2\^-128 a slot"):
        check_parameters(tight)
    assert choose_parameters("ckks", 2047, 10, 10**6).packing.digits_per_slot == 2


@pytest.mark.parametrize("change", [{"degree": 2048}, {"degree": 1024, "modulus_bits": 28}])
def test_parameters_below_128_bits_are_refused(change: dict[str, int]) -> None:
    with pytest.raises(SpecificationError, match="must be 128-bit secure"):
        check_parameters(parameters(**change))


def test_security_is_that_of_the_standards_table() -> None:
    levels = {27: 192, 37: 192, 38: 128, 54: 128, 55: 0}
    got = {bits: parameters(degree=2048, modulus_bits=bits).security_bits for bits in levels}
    assert got == {27: 256, **{bits: level for bits, level in levels.items() if bits > 27}}
    assert parameters(degree=4096, modulus_bits=58).security_bits == 256
    assert parameters(degree=4096, modulus_bits=59).security_bits == 192


def test_the_failure_bound_is_above_the_gaussian_tail() -> None:
    """Against the normal distribution with the same room and variance, without the other errors."""
    for bits in (44, 45, 46):
        tight = parameters(modulus_bits=bits)
        variance = NOISE_VARIANCE * 10 * 4096 / 2
        tail = 2 * stats.norm.sf(tight.scale * TOLERANCE / math.sqrt(variance))
        assert tight.log2_failure >= math.log2(max(tail, 1e-300)) - 1e-9
    assert parameters(modulus_bits=44).log2_failure == 0.0


@given(SCHEMES, st.integers(2, 60), st.integers(1, 40))
def test_more_sites_or_a_smaller_modulus_never_fail_less(
    scheme: Scheme, sites: int, more: int
) -> None:
    plain = 44 if scheme == "bfv" else None
    made = parameters(scheme=scheme, plain_bits=plain, packing=twelve_bits(sites, 2))
    worse = parameters(scheme=scheme, plain_bits=plain, packing=twelve_bits(sites + more, 2))
    assert worse.log2_failure >= made.log2_failure
    assert replace(made, modulus_bits=52).log2_failure >= made.log2_failure


def test_bfv_is_exact_or_not_by_its_worst_case() -> None:
    made = parameters(scheme="bfv", plain_bits=46, packing=twelve_bits(10, 3))
    room = 2 ** (56 - 1 - 46)
    assert 10 * LARGEST_NOISE < room and made.log2_failure == -math.inf
    assert replace(made, modulus_bits=54).log2_failure == 0.0


def test_a_description_tells_everything() -> None:
    made = parameters()
    others = [
        replace(made, degree=8192),
        replace(made, modulus_bits=54),
        replace(made, digits=5),
        replace(made, scheme="bfv", plain_bits=40),
        replace(made, scheme="bfv", plain_bits=41),
        *(replace(made, packing=replace(made.packing, **{n: 1})) for n in ("levels", "max_sites")),
        replace(made, packing=replace(made.packing, digits_per_slot=1)),
    ]
    assert len({each.describe() for each in (made, *others)}) == len(others) + 1


def test_nothing_fits_and_the_sentence_says_so() -> None:
    with pytest.raises(SpecificationError, match="lower privacy.encryption.max_sites"):
        choose_parameters("ckks", 32767, 10**9, 10**6)


def test_bytes_are_those_of_the_rows() -> None:
    made = parameters(digits=3 * 4096 * 2 + 1)
    assert made.ciphertexts == 4
    assert made.upload_bytes == 4 * (4096 * 7 + 64)
    assert made.download_bytes("seeds", 10) == 4 * (4096 * 7 + 640)
    assert made.download_bytes("full", 10) == 4 * 2 * 4096 * 7

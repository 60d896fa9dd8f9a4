"""What the failure bound takes for granted about SEAL, measured: its noise and its float64 error.

The polynomial behind the slots is found here by NumPy's FFT, so SEAL's transform has a witness too.
"""

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tenseal import sealapi as seal

from veiltune_privacy.he.parameters import LARGEST_NOISE, NOISE_VARIANCE, transform_error

DEGREE = 4096
Slots = NDArray[np.complex128]


def ckks_context(degree: int, modulus_bits: int) -> Any:
    parameters = seal.EncryptionParameters(seal.SCHEME_TYPE.CKKS)
    parameters.set_poly_modulus_degree(degree)
    parameters.set_coeff_modulus(seal.CoeffModulus.Create(degree, [modulus_bits]))
    return seal.SEALContext(parameters, True, seal.SEC_LEVEL_TYPE.TC128)


def coefficients(slots: Slots) -> NDArray[np.float64]:
    """The real polynomial `(degree,)` whose value at exp(i pi 3^j / degree) is slot j."""
    degree = 2 * len(slots)
    values = np.empty(degree, np.complex128)
    powers = np.array([pow(3, slot, 2 * degree) for slot in range(len(slots))])
    values[(powers - 1) // 2] = slots
    values[(2 * degree - powers - 1) // 2] = slots.conj()
    untwisted = np.fft.fft(values) / degree
    polynomial = untwisted * np.exp(-1j * np.pi * np.arange(degree) / degree)
    np.testing.assert_allclose(polynomial.imag, 0, atol=1e-9)
    return polynomial.real


def fresh_noise(ciphertexts: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Slots and coefficients, both `(ciphertexts, degree)`, of fresh encryptions of zero."""
    context = ckks_context(DEGREE, 56)
    key = seal.KeyGenerator(context).secret_key()
    encryptor, decryptor = seal.Encryptor(context, key), seal.Decryptor(context, key)
    encoder = seal.CKKSEncoder(context)
    zero, plain, ciphertext = seal.Plaintext(), seal.Plaintext(), seal.Ciphertext()
    encoder.encode([0j] * (DEGREE // 2), 1.0, zero)
    slots = np.empty((ciphertexts, DEGREE // 2), np.complex128)
    for row in slots:
        encryptor.encrypt_symmetric(zero, ciphertext)
        decryptor.decrypt(ciphertext, plain)
        row[:] = encoder.decode_complex(plain)
    return slots.view(np.float64), np.array([coefficients(row) for row in slots])


def test_fresh_noise_is_the_binomial_that_the_bounds_assume() -> None:
    """Integers of at most 21 with variance 10.5, in coefficients; N / 2 of that in slots.

    The mean square of m centred binomials of 42 flips has the standard deviation
    10.5 sqrt((2 - 2 / 42) / m). Six of them: a false alarm in 5e8 runs. A Gaussian of SEAL's other
    sampler (sd 3.2, variance 10.24) is 17 of them away.
    """
    slots, errors = fresh_noise(ciphertexts=250)
    integers = np.rint(errors)
    np.testing.assert_allclose(errors, integers, atol=1e-6)
    assert np.abs(integers).max() + 0.5 <= LARGEST_NOISE
    tolerance = 6 * NOISE_VARIANCE * math.sqrt((2 - 2 / 42) / integers.size)
    assert abs((integers**2).mean() - NOISE_VARIANCE) < tolerance
    slot_variance = (slots**2).mean()
    assert abs(slot_variance - NOISE_VARIANCE * DEGREE / 2) < tolerance * DEGREE / 2


def test_fresh_noise_has_the_binomials_counts() -> None:
    """Chi square over all values from -9 to 9 and the two tails; a false alarm in 1e9 runs."""
    from scipy.stats import binom, chi2

    _, errors = fresh_noise(ciphertexts=60)
    flips = np.rint(errors).astype(int).reshape(-1) + 21
    edge = 9
    counts = np.bincount(np.clip(flips, 21 - edge - 1, 21 + edge + 1), minlength=43)
    inner = binom.pmf(np.arange(21 - edge, 21 + edge + 1), 42, 0.5)
    tail = binom.cdf(21 - edge - 1, 42, 0.5)
    expected = np.array([tail, *inner, tail]) * flips.size
    got = counts[21 - edge - 1 : 21 + edge + 2]
    statistic = ((got - expected) ** 2 / expected).sum()
    assert statistic < chi2.isf(1e-9, len(expected) - 1)


@pytest.mark.parametrize(("degree", "modulus_bits"), [(2048, 54), (4096, 60), (8192, 60)])
@pytest.mark.parametrize("slot_bits", [32, 40, 48])
def test_float64_moves_slots_less_than_the_bound_says(
    degree: int, modulus_bits: int, slot_bits: int
) -> None:
    """Encoding and decoding without encryption, at the largest scale, over several kinds of data.

    The encoder rounds coefficients besides, by 1/2 at most: allowed for by six standard deviations
    of N roundings, of variance 1/12 and squared weights N / 2, over 2e5 values a case (a false
    alarm in 2500 runs if roundings were random; the data are fixed and so are they).
    """
    rng = np.random.default_rng(slot_bits)
    limit = 2 ** (slot_bits - 1)
    # A site of two, as SEAL's encoder keeps a bit free; the bound is for the sum's larger slots.
    part = float(limit // 2)
    scale = 2.0 ** (modulus_bits - slot_bits - 0.5 - 2**-9)
    encoder = seal.CKKSEncoder(ckks_context(degree, modulus_bits))
    data = [np.rint(rng.uniform(-part, part, degree)) for _ in range(8)]
    data += [rng.choice([-part, part], degree) for _ in range(8)]
    data += [np.full(degree, part), np.tile([part, -part], degree // 2)]
    plain = seal.Plaintext()
    worst = 0.0
    for slots in data:
        encoder.encode(slots.view(np.complex128).tolist(), scale, plain)
        decoded = np.array(encoder.decode_complex(plain)).view(np.float64)
        worst = max(worst, np.abs(decoded - slots).max())
    rounding = 6 * math.sqrt(degree / 2 * degree / 12 / degree) / scale
    assert 0 < worst < transform_error(degree, limit) + rounding


def test_the_encoder_computes_the_polynomial_that_numpys_transform_finds() -> None:
    """Slots come back from the coefficients by evaluation at the roots, one root at a time."""
    degree, scale = 2048, 2.0**30
    encoder = seal.CKKSEncoder(ckks_context(degree, 54))
    slots = np.random.default_rng(3).normal(size=degree).view(np.complex128)
    plain = seal.Plaintext()
    encoder.encode(slots.tolist(), scale, plain)
    polynomial = coefficients(np.array(encoder.decode_complex(plain)))
    for slot in (0, 1, 2, 500, 1023):
        root = np.exp(1j * np.pi * pow(3, slot, 2 * degree) / degree)
        value = (polynomial * root ** np.arange(degree)).sum()
        # Rounded to 2^-30 in each of 2048 coefficients.
        assert abs(value - slots[slot]) < degree * 2**-30

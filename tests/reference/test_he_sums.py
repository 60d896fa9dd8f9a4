"""Encrypted sums are the integer sums that NumPy computes: on random, extreme and one-signed data.

The witness adds int64. Every set of parameters that a job may be given is in it, by both forms of
the download.
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import pytest
from numpy.typing import NDArray

from veiltune_privacy.he import wire
from veiltune_privacy.he.ckks import PublicContext, SecretContext
from veiltune_privacy.he.keys import SecretKey, generate_key
from veiltune_privacy.he.parameters import CipherParameters, Form, Scheme, choose_parameters

DIGITS = 20_000
Digits = NDArray[np.int32]
Data = Callable[[np.random.Generator, int, int, int], Digits]


def uniform(rng: np.random.Generator, levels: int, sites: int, degree: int) -> Digits:
    return rng.integers(-levels, levels, (sites, DIGITS), np.int32, endpoint=True)


def corners(rng: np.random.Generator, levels: int, sites: int, degree: int) -> Digits:
    """All sites at the same random corner."""
    return np.tile(rng.choice([-levels, levels], (1, DIGITS)).astype(np.int32), (sites, 1))


def one_sign(rng: np.random.Generator, levels: int, sites: int, degree: int) -> Digits:
    return np.full((sites, DIGITS), levels, np.int32)


def other_sign(rng: np.random.Generator, levels: int, sites: int, degree: int) -> Digits:
    return np.full((sites, DIGITS), -levels, np.int32)


def in_step(rng: np.random.Generator, levels: int, sites: int, degree: int) -> Digits:
    """All slots of all sites at their limits, with signs in step with one coefficient's waves.

    Slot j is the polynomial's value at exp(i pi 3^j / degree), so coefficient 1 becomes 4 / pi of
    the slot limit: nothing makes a coefficient larger.
    """
    powers = np.array([pow(3, slot, 2 * degree) for slot in range(degree // 2)])
    angles = np.pi * powers / degree
    signs = np.sign(np.stack([np.cos(angles), np.sin(angles)], axis=1)).reshape(-1).astype(np.int32)
    return np.tile(levels * np.resize(signs, DIGITS), (sites, 1))


@lru_cache
def contexts(
    scheme: Scheme, bits: int, sites: int
) -> tuple[SecretKey, SecretContext, PublicContext]:
    parameters = choose_parameters(scheme, 2 ** (bits - 1) - 1, sites, DIGITS)
    key = generate_key(parameters)
    return key, SecretContext(parameters, key.key), PublicContext(parameters)


def encrypted_sum(
    digits: Digits, form: Form, parts: tuple[SecretKey, SecretContext, PublicContext]
) -> NDArray[np.int64]:
    """The sum by way of upload rows, download rows and decryption."""
    key, secret, public = parts
    parameters: CipherParameters = key.parameters
    degree, width, sites = parameters.degree, parameters.word_bytes, len(digits)
    uploads = [
        wire.upload_rows(*secret.encrypt(parameters.packing.pack(row, degree)), width)
        for row in digits
    ]
    assert all(rows.nbytes == parameters.upload_bytes for rows in uploads)
    split = [wire.split_upload(rows, degree, width) for rows in uploads]
    total = split[0][0]
    for c0, _ in split[1:]:
        wire.add_modulo(total, c0, key.modulus)
    seeds = np.stack([seeds for _, seeds in split], axis=1)
    if form == "seeds":
        rows = wire.seeds_rows(total, seeds, width)
        slots = secret.decrypt_seeded(*wire.split_seeds(rows, degree, width, sites))
    else:
        rows = wire.full_rows(total, public.expand_sum(seeds), width)
        slots = secret.decrypt(*wire.split_full(rows, degree, width))
    assert rows.nbytes == parameters.download_bytes(form, sites)
    return parameters.packing.unpack(slots, parameters.digits)


@pytest.mark.parametrize("data", [uniform, corners, one_sign, other_sign, in_step])
@pytest.mark.parametrize("form", ["seeds", "full"])
@pytest.mark.parametrize("sites", [3, 10])
@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("scheme", ["ckks", "bfv"])
def test_the_encrypted_sum_is_the_integer_sum(
    scheme: Scheme, bits: int, sites: int, form: Form, data: Data
) -> None:
    levels = 2 ** (bits - 1) - 1
    parts = contexts(scheme, bits, sites)
    digits = data(np.random.default_rng(bits + sites), levels, sites, parts[0].parameters.degree)
    got = encrypted_sum(digits, form, parts)
    np.testing.assert_array_equal(got, digits.sum(axis=0, dtype=np.int64))


@pytest.mark.parametrize("scheme", ["ckks", "bfv"])
def test_fewer_sites_than_there_is_room_for_sum_as_exactly(scheme: Scheme) -> None:
    levels = 2**15 - 1
    parts = contexts(scheme, 16, 10)
    digits = uniform(np.random.default_rng(1), levels, 4, parts[0].parameters.degree)
    got = encrypted_sum(digits, "seeds", parts)
    np.testing.assert_array_equal(got, digits.sum(axis=0, dtype=np.int64))

"""What is encrypted comes back exactly, and only under its key; what is no sum is refused."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from veiltune.errors import PayloadError, SpecificationError
from veiltune_privacy.he.ckks import (
    PublicContext,
    SecretContext,
    coefficient_modulus,
    new_secret_key,
)
from veiltune_privacy.he.packing import Packing
from veiltune_privacy.he.parameters import CipherParameters
from veiltune_privacy.he.wire import add_modulo

SITES = 3
DEGREE = 2048
PACKING = Packing(levels=127, max_sites=SITES, digits_per_slot=2)
CKKS = CipherParameters(
    scheme="ckks", degree=DEGREE, modulus_bits=54, plain_bits=None, packing=PACKING, digits=5000
)
BFV = CipherParameters(
    scheme="bfv", degree=DEGREE, modulus_bits=48, plain_bits=21, packing=PACKING, digits=5000
)
BOTH = pytest.mark.parametrize("parameters", [CKKS, BFV], ids=["ckks", "bfv"])

Words = NDArray[np.uint64]
Seeds = NDArray[np.uint8]


def site_slots(seed: int, ciphertexts: int = 2) -> NDArray[np.float64]:
    """One site's slots, so small that the sum over all sites is in range."""
    limit = PACKING.slot_limit // SITES
    rng = np.random.default_rng(seed)
    return rng.integers(-limit, limit, (ciphertexts, DEGREE), endpoint=True).astype(np.float64)


def encrypted_sum(context: SecretContext, modulus: int, sites: int) -> tuple[Words, Seeds]:
    """The sum of c0, and all seeds, of sites 0, 1, ..."""
    total, first = context.encrypt(site_slots(0))
    seeds = [first]
    for site in range(1, sites):
        c0, seed = context.encrypt(site_slots(site))
        add_modulo(total, c0, modulus)
        seeds.append(seed)
    return total, np.stack(seeds, axis=1)


@BOTH
@pytest.mark.parametrize("sites", [1, SITES])
def test_a_sum_comes_back_exactly_in_both_forms(parameters: CipherParameters, sites: int) -> None:
    context = SecretContext(parameters, new_secret_key(parameters))
    c0, seeds = encrypted_sum(context, coefficient_modulus(parameters), sites)
    assert c0.shape == (2, DEGREE) and seeds.shape == (2, sites, 64)
    expected = sum(site_slots(site) for site in range(sites))
    np.testing.assert_array_equal(context.decrypt_seeded(c0, seeds), expected)
    c1 = PublicContext(parameters).expand_sum(seeds)
    np.testing.assert_array_equal(context.decrypt(c0, c1), expected)


@BOTH
def test_no_ciphertexts_are_nothing(parameters: CipherParameters) -> None:
    context = SecretContext(parameters, new_secret_key(parameters))
    c0, seeds = context.encrypt(np.empty((0, DEGREE)))
    assert context.decrypt_seeded(c0, seeds[:, None]).shape == (0, DEGREE)
    c1 = PublicContext(parameters).expand_sum(seeds[:, None])
    assert context.decrypt(c0, c1).shape == (0, DEGREE)


@BOTH
def test_the_same_slots_are_encrypted_differently_each_time(parameters: CipherParameters) -> None:
    context = SecretContext(parameters, new_secret_key(parameters))
    slots = np.zeros((3, DEGREE))
    c0, seeds = context.encrypt(slots)
    again, more_seeds = context.encrypt(slots)
    assert len({seed.tobytes() for seed in [*seeds, *more_seeds]}) == 6
    assert len({row.tobytes() for row in [*c0, *again]}) == 6


@BOTH
def test_two_processes_agree_on_a_key(parameters: CipherParameters) -> None:
    """The key's bytes are all that a second context needs."""
    key = new_secret_key(parameters)
    c0, seeds = SecretContext(parameters, key).encrypt(site_slots(1))
    other = SecretContext(parameters, key)
    np.testing.assert_array_equal(other.decrypt_seeded(c0, seeds[:, None]), site_slots(1))
    assert new_secret_key(parameters) != key


@BOTH
def test_what_is_no_sum_under_this_key_is_refused(parameters: CipherParameters) -> None:
    context = SecretContext(parameters, new_secret_key(parameters))
    stranger = SecretContext(parameters, new_secret_key(parameters))
    modulus = coefficient_modulus(parameters)
    c0, seeds = encrypted_sum(context, modulus, SITES)
    c1 = PublicContext(parameters).expand_sum(seeds)

    altered = c0.copy()
    altered[1, 5] = (int(altered[1, 5]) + modulus // 2) % modulus
    for wrong, words in ((stranger, c0), (context, altered)):
        with pytest.raises(PayloadError, match="under another key or altered"):
            wrong.decrypt(words, c1)
        with pytest.raises(PayloadError, match="under another key or altered"):
            wrong.decrypt_seeded(words, seeds)
    with pytest.raises(PayloadError, match="under another key or altered"):
        context.decrypt_seeded(c0, seeds[::-1])
    with pytest.raises(PayloadError, match="under another key or altered"):
        context.decrypt_seeded(c0, seeds[:, :-1])


@BOTH
def test_a_coefficient_that_is_not_below_the_modulus_is_refused(
    parameters: CipherParameters,
) -> None:
    context = SecretContext(parameters, new_secret_key(parameters))
    modulus = coefficient_modulus(parameters)
    c0, seeds = encrypted_sum(context, modulus, 1)
    c1 = PublicContext(parameters).expand_sum(seeds)
    too_large = c0.copy()
    too_large[0, 0] = modulus
    for call in (
        lambda: context.decrypt(too_large, c1),
        lambda: context.decrypt(c1, too_large),
        lambda: context.decrypt_seeded(too_large, seeds),
    ):
        with pytest.raises(PayloadError, match=f"below {modulus}"):
            call()


@BOTH
def test_more_than_the_slots_hold_is_refused(parameters: CipherParameters) -> None:
    """A sum over more sites than the packing has room for is never given out as if it were one."""
    context = SecretContext(parameters, new_secret_key(parameters))
    slots = np.full((1, DEGREE), float(PACKING.slot_limit // 2 + 1))
    c0, first = context.encrypt(slots)
    more, second = context.encrypt(slots)
    add_modulo(c0, more, coefficient_modulus(parameters))
    with pytest.raises(PayloadError, match="not the integer that a sum"):
        context.decrypt_seeded(c0, np.stack([first, second], axis=1))


def test_what_lies_between_integers_is_refused_and_never_given_out() -> None:
    """The scale is 2^34 and the noise 2^7, so a slot is where it was put."""
    context = SecretContext(CKKS, new_secret_key(CKKS))
    slots = site_slots(1)
    for offset in (-0.35, 0.35):
        c0, seeds = context.encrypt(slots + offset)
        np.testing.assert_array_equal(context.decrypt_seeded(c0, seeds[:, None]), slots)
    slots[1, 7] += 0.4
    c0, seeds = context.encrypt(slots)
    with pytest.raises(PayloadError, match="not the integer that a sum"):
        context.decrypt_seeded(c0, seeds[:, None])


def is_prime(number: int) -> bool:
    """Miller and Rabin's test; with these bases it is certain below 2 ** 64 (Sorenson, Webster)."""
    odd, twos = number - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for base in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37):
        power = pow(base, odd, number)
        if power in (1, number - 1):
            continue
        for _ in range(twos - 1):
            power = power * power % number
            if power == number - 1:
                break
        else:
            return False
    return True


@pytest.mark.parametrize(
    ("degree", "bits"), [(2048, 27), (2048, 54), (4096, 40), (4096, 60), (8192, 56)]
)
def test_the_modulus_is_the_largest_prime_with_a_transform(degree: int, bits: int) -> None:
    parameters = replace(CKKS, degree=degree, modulus_bits=bits)
    candidate = (2**bits - 1) // (2 * degree) * 2 * degree + 1
    while candidate >= 2**bits or not is_prime(candidate):
        candidate -= 2 * degree
    assert coefficient_modulus(parameters) == candidate


def test_insecure_parameters_are_refused_with_the_reason_that_seal_gives() -> None:
    with pytest.raises(SpecificationError, match=r"HomomorphicEncryption.org security standard"):
        coefficient_modulus(replace(CKKS, modulus_bits=55))
    with pytest.raises(SpecificationError, match=r"HomomorphicEncryption.org security standard"):
        new_secret_key(replace(BFV, modulus_bits=55))


FITS = pytest.mark.parametrize(
    ("fitting", "too_large"),
    [
        pytest.param(
            replace(CKKS, modulus_bits=27, packing=replace(PACKING, levels=1, max_sites=10)),
            replace(CKKS, modulus_bits=27, packing=replace(PACKING, levels=1, max_sites=4000)),
            id="ckks noise",
        ),
        pytest.param(replace(BFV, modulus_bits=28), replace(BFV, modulus_bits=27), id="bfv noise"),
        pytest.param(replace(BFV, plain_bits=20), replace(BFV, plain_bits=19), id="bfv slots"),
    ],
)


@FITS
def test_sums_that_would_not_fit_the_modulus_are_refused(
    fitting: CipherParameters, too_large: CipherParameters
) -> None:
    coefficient_modulus(fitting)
    with pytest.raises(SpecificationError, match=r"do not fit their modulus"):
        coefficient_modulus(too_large)


@pytest.mark.parametrize("sites", [1, 2, 3, 10])
def test_the_largest_update_of_a_site_can_be_encoded(sites: int) -> None:
    """Signs in step with one coefficient's waves: it becomes 4 / pi of a slot, the most there is.

    Slot j is the polynomial's value at exp(i pi 3^j / degree).
    """
    parameters = replace(CKKS, packing=Packing(levels=127, max_sites=sites, digits_per_slot=2))
    coefficient_modulus(parameters)
    context = SecretContext(parameters, new_secret_key(parameters))
    powers = np.array([pow(3, slot, 2 * DEGREE) for slot in range(DEGREE // 2)])
    angles = np.pi * powers / DEGREE
    signs = np.sign(np.stack([np.cos(angles), np.sin(angles)], axis=1)).reshape(1, DEGREE)
    slots = signs * float(parameters.packing.slot_limit // sites)
    c0, seeds = context.encrypt(slots)
    np.testing.assert_array_equal(context.decrypt_seeded(c0, seeds[:, None]), slots)


def test_a_context_without_a_key_holds_nothing_that_decrypts() -> None:
    held = {type(value).__name__ for value in vars(PublicContext(CKKS)).values()}
    assert held == {"int", "SEALContext", "CiphertextFormat", "Evaluator"}

"""Encryption and decryption by SEAL, the only file that meets TenSEAL.

TenSEAL's own vectors carry relinearisation keys, expand every seed and use half of each CKKS slot.
The binding of SEAL that it ships (`tenseal.sealapi`) does not: sums need one prime, no keys but the
secret one, and slots are complex. BFV differs in the encoder and the form of the polynomials.

Sources: SEAL 4.3 (native/src/seal: encryptor.cpp, util/rlwe.cpp, ckks.h, batchencoder.h) and the
parameters of the HomomorphicEncryption.org standard, which SEAL enforces.
"""

import math
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tenseal import sealapi as seal

from veiltune.errors import PayloadError, SpecificationError
from veiltune_privacy.he.parameters import LARGEST_NOISE, SEED_BYTES, TOLERANCE, CipherParameters
from veiltune_privacy.he.scratch import Scratch
from veiltune_privacy.he.seal_format import CiphertextFormat, Words, version_of
from veiltune_privacy.he.wire import check_below

Slots = NDArray[np.float64]
Seeds = NDArray[np.uint8]


class SecretContext:
    """Encrypts one site's slots and decrypts sums, under the key that all sites hold.

    *Guarantee*: each ciphertext has a fresh seed and fresh noise from a generator that SEAL seeds
    with 64 bytes of the operating system, in forked and spawned processes too; two ciphertexts
    with one seed would give away the difference of their plaintexts. The key is in memory, and
    passes through a `Scratch` once. Decryptions leave this object rounded to integers or not at
    all: the noise of an unrounded CKKS decryption gives the key away (Li and Micciancio, Eurocrypt
    2021).
    """

    def __init__(self, parameters: CipherParameters, secret_key: bytes) -> None:
        self._parameters = parameters
        self._context = _seal_context(parameters)
        self._modulus = coefficient_modulus(parameters)
        self._format = _format(parameters, self._context)
        key = seal.SecretKey()
        with Scratch() as scratch:
            scratch.write(secret_key)
            key.load(self._context, scratch.path)
        self._encryptor = seal.Encryptor(self._context, key)
        self._decryptor = seal.Decryptor(self._context, key)
        self._evaluator = seal.Evaluator(self._context)
        ckks = parameters.scheme == "ckks"
        self._encoder = (
            seal.CKKSEncoder(self._context) if ckks else seal.BatchEncoder(self._context)
        )

    def encrypt(self, slots: Slots) -> tuple[Words, Seeds]:
        """c0 `(ciphertexts, degree)` and the seeds of c1 `(ciphertexts, 64)`.

        Slots are integers within the packing's range, `(ciphertexts, degree)`.
        """
        c0 = np.empty((len(slots), self._parameters.degree), np.uint64)
        seeds = np.empty((len(slots), SEED_BYTES), np.uint8)
        plain = seal.Plaintext()
        with Scratch() as scratch:
            for index, row in enumerate(slots):
                self._encode(row, plain)
                self._encryptor.encrypt_symmetric(plain).save(scratch.path)
                c0[index], seeds[index] = self._format.read_seeded(scratch.read())
        return c0, seeds

    def decrypt(self, c0: Words, c1: Words) -> Slots:
        """The integers in the slots of a sum, `(ciphertexts, degree)`, from both polynomials.

        Raises:
            PayloadError: it is not a sum under this key.
        """
        check_below(c0, self._modulus)
        check_below(c1, self._modulus)
        slots = np.empty(c0.shape)
        total = seal.Ciphertext()
        with Scratch() as scratch:
            for index in range(len(c0)):
                scratch.write(self._format.write_full(c0[index], c1[index]))
                total.load(self._context, scratch.path)
                slots[index] = self._decode(total)
        return slots

    def decrypt_seeded(self, c0: Words, seeds: Seeds) -> Slots:
        """As `decrypt`, from the sum of c0 and all seeds `(ciphertexts, sites, 64)`."""
        check_below(c0, self._modulus)
        slots = np.empty(c0.shape)
        with Scratch() as scratch:
            for index, row in enumerate(c0):
                total = _load_sum(
                    self._context, self._evaluator, self._format, scratch, row, seeds[index]
                )
                slots[index] = self._decode(total)
        return slots

    def _encode(self, row: Slots, plain: Any) -> None:
        """`plain` holds the slots `(degree,)`: integers, or real and imaginary parts in turn."""
        row = np.ascontiguousarray(row)
        if self._parameters.scheme == "ckks":
            self._encoder.encode(row.view(np.complex128).tolist(), self._format.scale, plain)
        else:
            self._encoder.encode(row.astype(np.int64).tolist(), plain)

    def _decode(self, ciphertext: Any) -> Slots:
        """The rounded slots `(degree,)`, if they can be those of a sum."""
        plain = seal.Plaintext()
        self._decryptor.decrypt(ciphertext, plain)
        if self._parameters.scheme == "ckks":
            pairs = self._encoder.decode_complex(plain)
            slots = np.fromiter(pairs, np.complex128, len(pairs)).view(np.float64)
        else:
            integers = self._encoder.decode_int64(plain)
            slots = np.fromiter(integers, np.int64, len(integers)).astype(np.float64)
        rounded = np.rint(slots)
        near = np.abs(slots - rounded).max() <= TOLERANCE
        if not near or np.abs(rounded).max() > self._parameters.packing.slot_limit:
            raise PayloadError(
                "a decrypted value is not the integer that a sum under this key would hold; it was "
                "encrypted under another key or altered"
            )
        return rounded


class PublicContext:
    """Expands seeds and adds what comes out; it has parameters and no key.

    *Guarantee*: nothing can be decrypted with it. The c1 that it makes is public and
    pseudo-random.
    """

    def __init__(self, parameters: CipherParameters) -> None:
        self._degree = parameters.degree
        self._context = _seal_context(parameters)
        self._format = _format(parameters, self._context)
        self._evaluator = seal.Evaluator(self._context)

    def expand_sum(self, seeds: Seeds) -> Words:
        """The sum of c1 modulo q, `(ciphertexts, degree)`, of seeds `(ciphertexts, sites, 64)`."""
        c1 = np.empty((len(seeds), self._degree), np.uint64)
        zeros = np.zeros(self._degree, np.uint64)
        with Scratch() as scratch:
            for index, row in enumerate(seeds):
                total = _load_sum(self._context, self._evaluator, self._format, scratch, zeros, row)
                total.save(scratch.path)
                _, c1[index] = self._format.read_full(scratch.read())
        return c1


def new_secret_key(parameters: CipherParameters) -> bytes:
    """A fresh secret key as SEAL saves it, from the operating system's randomness."""
    generator = seal.KeyGenerator(_seal_context(parameters))
    with Scratch() as scratch:
        generator.secret_key().save(scratch.path)
        return scratch.read()


def coefficient_modulus(parameters: CipherParameters) -> int:
    """The prime q: the largest of its bits that is 1 modulo 2N, as SEAL chooses it.

    Raises:
        SpecificationError: SEAL does not hold the parameters for 128-bit secure, or the largest
            sum would wrap around q.
    """
    modulus = int(_seal_context(parameters).key_context_data().parms().coeff_modulus()[0].value())
    packing = parameters.packing
    noise = packing.max_sites * LARGEST_NOISE
    if parameters.scheme == "ckks":
        # No coefficient exceeds the largest modulus of a complex slot, times the scale.
        largest = math.sqrt(2) * packing.slot_limit * parameters.scale
        fits = largest + noise < modulus / 2
    else:
        plain = int(_plain_modulus(parameters).value())
        fits = noise < modulus / (2 * plain) and 2 * packing.slot_limit < plain
    if not fits:
        raise SpecificationError(
            [
                f"the sums of {parameters.describe()} do not fit their modulus {modulus}; take "
                f"fewer sites, fewer bits or fewer digits per slot"
            ]
        )
    return modulus


def _seal_context(parameters: CipherParameters) -> Any:
    """SEAL's context, which it holds for 128-bit secure."""
    described = seal.EncryptionParameters(
        seal.SCHEME_TYPE.CKKS if parameters.scheme == "ckks" else seal.SCHEME_TYPE.BFV
    )
    described.set_poly_modulus_degree(parameters.degree)
    described.set_coeff_modulus(
        seal.CoeffModulus.Create(parameters.degree, [parameters.modulus_bits])
    )
    if parameters.scheme == "bfv":
        described.set_plain_modulus(_plain_modulus(parameters))
    context = seal.SEALContext(described, True, seal.SEC_LEVEL_TYPE.TC128)
    if not context.parameters_set():
        raise SpecificationError(
            [
                f"SEAL refuses {parameters.describe()}: {context.parameters_error_message()}; take "
                f"a larger degree or a smaller modulus"
            ]
        )
    return context


def _plain_modulus(parameters: CipherParameters) -> Any:
    return seal.PlainModulus.Batching(parameters.degree, parameters.plain_bits)


def _format(parameters: CipherParameters, context: Any) -> CiphertextFormat:
    """The wire format of a context's ciphertexts."""
    ckks = parameters.scheme == "ckks"
    with Scratch() as scratch:
        context.key_context_data().parms().save(scratch.path)
        version = version_of(scratch.read())
    return CiphertextFormat(
        version=version,
        parameters_id=struct.pack("<4Q", *context.first_parms_id()),
        transformed=ckks,
        degree=parameters.degree,
        scale=parameters.scale if ckks else 1.0,
    )


def _load_sum(
    context: Any,
    evaluator: Any,
    layout: CiphertextFormat,
    scratch: Scratch,
    c0: Words,
    seeds: Seeds,
) -> Any:
    """The ciphertext of `c0` `(degree,)` and the sum of what `seeds` `(sites, 64)` expand to."""
    total, addend = seal.Ciphertext(), seal.Ciphertext()
    scratch.write(layout.write_seeded(c0, seeds[0]))
    total.load(context, scratch.path)
    zeros = np.zeros_like(c0)
    for seed in seeds[1:]:
        scratch.write(layout.write_seeded(zeros, seed))
        addend.load(context, scratch.path)
        evaluator.add_inplace(total, addend)
    return total

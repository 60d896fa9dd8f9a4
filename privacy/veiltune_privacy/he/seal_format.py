"""How SEAL lays out a ciphertext of two polynomials modulo one prime: read and written as bytes.

Read from TenSEAL 0.3.18, which holds SEAL 4.3 (native/src/seal/serialization.h, ciphertext.cpp):

    object      header, body (plain, or one Zstandard frame)
    header      magic 0xA15E u16 | header size u8 | major u8 | minor u8 | compression u8 | 0 u16 |
                size u64 of header and body
    body        parameters id (4 words) | NTT form u8 | polynomials u64 | degree u64 | primes u64 |
                scale f64 | correction factor u64 | words | seed record if seeded
    words       header | count u64 | coefficients u64: those of c0, then of c1 unless seeded
    seed record header | generator u8 | seed (64 bytes)

All integers are little-endian. A seeded ciphertext is SEAL's own short form of a symmetric one: its
c1 is the output of the generator (Blake2xb) on the seed.
"""

import struct
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import zstandard
from numpy.typing import NDArray

from veiltune.errors import RunError
from veiltune_privacy.he.parameters import SEED_BYTES

HEADER = struct.Struct("<HBBBBHQ")
METADATA = struct.Struct("<32sBQQQdQ")
COUNT = struct.Struct("<Q")
MAGIC = 0xA15E
PLAIN, ZSTANDARD = 0, 2
BLAKE2XB = 1

Words = NDArray[np.uint64]
Seed = NDArray[np.uint8]


def version_of(saved: bytes) -> tuple[int, int]:
    """The major and minor version of the SEAL that saved an object."""
    _, _, major, minor, _, _, _ = HEADER.unpack_from(saved)
    return major, minor


@dataclass(frozen=True, kw_only=True)
class CiphertextFormat:
    """What all ciphertexts of one context have in common on SEAL's wire."""

    version: tuple[int, int]
    """Of SEAL, as its headers state it."""
    parameters_id: bytes
    """SEAL's hash of the encryption parameters, 32 bytes."""
    transformed: bool
    """Whether the polynomials are in NTT form."""
    degree: int
    scale: float

    def write_seeded(self, c0: Words, seed: Seed) -> bytes:
        """The SEAL object of `c0` `(degree,)` and a `seed` `(64,)`; loading it makes c1."""
        return b"".join((self._seeded_prefix, _octets(c0), self._seed_prefix, seed.tobytes()))

    def write_full(self, c0: Words, c1: Words) -> bytes:
        """The SEAL object of two polynomials, each `(degree,)`."""
        return b"".join((self._full_prefix, _octets(c0), _octets(c1)))

    def read_seeded(self, saved: bytes) -> tuple[Words, Seed]:
        """c0 `(degree,)` and the seed `(64,)` of a seeded ciphertext that SEAL saved.

        Raises:
            RunError: SEAL saved something else than this format says.
        """
        body = self._body(saved, self._seeded_prefix, self.degree * 8 + self._seed_record_bytes)
        seed_at = len(body) - SEED_BYTES
        if body[seed_at - len(self._seed_prefix) : seed_at] != self._seed_prefix:
            raise self._unknown("a seed of its generator Blake2xb", "another record")
        words = np.frombuffer(body, "<u8", self.degree, self._words_at)
        return words, np.frombuffer(body, np.uint8, SEED_BYTES, seed_at)

    def read_full(self, saved: bytes) -> tuple[Words, Words]:
        """c0 and c1, each `(degree,)`, of an expanded ciphertext that SEAL saved.

        Raises:
            RunError: SEAL saved something else than this format says.
        """
        body = self._body(saved, self._full_prefix, 2 * self.degree * 8)
        words = np.frombuffer(body, "<u8", 2 * self.degree, self._words_at)
        return words[: self.degree], words[self.degree :]

    def _body(self, saved: bytes, prefix: bytes, rest: int) -> bytes:
        """The unpacked body of a saved object, once its beginning and its size are as expected."""
        if len(saved) < HEADER.size:
            raise self._unknown(f"at least {HEADER.size} bytes", str(len(saved)))
        magic, header, major, minor, compression, _, size = HEADER.unpack_from(saved)
        if (magic, header, size) != (MAGIC, HEADER.size, len(saved)):
            raise self._unknown(f"an object of {len(saved)} bytes", f"a header that says {size}")
        if (major, minor) != self.version:
            raise self._unknown("one version throughout", f"an object of SEAL {major}.{minor}")
        body = saved[HEADER.size :]
        expected = len(prefix) - HEADER.size + rest
        if compression == ZSTANDARD:
            try:
                body = zstandard.ZstdDecompressor().decompress(body, max_output_size=expected)
            except zstandard.ZstdError as error:
                raise self._unknown("a Zstandard frame", str(error)) from error
        elif compression != PLAIN:
            raise self._unknown("Zstandard or no compression", f"mode {compression}")
        if len(body) != expected or not body.startswith(prefix[HEADER.size :]):
            raise self._unknown(
                f"a ciphertext of {expected} bytes with its parameters",
                f"{len(body)} bytes or other parameters",
            )
        return body

    def _unknown(self, expected: str, got: str) -> RunError:
        return RunError(
            f"expected {expected} from SEAL {self.version[0]}.{self.version[1]}, got {got}; "
            f"install the TenSEAL release that constraints.txt names"
        )

    @property
    def _words_at(self) -> int:
        return METADATA.size + HEADER.size + COUNT.size

    @property
    def _seed_record_bytes(self) -> int:
        return len(self._seed_prefix) + SEED_BYTES

    @cached_property
    def _seed_prefix(self) -> bytes:
        return self._header(HEADER.size + 1 + SEED_BYTES) + bytes([BLAKE2XB])

    @cached_property
    def _seeded_prefix(self) -> bytes:
        return self._prefix(self.degree, self._seed_record_bytes)

    @cached_property
    def _full_prefix(self) -> bytes:
        return self._prefix(2 * self.degree, 0)

    def _prefix(self, words: int, trailing: int) -> bytes:
        """Everything that comes before the coefficients."""
        metadata = METADATA.pack(
            self.parameters_id, self.transformed, 2, self.degree, 1, self.scale, 1
        )
        inner_size = HEADER.size + COUNT.size + 8 * words
        inner = self._header(inner_size) + COUNT.pack(words)
        return self._header(HEADER.size + len(metadata) + inner_size + trailing) + metadata + inner

    def _header(self, size: int) -> bytes:
        return HEADER.pack(MAGIC, HEADER.size, *self.version, PLAIN, 0, size)


def _octets(words: Words) -> bytes:
    return words.astype("<u8", copy=False).tobytes()

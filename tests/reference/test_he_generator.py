"""A seed expands to BLAKE2Xb's output reduced modulo q, as a second implementation computes it.

So a seed on the wire means the same polynomial for whoever reads the papers, whatever library made
it: BLAKE2b is RFC 7693, BLAKE2X is Aumasson, Neves, Wilcox-O'Hearn and Winnerlein (2016), and the
rest is SEAL's (randomgen.cpp, util/rlwe.cpp): 4096 bytes at a time, keyed with the seed, of the
number of the piece; a coefficient is 64 bits of it modulo q.
"""

import hashlib
import struct

import numpy as np
import pytest
from numpy.typing import NDArray

from veiltune_privacy.he.ckks import PublicContext, coefficient_modulus
from veiltune_privacy.he.packing import Packing
from veiltune_privacy.he.parameters import CipherParameters

PIECE = 4096
ROUNDS = [
    "0123456789abcdef",
    "ea489fd61c02b753",
    "b8c052fdae367194",
    "7931dcbe265a40f8",
    "905724afe1bc683d",
    "2c6a0b834d75fe19",
    "c51fed4a0763928b",
    "db7ec13950f4862a",
    "6fe9b308c2d714a5",
    "a2847615fb9e3cd0",
]
"""RFC 7693, section 2.7; the last two of twelve rounds use the first two again."""
START = np.array(
    [
        0x6A09E667F3BCC908,
        0xBB67AE8584CAA73B,
        0x3C6EF372FE94F82B,
        0xA54FF53A5F1D36F1,
        0x510E527FADE682D1,
        0x9B05688C2B3E6C1F,
        0x1F83D9ABFB41BD6B,
        0x5BE0CD19137E2179,
    ],
    np.uint64,
)
Words = NDArray[np.uint64]


def hash_once(settings: Words, message: bytes) -> Words:
    """BLAKE2b of a message of at most 128 bytes, `(8, hashes)`, for each column of settings."""
    words = np.frombuffer(message.ljust(128, b"\0"), "<u8")
    state = START[:, None] ^ settings
    lanes = [*state.copy(), *np.broadcast_to(START[:, None], state.shape).copy()]
    lanes[12] = lanes[12] ^ np.uint64(len(message))
    lanes[14] = ~lanes[14]

    def turn(left: Words, right: Words, bits: int) -> Words:
        both = left ^ right
        return both >> np.uint64(bits) | both << np.uint64(64 - bits)

    def mix(a: int, b: int, c: int, d: int, first: np.uint64, second: np.uint64) -> None:
        lanes[a] = lanes[a] + lanes[b] + first
        lanes[d] = turn(lanes[d], lanes[a], 32)
        lanes[c] = lanes[c] + lanes[d]
        lanes[b] = turn(lanes[b], lanes[c], 24)
        lanes[a] = lanes[a] + lanes[b] + second
        lanes[d] = turn(lanes[d], lanes[a], 16)
        lanes[c] = lanes[c] + lanes[d]
        lanes[b] = turn(lanes[b], lanes[c], 63)

    for digits in [*ROUNDS, *ROUNDS[:2]]:
        chosen = [words[int(digit, 16)] for digit in digits]
        for place in range(4):  # columns, then diagonals
            mix(place, 4 + place, 8 + place, 12 + place, *chosen[2 * place : 2 * place + 2])
        for place in range(4):
            b, c, d = 4 + (place + 1) % 4, 8 + (place + 2) % 4, 12 + (place + 3) % 4
            mix(place, b, c, d, *chosen[8 + 2 * place : 10 + 2 * place])
    return state ^ np.array(lanes[:8]) ^ np.array(lanes[8:])


def settings_of(fanout: int, depth: int, leaf: int, offset: int, total: int, inner: int) -> Words:
    """The parameter block `(8,)` of an unkeyed hash of 64 bytes."""
    block = struct.pack("<BBBBIIIBB", 64, 0, fanout, depth, leaf, offset, total, 0, inner)
    return np.frombuffer(block.ljust(64, b"\0"), "<u8")


def blake2xb(key: bytes, message: bytes, size: int) -> bytes:
    """`size` bytes, a multiple of 64; `hashlib` does the root and refuses what follows it."""
    root = hashlib.blake2b(message, key=key, node_offset=size << 32).digest()
    blocks = [settings_of(0, 0, 64, block, size, 64) for block in range(size // 64)]
    return hash_once(np.stack(blocks, axis=1), root).T.astype("<u8").tobytes()


def expand(seed: bytes, degree: int, modulus: int) -> list[int]:
    """The polynomial of a seed.

    SEAL skips numbers beyond the last multiple of q. The primes in use lie so close below a power
    of two that none of a test's numbers is.
    """
    pieces = range(degree * 8 // PIECE)
    stream = b"".join(blake2xb(seed, struct.pack("<Q", piece), PIECE) for piece in pieces)
    words = np.frombuffer(stream, "<u8").tolist()
    assert max(words) < 2**64 // modulus * modulus
    return [word % modulus for word in words]


def test_the_witness_is_blake2b() -> None:
    """With settings that the standard library takes too."""
    settings = settings_of(fanout=2, depth=3, leaf=4096, offset=77, total=0, inner=32)
    expected = hashlib.blake2b(
        b"abc", fanout=2, depth=3, leaf_size=4096, node_offset=77, inner_size=32
    )
    assert hash_once(settings[:, None], b"abc").astype("<u8").tobytes() == expected.digest()


@pytest.mark.parametrize(
    ("scheme", "degree", "modulus_bits"),
    [("ckks", 2048, 54), ("ckks", 4096, 56), ("bfv", 4096, 48), ("ckks", 8192, 60)],
)
def test_a_seed_expands_to_blake2xb(scheme: str, degree: int, modulus_bits: int) -> None:
    bfv = scheme == "bfv"
    parameters = CipherParameters(
        scheme="bfv" if bfv else "ckks",
        degree=degree,
        modulus_bits=modulus_bits,
        plain_bits=24 if bfv else None,
        packing=Packing(levels=127, max_sites=3, digits_per_slot=2),
        digits=4096,
    )
    modulus = coefficient_modulus(parameters)
    seed = np.random.default_rng(degree + modulus_bits).integers(0, 256, 64, np.uint8)
    c1 = PublicContext(parameters).expand_sum(seed[None, None])
    assert c1[0].tolist() == expand(seed.tobytes(), degree, modulus)

"""Random numbers that nobody can predict: keys from the operating system, stretched by AES.

A noise that could be computed again, from a seed or from a generator's outputs, could be taken off
again. So could a sample: that it is secret is what makes sampling amplify privacy. Every call draws
a new key of 256 bits from the operating system's cryptographic source and uses AES in counter mode
under it, once; to tell that stream from random bits is to break AES.

Normal numbers are made by Box and Muller's method in double precision. The numbers that such a
method can return are few enough near zero to tell some sums from others by their last bits
(Mironov 2012). Following Holohan and Braghin 2021 ("Secure Random Sampling in Differential
Privacy", section 5.1), each number returned is half the sum of four, which leaves too many
combinations to search. That is no proof for finite precision, as a discrete Gaussian would have.
"""

import math
import os

import numpy as np
import torch
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray
from torch import Tensor

DRAWS = 4
"""Normal numbers in a sum; the sum has standard deviation 2 and is halved."""
AT_ONCE = 2**15
"""Numbers made at once, so that everything between stays in the processor's cache."""


class SecretStream:
    """Uniform numbers under one key that is used nowhere else."""

    def __init__(self) -> None:
        cipher = Cipher(algorithms.AES256(os.urandom(32)), modes.CTR(bytes(16)))
        self._encryptor = cipher.encryptor()

    def uniforms(self, count: int) -> NDArray[np.float64]:
        """Multiples of 2**-53 in (0, 1], equally likely, `(count,)`."""
        bits = np.frombuffer(self._encryptor.update(bytes(8 * count)), np.uint64)
        numbers = ((bits >> np.uint64(11)) + np.uint64(1)).astype(np.float64)
        numbers *= 2.0**-53
        return numbers


def system_normals(count: int) -> Tensor:
    """Standard normal numbers, float64 `(count,)`, on the CPU."""
    normals = torch.zeros(count, dtype=torch.float64)
    add_system_noise(normals, 1.0)
    return normals


def add_system_noise(values: Tensor, deviation: float) -> None:
    """Each of `values`, which are changed, has normal noise of this standard deviation added.

    The addition is in double precision and rounded once, and takes next to no memory.
    """
    stream = SecretStream()
    flat = values.view(-1)
    for start in range(0, len(flat), AT_ONCE):
        part = flat[start : start + AT_ONCE]
        noise = _normals(stream, len(part)).mul_(deviation).to(values.device)
        part.copy_(noise.add_(part))


def system_sample(examples: int, rate: float) -> list[int]:
    """Indices below `examples`, each drawn independently with probability `rate`."""
    return np.flatnonzero(SecretStream().uniforms(examples) <= rate).tolist()


def _normals(stream: SecretStream, count: int) -> Tensor:
    """A radius and an angle make two normal numbers; the four of a sum use different ones."""
    pairs = -(-count // 2)
    squares = stream.uniforms(DRAWS * pairs).reshape(DRAWS, pairs)
    np.log(squares, out=squares)
    # The radius is the root of -2 log u, and a sum is divided by the root of its terms' number.
    radius = torch.from_numpy(squares).mul_(-2.0 / DRAWS).sqrt_()
    angle = torch.from_numpy(stream.uniforms(DRAWS * pairs)).view(DRAWS, pairs)
    angle.mul_(2.0 * math.pi)
    first = angle.cos().mul_(radius).sum(0)
    second = angle.sin_().mul_(radius).sum(0)
    return torch.cat([first, second])[:count]

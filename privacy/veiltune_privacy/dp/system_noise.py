"""Random numbers that nobody can predict, from the operating system's cryptographic source.

A noise that could be computed again, from a seed or from a generator's outputs, could be taken off
again. So could a sample: that it is secret is what makes sampling amplify privacy.

Normal numbers are made by Box and Muller's method in double precision. The numbers that such a
method can return are few enough near zero to tell some sums from others by their last bits
(Mironov 2012; Holohan and Braghin 2021). Following the latter, section 5.1, each number returned is
half the sum of four, which leaves that set too large to search. It is not a proof for finite
precision, as a discrete Gaussian would have.
"""

import math
import os

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

DRAWS = 4
"""Normal numbers in the sum; their sum has standard deviation 2 and is halved."""
AT_ONCE = 2**16
"""Numbers made at once, so that everything between stays in the processor's cache."""


def system_normals(count: int) -> Tensor:
    """Standard normal numbers, float64 `(count,)`, on the CPU."""
    normals = np.empty(count)
    for start in range(0, count, AT_ONCE):
        part = normals[start : start + AT_ONCE]
        part[:] = _normals(len(part) * DRAWS).reshape(DRAWS, -1).sum(0) / math.sqrt(DRAWS)
    return torch.from_numpy(normals)


def system_sample(examples: int, rate: float) -> list[int]:
    """Indices below `examples`, each drawn independently with probability `rate`."""
    return np.flatnonzero(_uniforms(examples) <= rate).tolist()


def _normals(count: int) -> NDArray[np.float64]:
    """Box and Muller: a radius and an angle make two normal numbers."""
    half = -(-count // 2)
    radius = np.sqrt(-2.0 * np.log(_uniforms(half)))
    angle = _uniforms(half) * (2.0 * math.pi)
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:count]


def _uniforms(count: int) -> NDArray[np.float64]:
    """Multiples of 2**-53 in (0, 1], equally likely."""
    bits = np.frombuffer(os.urandom(8 * count), np.uint64) >> np.uint64(11)
    return (bits + np.uint64(1)).astype(np.float64) * 2.0**-53

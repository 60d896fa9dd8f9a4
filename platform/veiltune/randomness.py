"""Random streams that belong to a purpose, a site and a round, never to an order of events.

Every random draw of a job comes from a generator made here, so a result does not depend on which
site answers first, which engine runs the job, or in which process a site lives.
"""

import hashlib
import json

import torch


def derive_seed(seed: int, *names: str | int) -> int:
    """A 63-bit seed for one purpose, the same on every machine.

    >>> derive_seed(1, "adapter") == derive_seed(1, "adapter")
    True
    >>> derive_seed(1, "site-1", 0) == derive_seed(1, "site-1", 1)
    False
    """
    digest = hashlib.sha256(json.dumps([seed, *names]).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(seed: int, *names: str | int) -> torch.Generator:
    """A fresh CPU generator for one purpose."""
    return torch.Generator().manual_seed(derive_seed(seed, *names))

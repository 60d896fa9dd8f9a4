"""What is done to one chunk of ciphertexts: seal, add, open.

These functions run in worker processes, so this module stands on NumPy and TenSEAL alone.
"""

import numpy as np
from numpy.typing import NDArray

from veiltune_privacy.he import wire
from veiltune_privacy.he.ckks import PublicContext, SecretContext
from veiltune_privacy.he.parameters import CipherParameters, Form


def seal(
    context: SecretContext, cipher: CipherParameters, digits: NDArray[np.int32]
) -> NDArray[np.uint8]:
    """Upload rows `(ciphertexts, bytes)` of `digits`, `(digits,)`."""
    c0, seeds = context.encrypt(cipher.packing.pack(digits, cipher.degree))
    return wire.upload_rows(c0, seeds, cipher.word_bytes)


def add(
    context: PublicContext,
    cipher: CipherParameters,
    modulus: int,
    form: Form,
    uploads: list[NDArray[np.uint8]],
) -> NDArray[np.uint8]:
    """Download rows `(ciphertexts, bytes)` of the sum of all sites' upload rows."""
    split = [wire.split_upload(rows, cipher.degree, cipher.word_bytes) for rows in uploads]
    total = split[0][0]
    for c0, _ in split[1:]:
        wire.add_modulo(total, c0, modulus)
    seeds = np.stack([seeds for _, seeds in split], axis=1)
    if form == "full":
        return wire.full_rows(total, context.expand_sum(seeds), cipher.word_bytes)
    return wire.seeds_rows(total, seeds, cipher.word_bytes)


def open_sum(
    context: SecretContext,
    cipher: CipherParameters,
    form: Form,
    sites: int,
    rows: NDArray[np.uint8],
) -> NDArray[np.float64]:
    """Summed slots `(ciphertexts, degree)`, exact integers, of download rows.

    Raises:
        PayloadError: the rows are no sum under the context's key.
    """
    if form == "full":
        return context.decrypt(*wire.split_full(rows, cipher.degree, cipher.word_bytes))
    return context.decrypt_seeded(*wire.split_seeds(rows, cipher.degree, cipher.word_bytes, sites))

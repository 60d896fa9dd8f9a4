"""A site's side of sealing: rows of integers to bytes, and the bytes of a sum to integers.

Both ways carry the same integers, in clear or encrypted, so whatever is computed from the opened
sum is bitwise the same.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from veiltune.errors import PayloadError
from veiltune.federation.payload import Payload
from veiltune_privacy.he import rows
from veiltune_privacy.he.ckks import SecretContext
from veiltune_privacy.he.keys import SecretKey
from veiltune_privacy.he.parameters import Form
from veiltune_privacy.he.streaming import Chunk, over_chunks

CHUNK = 32
"""Ciphertexts that are worked on at a time."""
CHUNKS_A_PROCESS = 16
"""Chunks below which a worker process is not worth its start, about a second."""

QUANTISED = "quantised"

Work = Callable[..., NDArray[Any]]


def sum_name(name: str, form: str) -> str:
    """The codec in the header of a sum in the download form `form`."""
    return f"{name}-sum-{form}"


class IntegerCipher(Protocol):
    """Seals one site's integers and opens the sum of all sites' integers."""

    name: str
    """The codec in a sealed upload's header."""
    key: str
    """The key's fingerprint; empty where nothing is encrypted."""
    parameters: str
    """The parameters, complete and canonical."""

    def seal(self, digits: NDArray[np.int32]) -> NDArray[np.uint8]:
        """The body `(bytes,)` of an upload of `digits`, `(digits,)`."""
        ...

    def open(self, total: Payload) -> NDArray[np.int64]:
        """The exact sums `(digits,)` in a combined payload.

        Raises:
            PayloadError: it is not a sum of uploads under this key and these parameters.
        """
        ...


class ClearIntegers:
    """Integers in clear, two bytes each; in a sum, four. It protects nothing."""

    name = QUANTISED
    key = ""

    def __init__(self, levels: int, max_sites: int, digits: int) -> None:
        self.parameters = clear_parameters(levels, max_sites, digits)
        self.digits = digits

    def seal(self, digits: NDArray[np.int32]) -> NDArray[np.uint8]:
        """See `IntegerCipher.seal`."""
        return digits.astype("<i2").view(np.uint8)

    def open(self, total: Payload) -> NDArray[np.int64]:
        """See `IntegerCipher.open`."""
        check_sum(total, self, {sum_name(self.name, "clear"): 4 * self.digits})
        return total.body.view("<i4").astype(np.int64)


def clear_parameters(levels: int, max_sites: int, digits: int) -> str:
    """The canonical parameters of integers in clear."""
    return f"levels={levels} sites={max_sites} digits={digits}"


class EncryptedIntegers:
    """Integers packed and encrypted under one secret key, which every site holds.

    Guarantee: whoever lacks the key learns the number of ciphertexts and nothing of the integers,
    as long as ring learning with errors is hard at the parameters' security level. Whoever holds
    it, and that is every site, can open every upload it gets hold of. Opened sums are integers, so
    nothing of the encryption's noise, from which the key could be recovered (Li and Micciancio,
    Eurocrypt 2021), leaves this class.

    Args:
        key: The job's secret key.
        processes: Worker processes for large updates.
    """

    def __init__(self, key: SecretKey, processes: int) -> None:
        self.name: str = key.parameters.scheme
        self.key = key.fingerprint
        self.parameters = key.parameters.describe()
        self._cipher = key.parameters
        self._secret = key.key
        self._context = SecretContext(key.parameters, key.key)
        self._processes = processes

    def seal(self, digits: NDArray[np.int32]) -> NDArray[np.uint8]:
        """See `IntegerCipher.seal`."""
        step = CHUNK * self._cipher.packing.digits_per_slot * self._cipher.degree
        chunks = ((self._cipher, digits[at : at + step]) for at in range(0, len(digits), step))
        body = np.empty(self._cipher.upload_bytes, np.uint8)
        at = 0
        for sealed in self._over(rows.seal, chunks):
            body[at : at + sealed.size] = sealed.reshape(-1)
            at += sealed.size
        return body

    def open(self, total: Payload) -> NDArray[np.int64]:
        """See `IntegerCipher.open`."""
        cipher, sites = self._cipher, len(total.header.sites)
        if sites > cipher.packing.max_sites:
            raise PayloadError(
                f"a sum of at most {cipher.packing.max_sites} sites can be opened, got one of "
                f"{sites}; raise privacy.encryption.max_sites and start a new run"
            )
        forms: tuple[Form, ...] = ("seeds", "full")
        sizes = {sum_name(self.name, form): cipher.download_bytes(form, sites) for form in forms}
        check_sum(total, self, sizes)
        form: Form = "full" if total.header.codec == sum_name(self.name, "full") else "seeds"
        body = total.body.reshape(cipher.ciphertexts, -1)
        chunks = ((cipher, form, sites, body[at : at + CHUNK]) for at in range(0, len(body), CHUNK))
        digits = np.empty(cipher.digits, np.int64)
        at = 0
        for slots in self._over(rows.open_sum, chunks):
            room = min(cipher.packing.digits_per_slot * slots.size, cipher.digits - at)
            digits[at : at + room] = cipher.packing.unpack(slots, room)
            at += room
        return digits

    def _over(self, work: Work, chunks: Iterable[Chunk]) -> Iterator[NDArray[Any]]:
        count = -(-self._cipher.ciphertexts // CHUNK)
        processes = max(1, min(self._processes, count // CHUNKS_A_PROCESS))
        if processes == 1:
            return over_chunks(lambda: self._context, (), work, chunks, processes)
        return over_chunks(SecretContext, (self._cipher, self._secret), work, chunks, processes)


def check_sum(total: Payload, cipher: IntegerCipher, sizes: Mapping[str, int]) -> None:
    """The header and the size of `total` are those of a sum that `cipher` can open.

    Args:
        sizes: The bytes of a body by the codecs that a sum may have.

    Raises:
        PayloadError: they are not.
    """
    header = total.header
    if header.codec not in sizes:
        raise PayloadError(f"expected a sum of {' or '.join(sizes)}, got {header.codec}")
    if header.parameters != cipher.parameters:
        raise PayloadError(
            f"expected a sum with the parameters {cipher.parameters}, got {header.parameters}"
        )
    if header.key != cipher.key:
        raise PayloadError(
            f"expected a sum under the key {cipher.key}, got one under {header.key}; every site "
            f"and the server need the key material of this job"
        )
    if total.body.size != sizes[header.codec]:
        raise PayloadError(f"expected a sum of {sizes[header.codec]} bytes, got {total.body.size}")

"""A site's side of sealing: rows of integers to bytes, and the bytes of a sum to integers.

Both ways carry the same integers, in clear or encrypted, so whatever is computed from the opened
sum is bitwise the same.
"""

from collections.abc import Callable, Iterable, Iterator
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

    def check(self, total: Payload) -> None:
        """By its header and size, `total` is a sum of uploads under this key and these parameters.

        Raises:
            PayloadError: it is not.
        """
        ...

    def open(self, total: Payload) -> NDArray[np.int64]:
        """The exact sums `(digits,)` in a checked payload.

        Raises:
            PayloadError: it is not the sum that its header says. Who sees that this happens learns
                something of the key; see `IntegerCodec`.
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

    def check(self, total: Payload) -> None:
        """See `IntegerCipher.check`."""
        check_sum(total, self, sum_name(self.name, "clear"), 4 * self.digits)

    def open(self, total: Payload) -> NDArray[np.int64]:
        """See `IntegerCipher.open`."""
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
        form: What the job's sites are sent; the other form is refused.
        processes: Worker processes for large updates.
    """

    def __init__(self, key: SecretKey, form: Form, processes: int) -> None:
        self.name: str = key.parameters.scheme
        self.key = key.fingerprint
        self.parameters = key.parameters.describe()
        self._cipher = key.parameters
        self._secret = key.key
        self._context = SecretContext(key.parameters, key.key)
        self._form: Form = form
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

    def check(self, total: Payload) -> None:
        """See `IntegerCipher.check`."""
        sites, most = len(total.header.sites), self._cipher.packing.max_sites
        if sites > most:
            raise PayloadError(
                f"a sum of at most {most} sites can be opened, got one of {sites}; raise "
                f"privacy.encryption.max_sites and start a new run"
            )
        size = self._cipher.download_bytes(self._form, sites)
        check_sum(total, self, sum_name(self.name, self._form), size)

    def open(self, total: Payload) -> NDArray[np.int64]:
        """See `IntegerCipher.open`."""
        cipher, sites = self._cipher, len(total.header.sites)
        body = total.body.reshape(cipher.ciphertexts, -1)
        chunks = (
            (cipher, self._form, sites, body[at : at + CHUNK]) for at in range(0, len(body), CHUNK)
        )
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


def check_sum(total: Payload, cipher: IntegerCipher, codec: str, size: int) -> None:
    """The header and the size of `total` are those of a sum that `cipher` can open.

    Raises:
        PayloadError: they are not.
    """
    header = total.header
    if header.codec != codec:
        raise PayloadError(f"expected a sum of codec {codec}, got {header.codec}")
    if header.parameters != cipher.parameters:
        raise PayloadError(
            f"expected a sum with the parameters {cipher.parameters}, got {header.parameters}"
        )
    if header.key != cipher.key:
        raise PayloadError(
            f"expected a sum under the key {cipher.key}, got one under {header.key}; every site "
            f"and the server need the key material of this job"
        )
    if total.body.size != size:
        raise PayloadError(f"expected a sum of {size} bytes, got {total.body.size}")

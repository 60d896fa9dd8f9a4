"""What travels: one contiguous byte array with a small typed header.

    magic "VTPL" | version u16 | header length u32 | header (JSON, UTF-8, spaces) | body

All integers are little-endian. The header says who made the payload, for which job and round, from
which state, by which codec, under which key and parameters; it carries no tensor names, no shapes
and no weights. The SHA-256 of its other fields and the body is in it, so a truncated or altered
payload is refused before anybody computes with it. This finds accidents; who may send what is for
the transport to prove.
"""

import hashlib
import json
import struct
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from veiltune.errors import PayloadError

MAGIC = b"VTPL"
VERSION = 1
PREFIX = struct.Struct("<4sHI")
ALIGNMENT = 64
"""The body begins at a multiple of so many bytes."""
BEGINNING = "0" * 64
"""The history before the first round."""


@dataclass(frozen=True, slots=True)
class PayloadHeader:
    """What a payload is."""

    codec: str
    """What the body is, such as `plain-float32`."""
    key: str
    """The fingerprint of the key under which the body is encrypted; empty if it is not."""
    parameters: str
    """The codec's parameters, complete and canonical; empty if it has none."""
    job: str
    """The run it belongs to."""
    round: int
    history: str
    """The state it was made from; see `extend_history`."""
    sites: tuple[str, ...]
    """Whose updates are in it, sorted: one site in an upload, all contributors in a sum."""
    sha256: str
    """Over the fields above and the body."""


@dataclass(frozen=True, slots=True)
class Payload:
    """A header and its body, `uint8 (bytes,)`."""

    header: PayloadHeader
    body: NDArray[np.uint8]

    @property
    def nbytes(self) -> int:
        """The size on the wire, in bytes."""
        return PREFIX.size + len(_header_bytes(self.header)) + self.body.nbytes

    def to_array(self) -> NDArray[np.uint8]:
        """The payload as one contiguous `uint8` array."""
        header = _header_bytes(self.header)
        prefix = PREFIX.pack(MAGIC, VERSION, len(header)) + header
        return np.concatenate([np.frombuffer(prefix, np.uint8), self.body])


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an update comes from, and the state it was made from."""

    job: str
    round: int
    site: str
    history: str = BEGINNING


def make_payload(
    codec: str,
    origin: Origin,
    body: NDArray[np.uint8] | bytes,
    *,
    key: str = "",
    parameters: str = "",
) -> Payload:
    """One site's payload, with a header that fits its body."""
    header = PayloadHeader(
        codec, key, parameters, origin.job, origin.round, origin.history, (origin.site,), sha256=""
    )
    return _sealed(header, body)


def make_sum(codec: str, addends: Sequence[Payload], body: NDArray[np.uint8] | bytes) -> Payload:
    """The payload of a sum, with the header of its addends and all their sites."""
    sites = sorted(site for payload in addends for site in payload.header.sites)
    return _sealed(replace(addends[0].header, codec=codec, sites=tuple(sites)), body)


def extend_history(history: str, total: Payload) -> str:
    """The name of the state that is reached from `history` by taking in `total`.

    A chain of SHA-256 from `BEGINNING`. Whoever took in the same sums
    in the same order has the same history; updates made from another one are not added.
    """
    return hashlib.sha256((history + total.header.sha256).encode()).hexdigest()


def read_payload(array: NDArray[np.uint8]) -> Payload:
    """The payload that `to_array` gave.

    Raises:
        PayloadError: the array is truncated, altered, or not a payload.
    """
    data = np.ascontiguousarray(array, dtype=np.uint8)
    if data.size < PREFIX.size:
        raise PayloadError(f"a payload has at least {PREFIX.size} bytes, got {data.size}")
    magic, version, length = PREFIX.unpack(data[: PREFIX.size].tobytes())
    if magic != MAGIC or version != VERSION:
        raise PayloadError(f"expected a veiltune payload of version {VERSION}, got other bytes")
    try:
        fields = json.loads(data[PREFIX.size : PREFIX.size + length].tobytes())
        header = PayloadHeader(**{**fields, "sites": tuple(fields["sites"])})
    except (ValueError, TypeError, KeyError) as error:
        raise PayloadError("the payload's header cannot be read; it was cut or altered") from error
    body = data[PREFIX.size + length :]
    canonical = _header_bytes(header) == data[PREFIX.size : PREFIX.size + length].tobytes()
    if not canonical or _sha256(header, body) != header.sha256:
        raise PayloadError(
            f"a payload of {data.size} bytes was cut or altered on its way: it does not have the "
            f"SHA-256 it states"
        )
    return Payload(header, body)


def _sealed(header: PayloadHeader, body: NDArray[np.uint8] | bytes) -> Payload:
    array = np.frombuffer(body, np.uint8)
    return Payload(replace(header, sha256=_sha256(header, array)), array)


def _sha256(header: PayloadHeader, body: NDArray[np.uint8]) -> str:
    digest = hashlib.sha256(_header_bytes(replace(header, sha256="")))
    digest.update(body.data)
    return digest.hexdigest()


def _header_bytes(header: PayloadHeader) -> bytes:
    """The header as JSON, filled up with spaces so that the body begins on a round place.

    Bodies are aligned for whoever views them as numbers, and a payload's size does not depend on
    how many digits its round has.
    """
    text = json.dumps(asdict(header), separators=(",", ":"), sort_keys=True).encode()
    return text + b" " * (-(PREFIX.size + len(text)) % ALIGNMENT)

"""What travels: one contiguous byte array with a small typed header.

    magic "VTPL" | version u16 | header length u32 | header (JSON, UTF-8, spaces) | body

All integers are little-endian. The header says who made the payload, for which job and round, and
by which codec; it carries no tensor names and no shapes. The SHA-256 of its other fields and the
body is in it, so a truncated or altered payload is refused before anybody computes with it. This
finds accidents; who may send what is for the transport to prove.
"""

import hashlib
import json
import struct
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from veiltune.errors import RunError

MAGIC = b"VTPL"
VERSION = 1
PREFIX = struct.Struct("<4sHI")
ALIGNMENT = 64
"""The body begins at a multiple of so many bytes."""


class PayloadError(RunError):
    """A payload is damaged or does not belong here; the message names the cause."""


@dataclass(frozen=True, slots=True)
class PayloadHeader:
    """What a payload is."""

    codec: str
    """The codec that made it, such as `plain-float32`."""
    job: str
    """The run it belongs to."""
    round: int
    sites: tuple[str, ...]
    """Whose updates are in it, sorted: one site in an upload, all contributors in a sum."""
    weight: float
    """The sum of the sites' weights; a body is already multiplied by its weights."""
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


def make_payload(
    codec: str, job: str, round_index: int, sites: tuple[str, ...], weight: float, body: bytes
) -> Payload:
    """A payload whose header fits its body."""
    array = np.frombuffer(body, np.uint8)
    unsigned = PayloadHeader(codec, job, round_index, tuple(sorted(sites)), weight, sha256="")
    return Payload(replace(unsigned, sha256=_sha256(unsigned, array)), array)


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

"""What travels: one contiguous byte array with a small typed header.

    magic "VTPL" | version u16 | header length u32 | header (JSON, UTF-8) | body

All integers are little-endian. The header says who made the payload, for which job and round, and
by which codec; it carries no tensor names and no shapes. The SHA-256 of the body is in it, so a
truncated or altered payload is refused before anybody computes with it.
"""

import hashlib
import json
import struct
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from veiltune.errors import RunError

MAGIC = b"VTPL"
VERSION = 1
PREFIX = struct.Struct("<4sHI")


class PayloadError(RunError):
    """A payload is damaged or does not belong here; the message names its maker and the cause."""


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
    body_sha256: str


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
    digest = hashlib.sha256(body).hexdigest()
    header = PayloadHeader(codec, job, round_index, tuple(sorted(sites)), weight, digest)
    return Payload(header, np.frombuffer(body, np.uint8))


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
    if hashlib.sha256(body.data).hexdigest() != header.body_sha256:
        raise PayloadError(
            f"the payload of {', '.join(header.sites)} for round {header.round} was cut or altered "
            f"on its way: its body does not have the SHA-256 its header states"
        )
    return Payload(header, body)


def _header_bytes(header: PayloadHeader) -> bytes:
    return json.dumps(asdict(header), separators=(",", ":"), sort_keys=True).encode()

"""The seam where encryption enters: how an update becomes bytes, and how bytes are summed.

A site encodes its update multiplied by its weight, the server combines payloads by adding them,
and a site decodes the sum to the weighted mean. The two sides are two objects: the server's side
has no names, no shapes and no key.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from veiltune.errors import PayloadError
from veiltune.federation.payload import Origin, Payload, make_payload, make_sum

CodecState = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Encoded:
    """An update on its way."""

    payload: Payload
    clipped: int = 0
    """Parameters out of the codec's range this time; what was cut off follows later."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a sum says."""

    mean: Tensor
    """The weighted mean update, float32 `(parameters,)`."""
    error_bound: float = 0.0
    """How far rounding can have moved a parameter of the mean whose addends were in range."""


class UpdateCodec(Protocol):
    """A site's side: encodes its updates and decodes the sums."""

    def encode(self, update: Tensor, weight: float, origin: Origin) -> Encoded:
        """One site's `update`, float32 `(parameters,)`, times its weight."""
        ...

    def decode(self, total: Payload) -> Decoded:
        """The weighted mean update in the sum of a round; rounds are decoded in their order.

        Raises:
            PayloadError: it is not a sum of this job's updates.
        """
        ...

    def state(self) -> CodecState:
        """What the next round needs, for a restart."""
        ...

    def load_state(self, state: CodecState) -> None:
        """Takes up a state that `state` gave; an empty one is that of a job's beginning."""
        ...


class PayloadSum(Protocol):
    """The server's side: adds payloads without reading them."""

    def check(self, payload: Payload) -> None:
        """Nothing is wrong with one site's payload, as far as it can be told without the others.

        Raises:
            PayloadError: it may not be added; the message says why, without the site's name.
        """
        ...

    def combine(self, payloads: Sequence[Payload]) -> Payload:
        """The sum of checked payloads of one round, whatever order they come in.

        Raises:
            PayloadError: they do not belong together.
        """
        ...


PLAIN = "plain-float32"
WEIGHT_BYTES = 8


class PlainCodec:
    """Weight as float64 and update as float32, both in clear."""

    def encode(self, update: Tensor, weight: float, origin: Origin) -> Encoded:
        """See `UpdateCodec.encode`."""
        weighted = update.numpy() * np.float32(weight)
        body = np.float64(weight).astype("<f8").tobytes() + weighted.astype("<f4").tobytes()
        return Encoded(make_payload(PLAIN, origin, body))

    def decode(self, total: Payload) -> Decoded:
        """See `UpdateCodec.decode`."""
        if total.header.codec != PLAIN:
            raise PayloadError(f"expected a sum of codec {PLAIN}, got {total.header.codec}")
        weight, values = _split(total)
        return Decoded(torch.from_numpy(values) / weight)

    def state(self) -> CodecState:
        """Nothing is kept."""
        return {}

    def load_state(self, state: CodecState) -> None:
        """Nothing is kept."""


class PlainSum:
    """Adds float32 updates in the order of the sites' names, so that the sum has one value."""

    def check(self, payload: Payload) -> None:
        """See `PayloadSum.check`."""
        if payload.header.codec != PLAIN:
            raise PayloadError(f"its update is {payload.header.codec}, expected {PLAIN}")
        if payload.body.size < WEIGHT_BYTES or (payload.body.size - WEIGHT_BYTES) % 4:
            raise PayloadError(f"its update has {payload.body.size} bytes, not a row of float32")

    def combine(self, payloads: Sequence[Payload]) -> Payload:
        """See `PayloadSum.combine`."""
        ordered = check_addends(payloads)
        weight, total = _split(ordered[0])
        for payload in ordered[1:]:
            more, values = _split(payload)
            weight += more
            total += values
        body = np.float64(weight).astype("<f8").tobytes() + total.astype("<f4").tobytes()
        return make_sum(PLAIN, ordered, body)


def _split(payload: Payload) -> tuple[float, np.ndarray[tuple[int], np.dtype[np.float32]]]:
    """The weight in a plain body and its values, copied."""
    weight = float(payload.body[:WEIGHT_BYTES].view("<f8")[0])
    return weight, payload.body[WEIGHT_BYTES:].view("<f4").astype(np.float32)


def check_addends(payloads: Sequence[Payload]) -> list[Payload]:
    """The payloads in site-name order, once it is certain that they may be added.

    Raises:
        PayloadError: there is none, a site is in it twice, or they differ in size or in any field
            of the header but the site.
    """
    if not payloads:
        raise PayloadError("a sum needs at least one payload, got none")
    ordered = sorted(payloads, key=lambda payload: payload.header.sites)
    sites = [site for payload in ordered for site in payload.header.sites]
    if len(set(sites)) != len(sites):
        raise PayloadError(f"each site may be in a sum once, got {', '.join(sites)}")
    first = ordered[0]
    for payload in ordered:
        for field in ("codec", "key", "parameters", "job", "round", "history"):
            expected, got = getattr(first.header, field), getattr(payload.header, field)
            if got != expected:
                raise PayloadError(
                    f"a sum needs payloads of one {field}, got {expected!r} from "
                    f"{', '.join(first.header.sites)} and {got!r} from "
                    f"{', '.join(payload.header.sites)}"
                )
        if payload.body.size != first.body.size:
            raise PayloadError(
                f"a sum needs updates of one size, got {first.body.size} bytes from "
                f"{', '.join(first.header.sites)} and {payload.body.size} from "
                f"{', '.join(payload.header.sites)}"
            )
    return ordered

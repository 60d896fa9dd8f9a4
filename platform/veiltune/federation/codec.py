"""The seam where encryption enters: how an update becomes bytes, and how bytes are summed.

A site encodes its update multiplied by its weight, the server combines payloads by adding them,
and a site decodes the sum to the weighted mean. The server needs no names, no shapes and no key.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from veiltune.federation.payload import Payload, PayloadError, make_payload


class UpdateCodec(Protocol):
    """Encodes updates at the sites and combines them at the server."""

    name: str

    def encode(
        self, update: Tensor, weight: float, *, job: str, round_index: int, site: str
    ) -> Payload:
        """The payload of one site's `update`, float32 `(parameters,)`, times its weight."""
        ...

    def combine(self, payloads: Sequence[Payload]) -> Payload:
        """The sum of payloads of one round, whatever order they come in."""
        ...

    def decode(self, payload: Payload) -> Tensor:
        """The weighted mean update in a sum, float32 `(parameters,)`."""
        ...


class PlainCodec:
    """Updates as float32 in clear, added in the order of the sites' names."""

    name = "plain-float32"

    def encode(
        self, update: Tensor, weight: float, *, job: str, round_index: int, site: str
    ) -> Payload:
        """See `UpdateCodec.encode`."""
        body = (update.numpy() * np.float32(weight)).astype("<f4").tobytes()
        return make_payload(self.name, job, round_index, (site,), weight, body)

    def combine(self, payloads: Sequence[Payload]) -> Payload:
        """See `UpdateCodec.combine`."""
        ordered = check_addends(payloads, self.name)
        total = np.zeros(ordered[0].body.size // 4, np.float32)
        for payload in ordered:
            total += payload.body.view("<f4")
        sites = tuple(site for payload in ordered for site in payload.header.sites)
        weight = sum(payload.header.weight for payload in ordered)
        first = ordered[0].header
        body = total.astype("<f4").tobytes()
        return make_payload(self.name, first.job, first.round, sites, weight, body)

    def decode(self, payload: Payload) -> Tensor:
        """See `UpdateCodec.decode`."""
        total = torch.from_numpy(payload.body.view("<f4").astype(np.float32))
        return total / np.float32(payload.header.weight).item()


def check_addends(payloads: Sequence[Payload], codec: str) -> list[Payload]:
    """The payloads in site-name order, once it is certain that they may be added.

    Raises:
        PayloadError: there is none, a site is in it twice, or they differ in codec, job, round or
            size.
    """
    if not payloads:
        raise PayloadError("a sum needs at least one payload, got none")
    ordered = sorted(payloads, key=lambda payload: payload.header.sites)
    sites = [site for payload in ordered for site in payload.header.sites]
    if len(set(sites)) != len(sites):
        raise PayloadError(f"each site may be in a sum once, got {', '.join(sites)}")
    first = ordered[0].header
    for payload in ordered:
        header = payload.header
        if (header.codec, header.job, header.round) != (codec, first.job, first.round):
            raise PayloadError(
                f"a sum needs payloads of codec {codec}, job {first.job}, round {first.round}; "
                f"{', '.join(header.sites)} sent codec {header.codec}, job {header.job}, "
                f"round {header.round}"
            )
        if payload.body.size != ordered[0].body.size:
            raise PayloadError(
                f"a sum needs updates of one size, got {ordered[0].body.size} bytes from "
                f"{', '.join(first.sites)} and {payload.body.size} from {', '.join(header.sites)}"
            )
    return ordered

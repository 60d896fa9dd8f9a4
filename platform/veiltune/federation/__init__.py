"""Sites, rounds, the seam where encryption enters, and the two engines."""

from veiltune.federation.codec import (
    Decoded,
    Encoded,
    PayloadSum,
    PlainCodec,
    PlainSum,
    UpdateCodec,
)
from veiltune.federation.config import FederationConfig
from veiltune.federation.coordinator import Coordinator
from veiltune.federation.inline import run_inline
from veiltune.federation.messages import Reply, Task
from veiltune.federation.payload import Origin, Payload, read_payload
from veiltune.federation.site import Measurements, Site

__all__ = [
    "Coordinator",
    "Decoded",
    "Encoded",
    "FederationConfig",
    "Measurements",
    "Origin",
    "Payload",
    "PayloadSum",
    "PlainCodec",
    "PlainSum",
    "Reply",
    "Site",
    "Task",
    "UpdateCodec",
    "read_payload",
    "run_inline",
]

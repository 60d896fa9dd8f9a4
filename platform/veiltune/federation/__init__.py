"""Sites, rounds, the seam where encryption enters, and the two engines."""

from veiltune.federation.codec import PlainCodec, UpdateCodec
from veiltune.federation.config import FederationConfig
from veiltune.federation.coordinator import Coordinator
from veiltune.federation.inline import run_inline
from veiltune.federation.messages import Reply, Task
from veiltune.federation.payload import Payload, PayloadError, read_payload
from veiltune.federation.site import Measurements, Site

__all__ = [
    "Coordinator",
    "FederationConfig",
    "Measurements",
    "Payload",
    "PayloadError",
    "PlainCodec",
    "Reply",
    "Site",
    "Task",
    "UpdateCodec",
    "read_payload",
    "run_inline",
]

"""One round of encrypted updates our way, from float32 to message, to message, to float32.

The updates have heavy tails and lie in the codec's range, its two ends included, so that nothing is
clipped and the mean's error is that of rounding.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from veiltune.federation import Origin, PayloadSum
from veiltune.federation.codec import Decoded
from veiltune.federation.payload import read_payload
from veiltune_privacy.he.addition import CiphertextSum, ClearSum
from veiltune_privacy.he.cipher import (
    ClearIntegers,
    EncryptedIntegers,
    IntegerCipher,
    clear_parameters,
)
from veiltune_privacy.he.codec import IntegerCodec
from veiltune_privacy.he.config import EncryptionConfig
from veiltune_privacy.he.keys import SecretKey, generate_key
from veiltune_privacy.he.layout import Layout
from veiltune_privacy.he.parameters import Form, choose_parameters
from veiltune_privacy.he.quantisation import levels

SEED = 1
RANGE = 0.5
"""The codec's range in the first round, for a site of average weight."""
DEGREES_OF_FREEDOM = 3
TYPICAL = RANGE / 50
"""The scale of the updates; their tails reach the range."""
DRAWN_AT_ONCE = 1_000_000
JOB = "bench"

Message = NDArray[np.uint8]


@dataclass(frozen=True)
class Federation:
    """Sites with unequal weights and an update each."""

    sites: int
    params: int

    @property
    def names(self) -> list[str]:
        """The sites in their order."""
        return [f"site-{index:02}" for index in range(self.sites)]

    def weight(self, site: str) -> int:
        """Its examples."""
        return 100 + 7 * self.names.index(site)

    @property
    def reference_weight(self) -> float:
        """The sites' average weight."""
        return mean(self.weight(site) for site in self.names)

    def update(self, site: str) -> NDArray[np.float32]:
        """Its update `(params,)`: Student's t, and the two ends of the range first."""
        draw = np.random.default_rng([SEED, self.names.index(site)])
        ratio = np.float32(self.weight(site) / self.reference_weight)
        end = np.float32(RANGE / ratio)
        while end * ratio > RANGE:
            end = np.nextafter(end, np.float32(0))
        update = np.empty(self.params, np.float32)
        for at in range(0, self.params, DRAWN_AT_ONCE):
            part = update[at : at + DRAWN_AT_ONCE]
            part[:] = draw.standard_t(DEGREES_OF_FREEDOM, len(part)) * TYPICAL
            np.clip(part, -end, end, out=part)
        update[0], update[1:2] = end, -end
        return update

    def mean(self) -> NDArray[np.float64]:
        """The weighted mean `(params,)` of all updates in double precision."""
        total = np.zeros(self.params)
        for site in self.names:
            total += self.weight(site) * self.update(site).astype(np.float64)
        total /= self.sites * self.reference_weight
        return total


@dataclass(frozen=True)
class Variant:
    """One way of ours to encrypt."""

    scheme: Literal["ckks", "bfv"]
    bits: Literal[12, 16]
    form: Form = "seeds"

    @property
    def name(self) -> str:
        """Scheme and download form."""
        return f"{self.scheme} {self.form}"


class Exchange:
    """All parts of one round: a site's codec and the server's addition.

    Args:
        cipher, addition: Of one job; both encrypted or both in clear.
    """

    def __init__(
        self, federation: Federation, bits: int, cipher: IntegerCipher, addition: PayloadSum
    ) -> None:
        config = EncryptionConfig.model_validate({"bits": bits, "first_range": RANGE})
        layout = Layout(federation.params, levels(bits))
        self.cipher = cipher
        self._federation = federation
        self._addition = addition
        self.codec = IntegerCodec(
            config, layout, cipher, federation.reference_weight, SEED, retire_key=lambda: None
        )

    def encrypt(self, site: str, update: NDArray[np.float32]) -> Message:
        """The message of one site in the first round."""
        self.codec.load_state({})
        encoded = self.codec.encode(
            torch.from_numpy(update), self._federation.weight(site), Origin(JOB, 0, site)
        )
        assert encoded.clipped == 0
        return encoded.payload.to_array()

    def add(self, messages: Sequence[Message]) -> Message:
        """The server's message for the messages of all sites; see `add`."""
        return add(self._addition, messages)

    def decrypt(self, message: Message) -> Decoded:
        """The weighted mean in the server's message of the first round."""
        self.codec.load_state({})
        return self.codec.decode(read_payload(message))

    def open(self, message: Message) -> NDArray[np.int64]:
        """The summed integers in the server's message, `(digits,)`."""
        return self.cipher.open(read_payload(message))


def add(addition: PayloadSum, messages: Sequence[Message]) -> Message:
    """A server's message for the messages of all sites, each of which it checks."""
    payloads = [read_payload(message) for message in messages]
    for payload in payloads:
        addition.check(payload)
    return addition.combine(payloads).to_array()


def make_key(federation: Federation, variant: Variant) -> SecretKey:
    """A fresh key under the parameters that a job of this size gets."""
    layout = Layout(federation.params, levels(variant.bits))
    return generate_key(
        choose_parameters(variant.scheme, layout.levels, federation.sites, layout.digits)
    )


def encrypted_exchange(
    federation: Federation, variant: Variant, key: SecretKey, processes: int = 1
) -> Exchange:
    """A round under this key."""
    return Exchange(
        federation,
        variant.bits,
        EncryptedIntegers(key, variant.form, processes),
        CiphertextSum(key.public(), variant.form, processes),
    )


def clear_exchange(federation: Federation, bits: int) -> Exchange:
    """A round of the same integers, added in clear."""
    layout = Layout(federation.params, levels(bits))
    cipher = ClearIntegers(layout.levels, federation.sites, layout.digits)
    parameters = clear_parameters(layout.levels, federation.sites, layout.digits)
    return Exchange(federation, bits, cipher, ClearSum(parameters, layout.digits, federation.sites))

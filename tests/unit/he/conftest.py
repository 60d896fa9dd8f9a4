"""A small exchange: some sites with one codec each, and the server's addition between them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from veiltune.federation import Origin, Payload, PayloadSum
from veiltune.federation.codec import Decoded, Encoded
from veiltune_privacy.he.addition import CiphertextSum, ClearSum
from veiltune_privacy.he.cipher import ClearIntegers, EncryptedIntegers, clear_parameters
from veiltune_privacy.he.codec import IntegerCodec
from veiltune_privacy.he.config import EncryptionConfig
from veiltune_privacy.he.keys import SecretKey, generate_key
from veiltune_privacy.he.layout import Layout
from veiltune_privacy.he.parameters import Form, Scheme, choose_parameters

JOB = "a-run"
AVERAGE_WEIGHT = 20.0
PARAMETERS = 9000
"""Two whole blocks and a part of one; more than one ciphertext."""
OWN = {"weights", "parameters", "form", "key_number", "processes"}


@lru_cache
def secret_key(scheme: Scheme, layout: Layout, sites: int, number: int) -> SecretKey:
    """The key `number` of these parameters."""
    return generate_key(choose_parameters(scheme, layout.levels, sites, layout.digits))


@dataclass
class Exchange:
    """`len(weights)` sites; every codec is built anew from its state, as in a new process."""

    config: EncryptionConfig
    weights: Sequence[float] = (10.0, 20.0, 30.0)
    parameters: int = PARAMETERS
    form: Form = "seeds"
    key_number: int = 0
    processes: int = 1
    retired: int = 0
    states: dict[str, dict[str, torch.Tensor]] = field(default_factory=dict)

    @property
    def sites(self) -> list[str]:
        return [f"site-{index + 1}" for index in range(len(self.weights))]

    @property
    def layout(self) -> Layout:
        return Layout(self.parameters, 2 ** (self.config.bits - 1) - 1)

    @property
    def key(self) -> SecretKey:
        assert self.config.scheme in ("ckks", "bfv")
        return secret_key(self.config.scheme, self.layout, len(self.weights), self.key_number)

    def cipher(self) -> ClearIntegers | EncryptedIntegers:
        if self.config.encrypted:
            return EncryptedIntegers(self.key, self.form, self.processes)
        return ClearIntegers(self.layout.levels, len(self.weights), self.layout.digits)

    def updates(self, size: float = 0.05) -> NDArray[np.float32]:
        """Heavy-tailed updates `(sites, parameters)` of about this size."""
        draw = np.random.default_rng(len(self.weights))
        values = draw.standard_t(5, (len(self.weights), self.parameters))
        return (values * size / 5).astype(np.float32)

    def retire(self) -> None:
        self.retired += 1

    def codec(self, site: str) -> IntegerCodec:
        codec = IntegerCodec(
            self.config, self.layout, self.cipher(), AVERAGE_WEIGHT, 1, self.retire
        )
        codec.load_state(self.states.get(site, {}))
        return codec

    def addition(self) -> PayloadSum:
        if self.config.encrypted:
            return CiphertextSum(self.key.public(), self.form, self.processes)
        parameters = clear_parameters(self.layout.levels, len(self.weights), self.layout.digits)
        return ClearSum(parameters, self.layout.digits, len(self.weights))

    def encode(self, site: str, update: NDArray[np.float32], index: int = 0) -> Encoded:
        codec = self.codec(site)
        weight = self.weights[self.sites.index(site)]
        encoded = codec.encode(torch.from_numpy(update), weight, Origin(JOB, index, site))
        self.states[site] = codec.state()
        return encoded

    def uploads(self, updates: NDArray[np.float32], index: int = 0) -> list[Payload]:
        return [
            self.encode(site, update, index).payload
            for site, update in zip(self.sites, updates, strict=True)
        ]

    def decode(self, site: str, total: Payload) -> Decoded:
        codec = self.codec(site)
        decoded = codec.decode(total)
        self.states[site] = codec.state()
        return decoded

    def round(self, updates: NDArray[np.float32], index: int = 0) -> Decoded:
        """What every site makes of one round; `updates` has the shape `(sites, parameters)`."""
        uploads = self.uploads(updates, index)
        addition = self.addition()
        for upload in uploads:
            addition.check(upload)
        total = addition.combine(uploads[::-1])
        first, *others = [self.decode(site, total) for site in self.sites]
        assert all(torch.equal(first.mean, other.mean) for other in others)
        return first

    def true_mean(self, updates: NDArray[np.float32]) -> NDArray[np.float64]:
        return np.average(updates.astype(np.float64), axis=0, weights=self.weights)


@pytest.fixture
def exchange() -> Callable[..., Exchange]:
    """Makes an exchange; settings go to its configuration or to the exchange itself."""

    def make(scheme: str = "quantised", **settings: Any) -> Exchange:
        own = {name: settings.pop(name) for name in OWN & settings.keys()}
        config = EncryptionConfig.model_validate({"scheme": scheme, **settings})
        return Exchange(config, **own)

    return make

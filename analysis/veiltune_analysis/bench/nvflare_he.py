"""NVFlare's own homomorphic encryption of updates, as its filters do it with their defaults.

A site encrypts with `HEModelEncryptor`, the server adds with `HEInTimeAccumulateWeightedAggregator`
and a site decrypts with `HEModelDecryptor`, under the contexts that `HEBuilder` makes for server
and clients: CKKS, ring degree 8192, primes of 60, 40 and 40 bits, scale 2 ** 40. Messages are what
NVFlare's cells send: Shareables through FOBS. Its server sends vectors as bytes
(`HEModelShareableGenerator`), so that is done here too; the addition of the mean to the global
model, which it also does under encryption, is left out.
"""

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from nvflare.apis.dxo import DXO, DataKind, MetaKey, from_shareable
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import FLContextKey, ReservedKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.utils.decomposers import flare_decomposers
from nvflare.app_common.app_constant import AppConstants
from nvflare.app_common.decomposers import common_decomposers
from nvflare.app_opt.he import decomposers
from nvflare.app_opt.he.homomorphic_encrypt import serialize_nested_dict
from nvflare.app_opt.he.intime_accumulate_model_aggregator import (
    HEInTimeAccumulateWeightedAggregator,
)
from nvflare.app_opt.he.model_decryptor import HEModelDecryptor
from nvflare.app_opt.he.model_encryptor import HEModelEncryptor
from nvflare.fuel.sec.security_content_service import SecurityContentManager, SecurityContentService
from nvflare.fuel.utils import fobs
from nvflare.lighter.constants import ProvFileName
from nvflare.lighter.impl.he import HEBuilder

TENSOR = "update"
ROUND = 0


class NvflareExchange:
    """One round of encrypted updates the NVFlare way; all of an update is one tensor.

    Args:
        folder: Where the contexts are written, the clients' with the secret key.
    """

    def __init__(self, folder: Path) -> None:
        flare_decomposers.register()
        common_decomposers.register()
        decomposers.register()
        builder = HEBuilder()
        unused: Any = None  # a project and a provisioning, at which it does not look
        builder.initialize(unused, unused)
        client, server = ProvFileName.CLIENT_CONTEXT_TENSEAL, ProvFileName.SERVER_CONTEXT_TENSEAL
        (folder / client).write_bytes(builder.get_serialized_context(is_client=True))
        (folder / server).write_bytes(builder.get_serialized_context())
        self._encryptor, self._decryptor = HEModelEncryptor(), HEModelDecryptor()
        self._aggregator = HEInTimeAccumulateWeightedAggregator()
        # The service looks into one folder for the rest of a process; ours is gone afterwards.
        before = SecurityContentService.security_content_manager
        SecurityContentService.security_content_manager = SecurityContentManager(str(folder))
        try:
            for part in (self._encryptor, self._decryptor, self._aggregator):
                part.handle_event(EventType.START_RUN, _context("server"))
        finally:
            SecurityContentService.security_content_manager = before

    def encrypt(self, site: str, update: NDArray[np.float32], weight: int) -> bytes:
        """The message of one site: its update times its weight, encrypted."""
        dxo = DXO(DataKind.WEIGHT_DIFF, {TENSOR: update})
        dxo.set_meta_prop(MetaKey.NUM_STEPS_CURRENT_ROUND, weight)
        sent = self._encryptor.process(dxo.to_shareable(), _context(site))
        sent.add_cookie(AppConstants.CONTRIBUTION_ROUND, ROUND)
        sent.set_peer_props({ReservedKey.IDENTITY_NAME: site})
        return _bytes(fobs.dumps(sent))

    def add(self, messages: Sequence[bytes]) -> bytes:
        """The message with the encrypted weighted mean of the sites' messages."""
        context = _context("server")
        for message in messages:
            if not self._aggregator.accept(fobs.loads(message), context):
                raise ValueError("NVFlare's aggregator did not accept an update")
        mean = self._aggregator.aggregate(context)
        serialize_nested_dict(from_shareable(mean).data)
        return _bytes(fobs.dumps(mean))

    def decrypt(self, message: bytes) -> Sequence[float]:
        """The weighted mean in the server's message, as the filter leaves it: a list."""
        mean = self._decryptor.process(fobs.loads(message), _context("site"))
        values: Sequence[float] = from_shareable(mean).data[TENSOR]
        return values


@contextmanager
def nvflare_quiet() -> Iterator[None]:
    """Inside, nobody hears NVFlare miss its job engine, nor TenSEAL on standard output.

    TenSEAL says of every vector of several ciphertexts that it cannot be multiplied by a matrix.
    """
    logger = logging.getLogger("nvflare")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
            yield
    finally:
        logger.setLevel(level)


def _context(peer: str) -> FLContext:
    """The least that the filters ask for: the peer, the round, and contexts without signatures."""
    context, other = FLContext(), FLContext()
    other.set_prop(ReservedKey.IDENTITY_NAME, peer, private=False)
    context.set_peer_context(other)
    context.set_prop(AppConstants.CURRENT_ROUND, ROUND)
    context.set_prop(FLContextKey.SECURE_MODE, False)
    return context


def _bytes(message: Any) -> bytes:
    assert isinstance(message, bytes)
    return message

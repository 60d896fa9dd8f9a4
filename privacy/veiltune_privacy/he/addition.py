"""The server's side: adds integers it cannot read.

The first components of ciphertexts are added modulo q with NumPy; no key is needed and none is
here. The second components follow from the sites' seeds: the server passes the seeds on, or adds
what they expand to.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from veiltune.errors import PayloadError
from veiltune.federation.codec import check_addends
from veiltune.federation.payload import Payload, make_sum
from veiltune_privacy.he import rows, wire
from veiltune_privacy.he.cipher import CHUNK, CHUNKS_A_PROCESS, QUANTISED, sum_name
from veiltune_privacy.he.ckks import PublicContext
from veiltune_privacy.he.keys import PublicPart
from veiltune_privacy.he.parameters import SEED_BYTES, Form, check_parameters
from veiltune_privacy.he.streaming import over_chunks


class ClearSum:
    """Adds quantised updates in clear."""

    def __init__(self, parameters: str, digits: int, max_sites: int) -> None:
        self.parameters = parameters
        self.digits = digits
        self.max_sites = max_sites

    def check(self, payload: Payload) -> None:
        """See `PayloadSum.check`."""
        check_upload(payload, QUANTISED, "", self.parameters, 2 * self.digits)

    def combine(self, payloads: Sequence[Payload]) -> Payload:
        """See `PayloadSum.combine`."""
        ordered = check_addends(payloads)
        refuse_too_many(len(ordered), self.max_sites)
        total = np.zeros(self.digits, "<i4")
        for payload in ordered:
            total += payload.body.view("<i2")
        return make_sum(sum_name(QUANTISED, "clear"), ordered, total.view(np.uint8))


class CiphertextSum:
    """Adds encrypted updates.

    Guarantee: the sum decrypts exactly to the sum of the encrypted integers if every upload was
    formed honestly. A coefficient out of range, a seed that was used twice, another key, other
    parameters or one site too many are refused. That an upload with proper coefficients encrypts
    integers in range cannot be seen from outside.

    Args:
        public: What the server may know of the key.
        form: What the sites will be sent.
        processes: Worker processes for large updates.

    Raises:
        SpecificationError: the parameters are not secure or not exact.
    """

    def __init__(self, public: PublicPart, form: Form, processes: int) -> None:
        check_parameters(public.parameters)
        self.public = public
        self.form: Form = form
        self._processes = processes

    def check(self, payload: Payload) -> None:
        """See `PayloadSum.check`."""
        cipher = self.public.parameters
        check_upload(
            payload,
            cipher.scheme,
            self.public.fingerprint,
            cipher.describe(),
            cipher.upload_bytes,
        )
        for chunk in _chunks(self._rows(payload)):
            c0, _ = wire.split_upload(chunk, cipher.degree, cipher.word_bytes)
            wire.check_below(c0, self.public.modulus)
        if _repeated(self._seeds(payload)):
            raise PayloadError("its update uses one seed for two ciphertexts, which tells both")

    def combine(self, payloads: Sequence[Payload]) -> Payload:
        """See `PayloadSum.combine`."""
        ordered = check_addends(payloads)
        cipher = self.public.parameters
        refuse_too_many(len(ordered), cipher.packing.max_sites)
        if _repeated(np.concatenate([self._seeds(payload) for payload in ordered])):
            raise PayloadError(
                "two sites used one seed, which tells the difference of their updates; their "
                "random number generators are not independent, so nothing of this round is used"
            )
        body = np.empty(cipher.download_bytes(self.form, len(ordered)), np.uint8)
        out = body.reshape(cipher.ciphertexts, -1)
        uploads = [self._rows(payload) for payload in ordered]
        chunks = (
            (cipher, self.public.modulus, self.form, [each[at : at + CHUNK] for each in uploads])
            for at in range(0, cipher.ciphertexts, CHUNK)
        )
        count = -(-cipher.ciphertexts // CHUNK)
        many = self.form == "full" and count >= 2 * CHUNKS_A_PROCESS
        processes = min(self._processes, count // CHUNKS_A_PROCESS) if many else 1
        at = 0
        for added in over_chunks(PublicContext, (cipher,), rows.add, chunks, processes):
            out[at : at + len(added)] = added
            at += len(added)
        return make_sum(sum_name(cipher.scheme, self.form), ordered, body)

    def _rows(self, payload: Payload) -> NDArray[np.uint8]:
        return payload.body.reshape(self.public.parameters.ciphertexts, -1)

    def _seeds(self, payload: Payload) -> NDArray[np.uint8]:
        return self._rows(payload)[:, -SEED_BYTES:]


def check_upload(payload: Payload, codec: str, key: str, parameters: str, size: int) -> None:
    """The header and the size of `payload` are those of an upload of this job.

    Raises:
        PayloadError: they are not.
    """
    header = payload.header
    if header.codec != codec:
        raise PayloadError(f"its update is {header.codec}, expected {codec}")
    if header.parameters != parameters:
        raise PayloadError(
            f"its update was made with the parameters {header.parameters}, expected {parameters}"
        )
    if header.key != key:
        raise PayloadError(f"its update was made under the key {header.key}, expected {key}")
    if payload.body.size != size:
        raise PayloadError(f"its update has {payload.body.size} bytes, expected {size}")


def refuse_too_many(sites: int, max_sites: int) -> None:
    """There is room for so many sites in a sum.

    Raises:
        PayloadError: there is not.
    """
    if sites > max_sites:
        raise PayloadError(
            f"a sum has room for {max_sites} sites, got updates of {sites}; raise "
            f"privacy.encryption.max_sites and start a new run"
        )


def _chunks(body: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    return [body[at : at + CHUNK] for at in range(0, len(body), CHUNK)]


def _repeated(seeds: NDArray[np.uint8]) -> bool:
    """Whether one of the rows `(ciphertexts, 64)` occurs twice."""
    return len({seed.tobytes() for seed in seeds}) < len(seeds)

"""Updates as integers: weighed, quantised, sealed, summed exactly, opened.

One update becomes one row of digits:

    quantised parameters | parameters clipped, a block | the site's weight in several digits

Clipped counts and weight are summed with everything else, so the sites learn their totals and
nobody learns a single site's. The ranges of the next round follow from the opened sum, which all
sites share, so they agree on them without saying anything.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from veiltune.errors import PayloadError, RunError
from veiltune.federation.codec import CodecState, Decoded, Encoded
from veiltune.federation.payload import Origin, Payload, make_payload
from veiltune.randomness import derive_seed
from veiltune_privacy.he.cipher import IntegerCipher
from veiltune_privacy.he.config import EncryptionConfig
from veiltune_privacy.he.layout import Layout
from veiltune_privacy.he.quantisation import Quantiser, Ranges, first_ranges, next_ranges


class IntegerCodec:
    """Encodes updates as sealed integers.

    The weighted mean is exact but for rounding and clipping, and both stay at the site: what was
    not sent is added to the site's next update (error feedback; Seide et al., Interspeech 2014).
    So without clipping the sums of all rounds together are off by no more than one round's bound,
    as long as every update arrives.

    *Guarantee*: at most one sum that does not open is ever answered. Whoever could send crafted
    sums again and again, and see which ones open, would learn the key from it (Fauzi, Hovd and
    Raddum, Cryptography 6(1):13, 2022). So the first one retires the key, and from then on nothing
    is encoded or decoded.

    Args:
        config: How values become integers.
        layout: Where in a row what is.
        cipher: Seals rows and opens their sums.
        reference_weight: A site's average weight, equal at all sites. A weight counts as a multiple
            of it, so that values of different sites have one range.
        seed: The job's seed, for stochastic rounding.
        retire_key: Makes sure that no later process of this site uses the key either.
    """

    def __init__(
        self,
        config: EncryptionConfig,
        layout: Layout,
        cipher: IntegerCipher,
        reference_weight: float,
        seed: int,
        retire_key: Callable[[], None],
    ) -> None:
        self.config = config
        self.layout = layout
        self.cipher = cipher
        self.reference_weight = reference_weight
        self.seed = seed
        self.retire_key = retire_key
        self.retired = False
        self.quantiser = Quantiser(bits=config.bits, rounding=config.rounding)
        self._ranges: Ranges
        self._residual: NDArray[np.float32]
        self.load_state({})

    def encode(self, update: Tensor, weight: float, origin: Origin) -> Encoded:
        """See `UpdateCodec.encode`."""
        self._refuse_if_retired()
        if len(update) != self.layout.parameters:
            raise RunError(
                f"an update of {self.layout.parameters} parameters was expected, got {len(update)}"
            )
        weighted = update.numpy() * np.float32(weight / self.reference_weight) + self._residual
        quantised = self.quantiser.quantise(weighted, self._ranges, self._draw(origin))
        if self.config.error_feedback:
            self._residual = quantised.residual
        digits = self.layout.join(quantised.digits, quantised.clipped, weight)
        payload = make_payload(
            self.cipher.name,
            origin,
            self.cipher.seal(digits),
            key=self.cipher.key,
            parameters=self.cipher.parameters,
        )
        return Encoded(payload, int(quantised.clipped.sum()))

    def decode(self, total: Payload) -> Decoded:
        """See `UpdateCodec.decode`."""
        self._refuse_if_retired()
        self.cipher.check(total)
        sites = len(total.header.sites)
        values, clipped, weight = self.layout.split(self._open(total, sites))
        scale = self.reference_weight / weight
        mean = self.quantiser.dequantise(values, self._ranges)
        mean *= scale
        bound = sites * float(self.quantiser.error_bound(self._ranges).max()) * scale
        self._ranges = next_ranges(self._ranges, values, clipped, sites, self.quantiser)
        return Decoded(torch.from_numpy(mean.astype(np.float32)), bound)

    def _open(self, total: Payload, sites: int) -> NDArray[np.int64]:
        """The sums of all digits, if so many sites can have sent them."""
        most = sites * self.layout.levels
        try:
            sums = self.cipher.open(total)
            possible = -most <= sums.min() and sums.max() <= most
            possible = possible and sums[self.layout.parameters :].min() >= 0
            if possible and self.layout.split(sums)[2] > 0:
                return sums
        except PayloadError:
            pass  # whatever it was, the answer is the same
        self.retired = True
        self.retire_key()
        raise PayloadError(
            f"the sum of round {total.header.round} does not open to what {sites} sites can have "
            f"sent, so the server or a site broke the protocol; this site goes no further with "
            f"this job's key, so find out who it was before you start a new run"
        )

    def _refuse_if_retired(self) -> None:
        if self.retired:
            raise RunError(
                "this site's key was retired when a sum did not open; find out who broke the "
                "protocol before you start a new run"
            )

    def state(self) -> CodecState:
        """See `UpdateCodec.state`."""
        return {
            "ranges": torch.from_numpy(self._ranges),
            "residual": torch.from_numpy(self._residual),
        }

    def load_state(self, state: CodecState) -> None:
        """See `UpdateCodec.load_state`."""
        size = self.layout.parameters
        if state:
            self._ranges = state["ranges"].numpy()
            self._residual = state["residual"].numpy()
        else:
            self._ranges = first_ranges(size, self.config.first_range)
            self._residual = np.zeros(size, np.float32)

    def _draw(self, origin: Origin) -> np.random.Generator | None:
        if self.config.rounding == "nearest":
            return None
        seed = derive_seed(self.seed, "rounding", origin.site, origin.round)
        return np.random.default_rng(seed)

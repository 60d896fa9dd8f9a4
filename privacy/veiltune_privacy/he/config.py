"""How updates are put into integers and hidden from the server."""

from typing import Literal

from pydantic import Field, model_validator

from veiltune.config import Section
from veiltune_privacy.he.parameters import Form


class EncryptionConfig(Section):
    """How updates travel."""

    scheme: Literal["none", "quantised", "ckks", "bfv"] = "none"
    """`none`: float32 in clear; `quantised`: integers in clear; `ckks` and `bfv`: the same integers
    encrypted, with bitwise the same result as `quantised`."""
    bits: Literal[8, 12, 16] = 16
    """Bits of a quantised value, its sign included."""
    rounding: Literal["nearest", "stochastic"] = "nearest"
    """`stochastic` rounds up or down at random, without bias, at up to twice the error."""
    error_feedback: bool = True
    """Whether a site adds what was clipped or rounded away to its next update."""
    first_range: float = Field(default=0.5, gt=0)
    """The largest change of a parameter in the first round, for a site of average size, that is not
    clipped. Later ranges follow the decrypted sums."""
    max_sites: int | None = Field(default=None, ge=1)
    """The most sites whose sum is exact; None means the job's number of sites."""
    download: Literal["auto"] | Form = "auto"
    """What a site receives: `full` ciphertexts, or sums of first components and all `seeds`."""

    @model_validator(mode="after")
    def _eight_bits_need_feedback(self) -> "EncryptionConfig":
        if self.bits == 8 and not self.error_feedback:
            raise ValueError(
                "error_feedback must be true with 8 bits, whose rounding alone would be lost in "
                "every round; set it to true or take 12 or 16 bits"
            )
        return self

    @property
    def encrypted(self) -> bool:
        """Whether the server is kept from reading updates."""
        return self.scheme in ("ckks", "bfv")

"""How a site hides single training examples."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from veiltune.config import Section

Space = Literal["output", "encoder"]
NoiseSource = Literal["system", "seeded"]


class ExampleLevelConfig(Section):
    """Differential privacy of single training examples, by DP-SGD at every site."""

    epsilon: float | None = Field(default=None, gt=0)
    """What a site may spend over all rounds of the job; None: no differential privacy."""
    delta: float | None = Field(default=None, gt=0, lt=1)
    """The other half of the guarantee; None takes a value below one over the site's examples."""
    clip_norm: float = Field(default=0.03, gt=0)
    """C, the largest norm of one example's gradient. Fixed, and not derived from data."""
    space: Space = "output"
    """`output`: the gradient of the virtual tokens is clipped and noised; `encoder`: that of the
    encoder's parameters."""
    noise: NoiseSource = "system"
    """`system`: the operating system's cryptographic source; `seeded`: repeatable and therefore
    not private, for tests."""
    ledger: Path | None = None
    """A folder with one ledger a site, shared by all jobs on the same data; None keeps a ledger of
    this run alone, in the run's folder."""

"""How sites take part in a job."""

from typing import Literal

from pydantic import Field, model_validator

from veiltune.config import Section


class FederationConfig(Section):
    """Who trains together, for how long, and how few may go on."""

    arm: Literal["federated", "centralised", "alone"] = "federated"
    """`federated`: the sites of the partition; `centralised`: one site `central` that holds
    everybody's rows; `alone`: only `alone_site`, on its own rows."""
    alone_site: str | None = None
    """The site that trains in the arm `alone`, such as `site-1`."""
    rounds: int = Field(default=20, ge=1)
    """Rounds of local training, each followed by an exchange."""
    min_sites: int | None = Field(default=None, ge=1)
    """The fewest sites with which a round counts; None means all of them."""
    round_timeout_s: int = Field(default=900, ge=1)
    """Seconds after which a site that has said nothing counts as missing; it is not waited for
    again until it is heard. The first round includes the sites' start-up."""

    @model_validator(mode="after")
    def _alone_names_a_site(self) -> "FederationConfig":
        if (self.arm == "alone") != (self.alone_site is not None):
            raise ValueError(
                f"alone_site must be given with arm alone and only then, got arm {self.arm} and "
                f"alone_site {self.alone_site}; set both or neither"
            )
        return self

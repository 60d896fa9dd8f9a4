"""What NVFlare has to know of a job."""

from dataclasses import dataclass

from veiltune.federation.nvflare.tracking import Tracker


@dataclass(frozen=True)
class FederatedJob:
    """What NVFlare has to know of a job; plain values, so that it can go through JSON."""

    name: str
    run: str
    """What the factories are called with: the path of the run's folder."""
    site_factory: str
    """`module:function` that builds a `Site` from `run` and the site's name."""
    coordinator_factory: str
    """`module:function` that builds a `Coordinator` from `run`."""
    sites: tuple[str, ...]
    min_sites: int
    """The fewest sites with which the job goes on."""
    first_round: int
    """The round to begin with; above 0 when a job goes on."""
    rounds: int
    """Rounds of training in the whole job."""
    round_timeout_s: int
    """How long a site that does not answer is waited for."""
    poll_s: float | None
    """Seconds between a site's questions, and of the server's loop; None: NVFlare's defaults."""
    tracker: Tracker = "none"
    """What keeps track of the job at the server, in the run's folder."""

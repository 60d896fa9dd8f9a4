"""The inline engine: all sites and the server in one process, over one frozen model.

It is not a second federation. Sites, codec, coordinator and messages are those that run under
NVFlare; only the transport is a function call. Sites may work at the same time in threads: torch
computes outside Python's lock, and each site's numbers depend on that site alone.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch

from veiltune.federation.coordinator import Coordinator
from veiltune.federation.messages import Reply
from veiltune.federation.site import Site


def run_inline(
    sites: Sequence[Site], coordinator: Coordinator, workers: int, tick: Callable[[], None]
) -> None:
    """The job is done: every site that could has taken in the last sum and written its adapter.

    Args:
        workers: How many sites compute at the same time.
        tick: Called whenever a site has answered.

    Raises:
        RunError: fewer sites than `min_sites` gave an update in some round.
    """

    def ask(site: Site) -> Reply:
        return site.answer(coordinator.task(site.name))

    # A new thread begins with OpenMP's own number of threads and would sum in another order.
    limit = (torch.get_num_threads(),)
    with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=limit) as pool:
        closed = False
        while not closed:
            closed = coordinator.next_round >= coordinator.rounds
            for reply in pool.map(ask, sites):
                coordinator.receive(reply)
                tick()
            coordinator.close_round()

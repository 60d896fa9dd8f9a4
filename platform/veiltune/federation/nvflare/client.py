"""The script that NVFlare runs at a site: receive a task, let the site answer, send the reply.

It is started as a process of its own, so a site's memory is its own and NVFlare's polling of
in-process scripts is avoided. The site is built once, after NVFlare has connected.
"""

import argparse
import importlib
import logging
from collections.abc import Callable
from typing import Any

import nvflare.client as flare
from nvflare.client.tracking import SummaryWriter

from veiltune.federation.messages import Reply, read_task
from veiltune.federation.site import reason_for


def load_factory(path: str) -> Callable[..., Any]:
    """The function that `module:function` names."""
    module, _, function = path.partition(":")
    factory: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return factory


def main() -> None:
    """Serves one site until NVFlare ends the job."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--factory", required=True)
    parser.add_argument("--run", required=True)
    arguments = parser.parse_args()
    flare.init()
    name = flare.get_site_name()
    site, reason = None, ""
    try:
        site = load_factory(arguments.factory)(arguments.run, name)
    except Exception as error:
        # The site answers every task with this instead of leaving the server waiting.
        reason = f"it could not start: {reason_for(error)}"
        logging.getLogger(__name__).exception("site %s could not start", name)
    while flare.is_running():
        message = flare.receive()
        if message is None:
            break
        task = read_task(message.params or {})
        reply = site.answer(task) if site else Reply(name, task.round, 0, None, reason)
        _track(task.round, site.measurements_sent() if site else {})
        flare.send(flare.FLModel(params=reply.to_arrays()))


def _track(round_index: int, measurements: dict[str, float]) -> None:
    """Sends the measurements, in clear, to whatever keeps track of the job at the server."""
    writer = SummaryWriter()
    for name, value in measurements.items():
        writer.add_scalar(name, value, global_step=round_index)


if __name__ == "__main__":
    main()

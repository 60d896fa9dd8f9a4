"""Python imports this at its start where it is on the path: it notes who opens a secret key.

Each line of the file that `VEILTUNE_WATCH` names is one opening: the process's arguments and the
path that was opened.
"""

import os
import sys

LOG = os.environ["VEILTUNE_WATCH"]


def note(event: str, arguments: tuple[object, ...]) -> None:
    """Called by Python before anything is opened, in this process or by its own calls."""
    if event == "open" and str(arguments[0]).endswith("secret.key"):
        with open(LOG, "a") as log:
            log.write(f"{sys.orig_argv}\t{arguments[0]}\n")


sys.addaudithook(note)

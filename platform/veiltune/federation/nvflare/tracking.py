"""Keeps track of a job with TensorBoard or MLflow, through NVFlare.

A site's script hands measurements to NVFlare, which brings them to the server in clear; a receiver
there writes them down. Both trackers write into the run's folder while the job runs. MLflow is
given a database there and no other address, so nothing goes to a third party.
"""

from importlib.util import find_spec
from typing import Literal

from veiltune.errors import SpecificationError

Tracker = Literal["none", "tensorboard", "mlflow"]

PACKAGES = {
    "none": (),
    "tensorboard": ("tensorboard",),
    "mlflow": ("mlflow", "alembic", "sqlalchemy"),
}
"""What each tracker imports: MLflow's client comes without what its database needs."""
TRACKING = "tracking"
"""The folder in a run's folder that a tracker writes to."""


def check_tracker(tracker: Tracker) -> None:
    """What the tracker needs is installed.

    Raises:
        SpecificationError: it is not.
    """
    missing = [package for package in PACKAGES[tracker] if find_spec(package) is None]
    if missing:
        raise SpecificationError(
            [
                f"runtime.tracking {tracker} needs the package {missing[0]}, which is not "
                f"installed; install veiltune[{tracker}], or set runtime.tracking to none"
            ]
        )

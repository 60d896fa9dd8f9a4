"""TensorBoard's event files, one folder a site, in a folder that outlives the simulator's."""

from pathlib import Path

from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.app_opt.tracking.tb.tb_receiver import TBAnalyticsReceiver


class EventFiles(TBAnalyticsReceiver):
    """NVFlare's receiver for TensorBoard, except for where it writes.

    NVFlare keeps to its own workspace, which is temporary in a simulation; here it is a folder of
    the run, so that TensorBoard can follow the job and still read it afterwards.
    """

    def __init__(self, folder: str) -> None:
        super().__init__()
        self.folder = folder

    def initialize(self, fl_ctx: FLContext) -> None:
        """The folder is there."""
        Path(self.folder).mkdir(parents=True, exist_ok=True)
        self.root_log_dir = self.folder

    def save(self, fl_ctx: FLContext, shareable: Shareable, record_origin: str) -> None:
        """The measurement is in the file; NVFlare would keep it back for up to two minutes."""
        super().save(fl_ctx, shareable, record_origin)
        writer = self.writers_table.get(record_origin)
        if writer is not None:
            writer.flush()

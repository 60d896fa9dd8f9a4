"""NVFlare's FedAvg with a limit on how long a silent site is waited for."""

from typing import Any

from nvflare.app_common.workflows.fedavg import FedAvg


class PromptTuning(FedAvg):
    """FedAvg whose rounds end when every live site has answered, or after a time limit.

    A site that answers with a failure is not waited for; NVFlare itself gives up a site whose
    process died. The limit is for a site that lives and never answers.

    The names `args` and `kwargs` are NVFlare's: only under these does it look into the base
    classes for arguments to write into the job, and it drops the others without a word.
    """

    def __init__(self, *args: Any, round_timeout_s: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.round_timeout_s = round_timeout_s

    def send_model(self, *args: Any, **kwargs: Any) -> Any:
        """Sends this round's task with the time limit."""
        return super().send_model(*args, timeout=self.round_timeout_s, **kwargs)

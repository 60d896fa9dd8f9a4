"""NVFlare's FedAvg with a limit on how long a silent site is waited for."""

from typing import Any

from nvflare.apis.client import Client
from nvflare.apis.controller_spec import ClientTask
from nvflare.apis.fl_context import FLContext
from nvflare.app_common.workflows.fedavg import FedAvg


class PromptTuning(FedAvg):
    """FedAvg whose rounds end when every site that is expected to answer has answered.

    A site that answers with a failure has answered. One that says nothing for a whole time limit
    (its process may be gone, and NVFlare's simulator would never tell) is still offered every
    round, but no longer waited for until it is heard again.

    The names `args` and `kwargs` are NVFlare's: only under these does it look into the base
    classes for arguments to write into the job, and it drops the others without a word.
    """

    def __init__(self, *args: Any, round_timeout_s: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.round_timeout_s = round_timeout_s
        self._asked: set[str] = set()
        self._heard: set[str] = set()
        self._awaited: set[str] = set()

    def send_model(self, *args: Any, targets: list[str], **kwargs: Any) -> Any:
        """Sends this round's task with the time limit; waits for those heard in the last one."""
        silent = self._asked - self._heard
        # If nobody is left to wait for, all are: the job then ends or goes on with who answers.
        self._awaited = set(targets) - silent or set(targets)
        self._asked, self._heard = set(targets), set()
        limit = self.round_timeout_s
        return super().send_model(*args, targets=targets, timeout=limit, **kwargs)

    def get_num_standing_tasks(self) -> int:
        """How many tasks are under way; a round's task ends when all awaited sites were heard."""
        if self._awaited <= self._heard and self._asked > self._awaited:
            self.cancel_all_tasks()
        return int(super().get_num_standing_tasks())

    def _process_result(self, client_task: ClientTask, fl_ctx: FLContext) -> None:
        """Takes an answer in, and only then notes that its site was heard."""
        super()._process_result(client_task, fl_ctx)
        self._heard.add(client_task.client.name)

    def process_result_of_unknown_task(self, client: Client, *args: Any, **kwargs: Any) -> None:
        """An answer too late for its round does not count, but its site was heard."""
        super().process_result_of_unknown_task(client, *args, **kwargs)
        self._heard.add(client.name)

"""The NVFlare job: FedAvg composed with our aggregator, persistor, task filter and site script.

NVFlare's defaults wait 2 s between a site's questions and 0.5 s in the controller, which is most of
a round when training is short; both waits are set to `poll_s`.
"""

import os
import sys
from pathlib import Path
from typing import Any

from nvflare.app_common.executors.client_api_executor import ClientAPIExecutor
from nvflare.app_common.workflows.fedavg import FedAvg
from nvflare.client.config import ExchangeFormat
from nvflare.job_config.script_runner import FrameworkType
from nvflare.recipe.fedavg import FedAvgRecipe
from nvflare.recipe.utils import add_experiment_tracking

from veiltune.federation.nvflare import client
from veiltune.federation.nvflare.aggregator import SumAggregator
from veiltune.federation.nvflare.controller import PromptTuning
from veiltune.federation.nvflare.filters import SumsForSite
from veiltune.federation.nvflare.job import FederatedJob
from veiltune.federation.nvflare.persistor import SumPersistor
from veiltune.federation.nvflare.tracking import TRACKING, Tracker

# Classes that this job names beyond NVFlare's default list; NVFlare refuses any it was not told of.
COMPONENTS = (
    *(
        f"{kind.__module__}.{kind.__qualname__}"
        for kind in (ClientAPIExecutor, PromptTuning, SumAggregator, SumPersistor, SumsForSite)
    ),
    "veiltune.federation.nvflare.event_files.EventFiles",  # importing it needs TensorBoard
)
# Packages that are installed at every party, so that NVFlare does not copy them into the job.
INSTALLED = ["veiltune", "veiltune_privacy", "veiltune_jobs"]


class PromptTuningRecipe(FedAvgRecipe):
    """The NVFlare recipe of a federated prompt-tuning job."""

    def __init__(self, job: FederatedJob) -> None:
        self.federated_job = job
        super().__init__(
            name=job.name,
            min_clients=job.min_sites,
            # One more round than are trained: in the closing round the sites take in the last sum.
            num_rounds=job.rounds - job.first_round + 1,
            train_script=client.__file__,
            framework=FrameworkType.NUMPY,
            server_expected_format=ExchangeFormat.NUMPY,
            aggregator=SumAggregator(job.coordinator_factory, job.run),
            model_persistor=SumPersistor(job.coordinator_factory, job.run),
        )
        self._job.set_app_packages(INSTALLED)
        self.add_server_output_filter(SumsForSite(), tasks=["train"])
        self._add_tracker(job.tracker, Path(job.run) / TRACKING)
        if job.poll_s is not None:
            self.add_server_config({"server": {"task_request_interval": job.poll_s}})
            self.add_client_config({"default_task_fetch_interval": job.poll_s})

    def _add_tracker(self, tracker: Tracker, folder: Path) -> None:
        """The server writes what the sites send of their measurements into `folder`."""
        if tracker == "tensorboard":
            from veiltune.federation.nvflare.event_files import EventFiles

            self._job.to_server(EventFiles(str(folder)), "receiver")
        elif tracker == "mlflow":
            # Before mlflow is imported; it would report its use to its makers.
            os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
            folder.mkdir(exist_ok=True)
            uri = f"sqlite:///{folder / 'mlflow.db'}"
            add_experiment_tracking(self, "mlflow", {"tracking_uri": uri})

    def _prepare_client_apps(self) -> None:
        """Every site runs the installed client module, not a copy of it inside the job."""
        job = self.federated_job
        command = [sys.executable, "-u", "-m", client.__name__]
        executor = ClientAPIExecutor(
            execution_mode="external_process",
            command=[*command, "--factory", job.site_factory, "--run", job.run],
            params_exchange_format=ExchangeFormat.NUMPY,
            server_expected_format=ExchangeFormat.NUMPY,
        )
        self._job.to_clients(executor, tasks=["train"])

    def _create_controller(
        self, persistor_id: str, model_params: Any, model_aggregator: Any
    ) -> FedAvg:
        job = self.federated_job
        polling = {} if job.poll_s is None else {"task_check_period": job.poll_s}
        return PromptTuning(
            round_timeout_s=job.round_timeout_s,
            num_clients=len(job.sites),
            start_round=job.first_round,
            num_rounds=self.num_rounds,
            persistor_id=persistor_id,
            aggregator=model_aggregator,
            ignore_result_error=True,
            **polling,
        )

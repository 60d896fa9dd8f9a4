"""The process that holds NVFlare's simulator: builds the recipe and executes it in `SimEnv`."""

import json
import sys
from pathlib import Path

from nvflare.app_common.default_component_policy import DEFAULT_CLASS_ALLOW_LIST
from nvflare.recipe import SimEnv

from veiltune.federation.nvflare.job import FederatedJob
from veiltune.federation.nvflare.recipe import COMPONENTS, PromptTuningRecipe


def main(arguments: str) -> None:
    """Runs the job that `arguments`, a JSON object, describes; raises if the simulation fails."""
    given = json.loads(arguments)
    job = FederatedJob(**{**given["job"], "sites": tuple(given["job"]["sites"])})
    workspace = Path(given["workspace"])
    allow_components(workspace / job.name)
    environment = SimEnv(
        clients=list(job.sites),
        num_threads=given["site_processes"],
        workspace_root=str(workspace),
    )
    PromptTuningRecipe(job).execute(environment)


def allow_components(workspace: Path) -> None:
    """Tells the simulator which of our classes a job may name, beside NVFlare's own."""
    local = workspace / "local"
    local.mkdir(parents=True)
    policy = {"format_version": 2, "class_allow_list": [*DEFAULT_CLASS_ALLOW_LIST, *COMPONENTS]}
    (local / "resources.json").write_text(json.dumps(policy, indent=1))


if __name__ == "__main__":
    main(sys.argv[1])

"""Several seeds of one job under the inline engine, in one process that loads the model once.

    python -m veiltune_jobs.batch SPEC --seeds 1,2,3 [--set key=value ...]

The runs are ordinary runs and recorded as such. For more than seeds there is `veiltune sweep`; this
is what `veiltune bench` times.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from veiltune.errors import VeiltuneError
from veiltune_jobs.job import JobSpec, load_job
from veiltune_jobs.run import Run, SharedModel, Summary


def run_seeds(job: JobSpec, seeds: Sequence[int]) -> list[Summary]:
    """Every seed's run is complete; returns their summaries.

    Raises:
        VeiltuneError: a run failed; those before it are recorded.
    """
    shared = SharedModel()
    return [Run(job.model_copy(update={"seed": s})).execute(shared=shared) for s in seeds]


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the batch and prints the runs' ids; every error is a sentence and an exit code."""
    parser = argparse.ArgumentParser(prog="python -m veiltune_jobs.batch", description=__doc__)
    parser.add_argument("spec", type=Path)
    parser.add_argument("--seeds", required=True, help="whole numbers, separated by commas")
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    given = parser.parse_args(arguments)
    try:
        seeds = [int(seed) for seed in given.seeds.split(",")]
    except ValueError:
        parser.error(f"--seeds must be whole numbers such as 1,2,3, got {given.seeds!r}")
    try:
        job = load_job(given.spec, [*given.overrides, "runtime.engine=inline"])
        for summary in run_seeds(job, seeds):
            print(summary["run"])
    except VeiltuneError as error:
        print(f"veiltune: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()

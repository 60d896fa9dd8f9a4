"""What the parts of a job cost on this machine, measured by doing once what it does often."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from veiltune.adapter import build_encoder
from veiltune.backbone import FrozenModel
from veiltune.data import EncodedExamples
from veiltune.randomness import generator
from veiltune.training import LocalTrainer, TrainingConfig, evaluate
from veiltune_jobs import private_training
from veiltune_jobs.job import JobSpec

MEASURED_STEPS = 5


@dataclass(frozen=True)
class Costs:
    """Seconds of one training step, and of one pass over the validation examples."""

    step_s: float
    evaluation_s: float

    def work_s(self, spec: JobSpec, examples: Sequence[int]) -> float:
        """Seconds of all steps and evaluations of a job whose sites have so many examples."""
        rounds, every = spec.federation.rounds, spec.evaluation.every
        steps = rounds * sum(spec.training.steps(count) for count in examples)
        own = 2 if spec.evaluation.local_model else 1
        measured = len(range(0, rounds, every)) * own + 2  # the last round: validation and test
        return steps * self.step_s + len(examples) * measured * self.evaluation_s


def measure(
    spec: JobSpec, model: FrozenModel, shard: EncodedExamples, validation: EncodedExamples
) -> Costs:
    """The costs of `spec` at a site that has the examples in `shard`."""
    torch.set_num_threads(spec.runtime.threads)
    encoder = build_encoder(spec.adapter, model.width, generator(spec.seed, "adapter"))
    encoder.to(model.device)
    a_few = TrainingConfig(batch_size=spec.training.batch_size, steps_per_round=MEASURED_STEPS)
    allowed = private_training.budget(spec, len(shard))
    rule = private_training.make_rule(spec, "plan", allowed, _free)
    trainer = LocalTrainer(model, encoder, shard, a_few, rule, rounds=2)
    trainer.train(0, generator(spec.seed, "plan", 0))  # the first steps also warm up
    start = time.perf_counter()
    trainer.train(1, generator(spec.seed, "plan", 1))
    step_s = (time.perf_counter() - start) / MEASURED_STEPS
    start = time.perf_counter()
    with torch.no_grad():
        evaluate(model, encoder(), validation, spec.evaluation.batch_size)
    return Costs(step_s, time.perf_counter() - start)


def _free(round_index: int, examples: int, steps: int) -> float:
    """Measuring releases nothing, so nothing is charged."""
    return 0.0

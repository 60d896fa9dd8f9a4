"""One site's local training, the seam where a private gradient enters, and evaluation."""

from veiltune.training.evaluation import Evaluation, EvaluationConfig, evaluate
from veiltune.training.gradient import GradientRule, PlainGradient, examples_batch
from veiltune.training.local import LocalTrainer, RoundOfTraining, TrainingConfig, learning_rate

__all__ = [
    "Evaluation",
    "EvaluationConfig",
    "GradientRule",
    "LocalTrainer",
    "PlainGradient",
    "RoundOfTraining",
    "TrainingConfig",
    "evaluate",
    "examples_batch",
    "learning_rate",
]

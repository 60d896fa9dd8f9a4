"""How fast veiltune is, as ratios measured within one run on one machine."""

from veiltune_analysis.bench.federation import FederationPlan, bench_federation
from veiltune_analysis.bench.step import StepShape, bench_step

__all__ = ["FederationPlan", "StepShape", "bench_federation", "bench_step"]

"""How fast veiltune is, as ratios measured within one run on one machine."""

from veiltune_analysis.bench.clipping import ClippingPlan, bench_clipping
from veiltune_analysis.bench.encryption import EncryptionPlan, bench_encryption, table
from veiltune_analysis.bench.federation import FederationPlan, bench_federation
from veiltune_analysis.bench.step import StepShape, bench_step
from veiltune_analysis.bench.sweep import SweepPlan, bench_sweep

__all__ = [
    "ClippingPlan",
    "EncryptionPlan",
    "FederationPlan",
    "StepShape",
    "SweepPlan",
    "bench_clipping",
    "bench_encryption",
    "bench_federation",
    "bench_step",
    "bench_sweep",
    "table",
]

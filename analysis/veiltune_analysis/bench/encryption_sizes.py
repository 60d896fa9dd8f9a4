"""What encryption costs against the size of an update, ours beside NVFlare's.

The measurement is that of `bench.encryption`: each stage takes turns with NVFlare's in one
process, and the figures are medians of CPU seconds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from veiltune_analysis.bench.encryption import (
    NVFLARE,
    SIXTEEN,
    STAGES,
    TWELVE,
    Case,
    MeasuredCase,
    Say,
)
from veiltune_analysis.bench.timing import torch_threads

THREADS = 1


@dataclass(frozen=True, kw_only=True)
class SizesPlan:
    """How much is measured."""

    sites: int = 3
    params: Sequence[int] = (3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
    repeats: int = 5

    @classmethod
    def small(cls) -> "SizesPlan":
        """Small updates, each timed once: it shows that the figure can be made."""
        return cls(params=(3_000, 10_000, 30_000), repeats=1)


def bench_sizes(plan: SizesPlan, say: Say) -> list[dict[str, Any]]:
    """A row a size and exchange: bytes up and down, and CPU seconds, of one site and round.

    `encrypt` and `decrypt` are a site's, `server` is the server's for all sites; seconds.
    """
    rows: list[dict[str, Any]] = []
    with torch_threads(THREADS):
        for params in plan.params:
            say(f"{params:,} parameters, {plan.sites} sites, in turns with NVFlare's")
            case = Case(sites=plan.sites, params=params, variants=(SIXTEEN, TWELVE))
            measured = MeasuredCase(case, plan.repeats)
            per_param = {f"{row['variant']} {row['bits']} bits": row for row in measured.rows()} | {
                NVFLARE: measured.nvflare_errors()[0]
            }
            rows += [
                {
                    "exchange": seconds["exchange"],
                    "sites": plan.sites,
                    "params": params,
                    "up_bytes": per_param[seconds["exchange"]]["up_bytes_per_param"] * params,
                    "down_bytes": per_param[seconds["exchange"]]["down_bytes_per_param"] * params,
                    **{f"{stage}_s": seconds[stage] for stage in STAGES},
                }
                for seconds in measured.cpu_seconds()
            ]
    return rows

"""The encrypted exchange of ours against NVFlare's homomorphic encryption with its defaults.

Both sum the same updates. Encrypting goes from a float32 update to the message's bytes, the
server's work from all sites' messages to the message that goes back, decrypting from that message
to the mean. Each stage takes turns with NVFlare's, in one process.
"""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veiltune_analysis.bench.exchange import (
    Exchange,
    Federation,
    Message,
    Variant,
    clear_exchange,
    encrypted_exchange,
    make_key,
)
from veiltune_analysis.bench.nvflare_he import NvflareExchange, nvflare_quiet
from veiltune_analysis.bench.streamed import StreamedPlan, bench_streamed
from veiltune_analysis.bench.timing import interleaved, torch_threads

NVFLARE = "nvflare"
STAGES = ("encrypt", "server", "decrypt")
THREADS = 1

Say = Callable[[str], None]
Seconds = Mapping[str, float]
"""Median CPU seconds by who did it."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One federation, and what exchanges its updates."""

    sites: int
    params: int
    variants: tuple[Variant, ...]
    timed: bool = True
    """Whether it is timed, against NVFlare, which holds about 60 bytes a parameter and site."""


SIXTEEN, TWELVE = Variant("ckks", 16), Variant("ckks", 12)
TEN_SITES = (
    SIXTEEN,
    Variant("ckks", 16, "full"),
    Variant("bfv", 16),
    Variant("bfv", 12),
)


@dataclass(frozen=True, kw_only=True)
class EncryptionPlan:
    """How much is measured."""

    cases: tuple[Case, ...] = (
        Case(sites=3, params=1_000_000, variants=(SIXTEEN, TWELVE)),
        Case(sites=10, params=1_000_000, variants=TEN_SITES),
        Case(sites=10, params=10_000, variants=(SIXTEEN,)),
        Case(sites=3, params=5_000_000, variants=(SIXTEEN,), timed=False),
        Case(sites=10, params=5_000_000, variants=(SIXTEEN,), timed=False),
    )
    streamed: StreamedPlan = StreamedPlan()
    repeats: int = 5
    """Measured turns of each stage."""

    @classmethod
    def quick(cls) -> "EncryptionPlan":
        """Small updates, for a look; its ratios are not to be quoted."""
        return cls(
            cases=(
                Case(sites=3, params=20_000, variants=(SIXTEEN, TWELVE)),
                Case(sites=10, params=20_000, variants=TEN_SITES),
                Case(sites=3, params=50_000, variants=(SIXTEEN,), timed=False),
            ),
            streamed=StreamedPlan(params=200_000),
            repeats=1,
        )


def bench_encryption(plan: EncryptionPlan, say: Say) -> dict[str, Any]:
    """Bytes, CPU seconds, errors and mismatches of every case, and one round in a stream.

    In `rows`, ratios are NVFlare's figure over ours, so above 1 is better; None where NVFlare did
    not run. `max_abs_err` is the largest distance of the decrypted mean from that in double
    precision, and `error_bound` what the codec says of it. `mismatches` counts decrypted integers
    that differ from the sum of the same integers in clear.

    Args:
        say: Is told what is being measured.
    """
    rows: list[dict[str, Any]] = []
    seconds: list[dict[str, Any]] = []
    errors: list[dict[str, Any]] = []
    with torch_threads(THREADS):
        for case in plan.cases:
            say(
                f"{case.params:,} parameters, {case.sites} sites: "
                + ", ".join(f"{variant.name} {variant.bits} bits" for variant in case.variants)
                + (", in turns with NVFlare's" if case.timed else "")
            )
            measured = MeasuredCase(case, plan.repeats)
            rows += measured.rows()
            seconds += measured.cpu_seconds()
            errors += measured.nvflare_errors()
    say(f"{plan.streamed.params:,} parameters, {plan.streamed.sites} sites, one round in a stream")
    return {
        "rows": rows,
        "streamed": bench_streamed(plan.streamed),
        "cpu_seconds": seconds,
        "nvflare": errors,
        "repeats": plan.repeats,
        "threads": THREADS,
    }


class MeasuredCase:
    """Everything that is measured of one case."""

    def __init__(self, case: Case, repeats: int) -> None:
        self.case = case
        self.federation = Federation(case.sites, case.params)
        self.mean = self.federation.mean()
        self.exchanges = {
            variant: encrypted_exchange(
                self.federation, variant, make_key(self.federation, variant)
            )
            for variant in case.variants
        }
        self.uploads: dict[Variant, list[Message]] = {
            variant: [
                exchange.encrypt(site, self.federation.update(site))
                for site in self.federation.names
            ]
            for variant, exchange in self.exchanges.items()
        }
        self.downloads = {
            variant: exchange.add(self.uploads[variant])
            for variant, exchange in self.exchanges.items()
        }
        self.seconds: dict[str, Seconds] = {}
        self.nvflare_up = self.nvflare_down = 0
        self.nvflare_error = 0.0
        if case.timed:
            with tempfile.TemporaryDirectory(prefix="veiltune-bench-") as name, nvflare_quiet():
                self._time(NvflareExchange(Path(name)), repeats)

    def rows(self) -> list[dict[str, Any]]:
        """One row a variant."""
        return [self._row(variant) for variant in self.case.variants]

    def cpu_seconds(self) -> list[dict[str, Any]]:
        """The medians behind the ratios, NVFlare's first; empty where nothing was timed."""
        if not self.seconds:
            return []
        return [
            {
                "exchange": name,
                "sites": self.case.sites,
                "params": self.case.params,
                **{stage: self.seconds[stage][name] for stage in STAGES},
            }
            for name in self.seconds["encrypt"]
        ]

    def nvflare_errors(self) -> list[dict[str, Any]]:
        """What NVFlare sends and how far its mean is off; empty where it did not run."""
        if not self.case.timed:
            return []
        return [
            {
                "sites": self.case.sites,
                "params": self.case.params,
                "up_bytes_per_param": self.nvflare_up / self.case.params,
                "down_bytes_per_param": self.nvflare_down / self.case.params,
                "max_abs_err": self.nvflare_error,
            }
        ]

    def _time(self, nvflare: NvflareExchange, repeats: int) -> None:
        """Takes the CPU seconds of all variants and NVFlare in turns, stage by stage."""
        sites = self.federation.names
        first, update = sites[0], self.federation.update(sites[0])
        weights = {site: self.federation.weight(site) for site in sites}
        theirs = [
            nvflare.encrypt(site, self.federation.update(site), weights[site]) for site in sites
        ]
        answer = nvflare.add(theirs)
        self.nvflare_up, self.nvflare_down = len(theirs[0]), len(answer)
        self.nvflare_error = _largest(np.asarray(nvflare.decrypt(answer)) - self.mean)
        works: dict[str, dict[str, Callable[[], object]]] = {
            "encrypt": {NVFLARE: partial(nvflare.encrypt, first, update, weights[first])},
            "server": {NVFLARE: partial(nvflare.add, theirs)},
            "decrypt": {NVFLARE: partial(nvflare.decrypt, answer)},
        }
        for variant, exchange in self.exchanges.items():
            name = _full_name(variant)
            works["encrypt"][name] = partial(exchange.encrypt, first, update)
            works["server"][name] = partial(exchange.add, self.uploads[variant])
            works["decrypt"][name] = partial(exchange.decrypt, self.downloads[variant])
        for stage, turns in works.items():
            taken = interleaved(turns, repeats)
            self.seconds[stage] = {name: median(each) for name, each in taken.items()}

    def _row(self, variant: Variant) -> dict[str, Any]:
        exchange, download = self.exchanges[variant], self.downloads[variant]
        up, down = self.uploads[variant][0].nbytes, download.nbytes
        decoded = exchange.decrypt(download)
        return {
            "variant": variant.name,
            "bits": variant.bits,
            "sites": self.case.sites,
            "params": self.case.params,
            "up_bytes_per_param": up / self.case.params,
            "down_bytes_per_param": down / self.case.params,
            "up_ratio": self.nvflare_up / up if self.case.timed else None,
            "down_ratio": self.nvflare_down / down if self.case.timed else None,
            **{f"{stage}_ratio": self._ratio(stage, variant) for stage in STAGES},
            "max_abs_err": _largest(decoded.mean.numpy() - self.mean),
            "error_bound": decoded.error_bound,
            "mismatches": self._mismatches(exchange, download, variant.bits),
        }

    def _ratio(self, stage: str, variant: Variant) -> float | None:
        if not self.seconds:
            return None
        seconds = self.seconds[stage]
        return seconds[NVFLARE] / seconds[_full_name(variant)]

    def _mismatches(self, exchange: Exchange, download: Message, bits: int) -> int:
        """Integers of the decrypted sum that are not those of the sum in clear."""
        clear = clear_exchange(self.federation, bits)
        sites = self.federation.names
        total = clear.add([clear.encrypt(site, self.federation.update(site)) for site in sites])
        return int(np.count_nonzero(exchange.open(download) != clear.open(total)))


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows under their names, in columns.

    >>> print(table([{"bits": 16, "ratio": 2.5}, {"bits": 12, "ratio": None}]))
    bits  ratio
      16    2.5
      12      -
    """
    lines = [list(rows[0]), *([_cell(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        for line in lines
    )


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _full_name(variant: Variant) -> str:
    return f"{variant.name} {variant.bits} bits"


def _largest(differences: NDArray[np.float64]) -> float:
    return float(np.abs(differences).max())

"""What differential privacy costs a step: time and memory against the step without it.

The language model is small, so what privacy adds to a step weighs more here than with a larger one.
"""

import multiprocessing
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch

from veiltune.adapter import encoder_parameters
from veiltune.adapter.prompt_encoder import EncoderKind
from veiltune.backbone import HuggingFaceModel
from veiltune_analysis.bench.private_steps import CLIP_NORM, OPACUS_MODES, Bench, Step, Way
from veiltune_analysis.bench.step import StepShape, random_network
from veiltune_analysis.bench.timing import interleaved, ratio_of_medians, torch_threads

THREADS = 1
PLAIN = Way()
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class Measure:
    """One encoder and batch size, and what is measured there besides time in output space."""

    kind: EncoderKind
    params: int
    """About how many; see `Bench`."""
    batch: int
    encoder_space: bool = True
    memory: bool = False
    opacus: bool = False


@dataclass(frozen=True, kw_only=True)
class ClippingPlan:
    """What `bench_clipping` measures."""

    shape: StepShape
    measures: tuple[Measure, ...]
    repeats: int = 5

    @classmethod
    def full(cls) -> "ClippingPlan":
        """Encoders of 100 thousand to 50 million parameters, batches of 8, 32 and 64."""
        encoders: list[tuple[EncoderKind, int]] = [
            ("mlp", 100_000),
            ("mlp", 2_000_000),
            ("lstm", 2_000_000),
            ("mlp", 20_000_000),
            ("mlp", 50_000_000),
        ]
        return cls(
            shape=StepShape(layers=4, width=256, heads=4, vocabulary=5000, window=128),
            measures=tuple(
                Measure(
                    kind,
                    params,
                    batch,
                    encoder_space=params <= 2_000_000 or (params, batch) == (20_000_000, 64),
                    memory=(params, batch) == (20_000_000, 64),
                    opacus=(params, batch) == (2_000_000, 32),
                )
                for kind, params in encoders
                for batch in (8, 32, 64)
            ),
        )

    @classmethod
    def quick(cls) -> "ClippingPlan":
        """One of each in milliseconds, which says nothing about speed."""
        return cls(
            shape=StepShape.small(),
            measures=(
                Measure("mlp", 4000, 4, opacus=True),
                Measure("lstm", 4000, 4, opacus=True),
                Measure("mlp3", 4000, 4, encoder_space=False, memory=True),
            ),
            repeats=1,
        )


def bench_clipping(plan: ClippingPlan, say: Callable[[str], None]) -> dict[str, Any]:
    """Rows of ratios of medians of CPU seconds, taken in turns on one thread.

    `step_ratio` is to the step without privacy, `memory_ratio` that of the peaks above the loaded
    language model, `opacus_ratio` how many times longer Opacus' fastest mode takes, which is one in
    encoder space. None is what a row does not measure.
    """
    rows: list[dict[str, Any]] = []
    with torch_threads(THREADS), _hooks_on_embeddings():
        model = _model(plan.shape)
        for measure in plan.measures:
            say(f"{measure.kind}, {measure.params:,} parameters, batch {measure.batch}")
            rows += _rows(plan, measure, model)
    return {
        "rows": rows,
        "clip_norm": CLIP_NORM,
        "repeats": plan.repeats,
        "threads": THREADS,
        "text_tokens": plan.shape.text_tokens,
        "virtual_tokens": plan.shape.virtual_tokens,
        "layers": plan.shape.layers,
        "width": plan.shape.width,
    }


def _rows(
    plan: ClippingPlan, measure: Measure, model: HuggingFaceModel
) -> Iterator[dict[str, Any]]:
    bench = Bench(plan.shape, model, measure.kind, measure.params, measure.batch)
    ways = [Way("output")]
    if measure.encoder_space:
        ways += [Way("encoder"), Way("encoder", "seeded")]
    works: dict[str, Step] = {way.name: bench.our_step(way) for way in (PLAIN, *ways)}
    if measure.opacus:
        works |= {mode: bench.opacus_step(mode) for mode in OPACUS_MODES}
    seconds = interleaved(works, plan.repeats)
    works.clear()
    peaks = {}
    if measure.memory:
        secret = [way for way in ways if way.noise == "system"]
        peaks = {way: _peak(plan.shape, measure, way) for way in (PLAIN, *secret)}
    theirs = [seconds[mode] for mode in OPACUS_MODES if mode in seconds]
    for way in ways:
        assert way.space is not None
        ours = seconds[way.name]
        norm_error, sum_error = bench.errors(way.space)
        yield {
            "encoder": measure.kind,
            "params": encoder_parameters(bench.adapter(), plan.shape.width),
            "batch": measure.batch,
            "space": way.space,
            "noise": way.noise,
            "step_ratio": ratio_of_medians(ours, seconds[PLAIN.name]),
            "memory_ratio": peaks[way] / peaks[PLAIN] if way in peaks else None,
            "opacus_ratio": min(map(median, theirs)) / median(ours) if theirs else None,
            "norm_rel_err": norm_error,
            "sum_err": sum_error,
            "cpu_seconds": median(ours),
        }


def _model(shape: StepShape) -> HuggingFaceModel:
    return HuggingFaceModel(random_network(shape), None, "random", torch.device("cpu"))


@contextmanager
def _hooks_on_embeddings() -> Iterator[None]:
    """Inside, nothing warns of Opacus' hooks on an embedding, whose input has no gradient.

    Nor of its asking for automatic mixed precision without a precision, which does nothing.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Full backward hook is firing")
        warnings.filterwarnings("ignore", message="In CPU autocast")
        yield


def _peak(shape: StepShape, measure: Measure, way: Way) -> int:
    """The most bytes that two steps hold above the loaded language model, in a process of its own.

    A process keeps what it once had, so steps in one process would hide each other's peaks.
    """
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak_here, (shape, measure, way))


def _peak_here(shape: StepShape, measure: Measure, way: Way) -> int:
    with torch_threads(THREADS):
        model = _model(shape)
        # Everything that is loaded once is there before the measurement.
        Bench(shape, model, measure.kind, 0, 2).our_step(way)()
        CLEAR.write_text("5")
        before = _resident("VmHWM")
        step = Bench(shape, model, measure.kind, measure.params, measure.batch).our_step(way)
        for _ in range(2):
            step()
        return _resident("VmHWM") - before


def _resident(key: str) -> int:
    """A line of this process's status, in bytes."""
    (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith(key))
    return int(line.split()[1]) * 1024

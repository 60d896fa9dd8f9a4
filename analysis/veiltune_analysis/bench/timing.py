"""Timings that can be compared although the machine is shared: interleaved, and their medians.

Whatever else the machine does slows neighbouring measurements alike, so the ratio of two pieces of
work that take turns is steadier than either of their times.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from statistics import median

import torch

Clock = Callable[[], float]


def interleaved(
    works: Mapping[str, Callable[[], object]],
    repeats: int,
    warm_up: int = 1,
    clock: Clock = time.process_time,
) -> dict[str, list[float]]:
    """Seconds of each piece of work, `repeats` of each, measured in turns: A B, A B, ...

    Args:
        works: What is measured, by name.
        warm_up: Unmeasured turns before, which fill caches and allocate memory.
        clock: CPU seconds of this process and its threads, unless another is given.
    """
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(warm_up + repeats):
        for name, work in works.items():
            start = clock()
            work()
            if turn >= warm_up:
                seconds[name].append(clock() - start)
    return seconds


def intervals(moments: Sequence[float]) -> list[float]:
    """The times between consecutive moments, which may come in any order.

    >>> intervals([3.0, 1.0, 6.0])
    [2.0, 3.0]
    """
    ordered = sorted(moments)
    return [later - earlier for earlier, later in zip(ordered, ordered[1:], strict=False)]


def ratio_of_medians(measured: Sequence[float], reference: Sequence[float]) -> float:
    """How much of the reference's time was needed; below 1 is faster.

    >>> ratio_of_medians([1.0, 2.0, 90.0], [4.0, 5.0, 3.0])
    0.5
    """
    return median(measured) / median(reference)


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Inside, torch computes with `count` threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)

"""Work in chunks gives the same wherever it is done, and a worker carries nothing it need not."""

import importlib
import operator
import os
import sys
from collections.abc import Iterator

import pytest

from veiltune_privacy.he.streaming import AHEAD, over_chunks

EXPONENTS = [(exponent,) for exponent in range(20)]
HEAVY = ("torch", "nvflare", "transformers", "pandas")


@pytest.mark.parametrize("processes", [1, 2])
def test_results_come_in_the_order_of_the_chunks(processes: int) -> None:
    got = list(over_chunks(int, ("3",), pow, EXPONENTS, processes))
    assert got == [3**exponent for (exponent,) in EXPONENTS]


@pytest.mark.parametrize("processes", [1, 2])
def test_a_failure_in_a_chunk_is_raised(processes: int) -> None:
    results = over_chunks(int, ("3",), operator.floordiv, [(1,), (0,), (2,)], processes)
    assert next(results) == 3
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_chunks_are_made_when_a_worker_can_take_them() -> None:
    """However many there are, only a few exist at a time."""
    made = 0

    def chunks() -> Iterator[tuple[int]]:
        nonlocal made
        for chunk in EXPONENTS:
            made += 1
            yield chunk

    results = over_chunks(int, ("3",), pow, chunks(), 2)
    next(results)
    assert made <= AHEAD * 2 + 1 < len(EXPONENTS)
    assert len(list(results)) == len(EXPONENTS) - 1


def test_workers_are_other_processes_without_heavy_modules() -> None:
    assert all(name in sys.modules for name in HEAVY[:1]), "there should be something to leave out"
    results = list(
        over_chunks(
            importlib.import_module,
            ("veiltune_privacy.he.rows",),
            lambda *_: (os.getpid(), [name for name in HEAVY if name in sys.modules]),
            EXPONENTS,
            2,
        )
    )
    assert os.getpid() not in {process for process, _ in results}
    assert all(modules == [] for _, modules in results)

"""Interleaving and the arithmetic of ratios, with a clock that the test moves itself."""

import pytest
import torch

from veiltune_analysis.bench.timing import interleaved, intervals, ratio_of_medians, torch_threads


class Clock:
    """A clock that stands still unless work moves it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.order: list[str] = []

    def __call__(self) -> float:
        return self.now

    def work(self, name: str, seconds: float) -> None:
        self.order.append(name)
        self.now += seconds


def test_work_takes_turns_and_the_warm_up_is_not_measured() -> None:
    clock = Clock()
    works = {"a": lambda: clock.work("a", 1.0), "b": lambda: clock.work("b", 3.0)}
    seconds = interleaved(works, repeats=2, warm_up=1, clock=clock)
    assert clock.order == ["a", "b"] * 3
    assert seconds == {"a": [1.0, 1.0], "b": [3.0, 3.0]}


def test_a_ratio_is_one_of_medians_not_of_means() -> None:
    assert ratio_of_medians([1.0, 1.0, 100.0], [2.0, 2.0, 2.0]) == 0.5


def test_the_order_of_moments_does_not_matter() -> None:
    assert intervals([5.0, 1.0, 2.0]) == [1.0, 3.0]
    assert intervals([5.0]) == []


def test_threads_are_put_back_even_after_an_error() -> None:
    before = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError), torch_threads(before + 1):
        assert torch.get_num_threads() == before + 1
        raise ZeroDivisionError
    assert torch.get_num_threads() == before

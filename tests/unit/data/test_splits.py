"""Rows are cut into three splits; none is lost, none stands twice, none is empty."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from veiltune.data.examples import Example
from veiltune.data.splits import split
from veiltune.errors import DataError


def rows(count: int) -> list[Example]:
    return [Example(f"text {row}", "yes") for row in range(count)]


@given(st.integers(20, 300), st.integers(0, 99), st.floats(0.3, 0.6), st.floats(0.1, 0.3))
def test_every_row_is_in_one_split(count: int, seed: int, train: float, validation: float) -> None:
    parts = split(rows(count), seed, train, validation)
    assert sorted(row.text for part in parts for row in part) == sorted(
        row.text for row in rows(count)
    )
    for part, fraction in zip(parts, (train, validation, 1 - train - validation), strict=True):
        assert abs(len(part) - fraction * count) < 2


@given(st.integers(10, 5000))
def test_the_default_gives_half_of_the_rest_to_validation(count: int) -> None:
    train, validation, test = map(len, split(rows(count)))
    assert train == int(count * 0.8)
    assert (validation, test) == ((count - train) // 2, (count - train + 1) // 2)


def test_seed_decides() -> None:
    assert split(rows(50), 1) == split(rows(50), 1) != split(rows(50), 2)


def test_too_few_rows() -> None:
    with pytest.raises(DataError, match=r"5 rows leave 4, 0, 1 for training, .* give more rows"):
        split(rows(5))

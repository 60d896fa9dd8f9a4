"""Sites share the training rows: each row once, by the rule that was asked for, always alike."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from veiltune.data.examples import Example
from veiltune.data.partition import PartitionConfig, groups_by_site, partition
from veiltune.errors import DataError


def rows(count: int, groups: int = 5) -> list[Example]:
    return [Example(f"t{row}", "abc"[row * 7 % 3], f"g{row % groups}") for row in range(count)]


def sizes(parts: dict[str, tuple[Example, ...]]) -> list[int]:
    return [len(part) for part in parts.values()]


configurations = st.builds(
    PartitionConfig,
    kind=st.sampled_from(["uniform", "dirichlet", "column"]),
    sites=st.integers(1, 5),
    alpha=st.floats(0.3, 100),
    seed=st.none() | st.integers(0, 2**32 - 1),
)


@given(st.integers(30, 80), configurations, st.integers(0, 2**63))
def test_every_row_is_at_one_site(count: int, config: PartitionConfig, seed: int) -> None:
    examples = rows(count)
    parts = partition(examples, config, seed)
    assert list(parts) == [f"site-{number + 1}" for number in range(config.sites)]
    given_out = [example.text for part in parts.values() for example in part]
    assert sorted(given_out) == sorted(example.text for example in examples)
    assert min(sizes(parts)) >= 1
    assert parts == partition(examples, config, seed)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(0, 9), st.integers(0, 9))
def test_given_sizes(wanted: list[int], spare: int, seed: int) -> None:
    config = PartitionConfig(kind="sizes", sites=len(wanted), sizes=tuple(wanted), seed=seed)
    parts = partition(rows(sum(wanted) + spare), config, 0)
    assert sizes(parts) == wanted
    assert len({example.text for part in parts.values() for example in part}) == sum(wanted)


@given(st.integers(1, 400), st.integers(0, 2**32 - 1))
def test_uniform_draws_the_permutation_of_pandas(count: int, seed: int) -> None:
    # The reference's own calls are the witness: shuffle a frame, cut it with numpy.
    sites = min(3, count)
    frame = pd.DataFrame({"row": range(count)}).sample(frac=1, random_state=seed)
    expected = [part.tolist() for part in np.array_split(frame["row"].to_numpy(), sites)]
    examples = rows(count)
    parts = partition(examples, PartitionConfig(sites=sites, seed=seed), 0)
    assert [[int(e.text[1:]) for e in part] for part in parts.values()] == expected


def test_the_seed_of_the_job_is_used_where_none_is_set() -> None:
    examples = rows(60)
    for kind in ("uniform", "dirichlet"):
        fixed = PartitionConfig.model_validate({"kind": kind, "seed": 3})
        free = PartitionConfig.model_validate({"kind": kind, "seed": None})
        assert partition(examples, fixed, 1) == partition(examples, fixed, 2)
        assert partition(examples, free, 3) == partition(examples, fixed, 0)
        assert partition(examples, free, 4) != partition(examples, fixed, 0)


def test_dirichlet_skews_labels_more_where_alpha_is_smaller() -> None:
    examples = rows(3000)

    def skew(alpha: float) -> float:
        """Mean over seeds and sites of the largest label's share; 1/3 means no skew."""
        shares = []
        for seed in range(10):
            config = PartitionConfig(kind="dirichlet", alpha=alpha, smallest=50, seed=seed)
            for part in partition(examples, config, 0).values():
                labels = [example.label for example in part]
                shares.append(max(map(labels.count, "abc")) / len(labels))
        return float(np.mean(shares))

    assert skew(1000) < 0.36 < skew(1) < skew(0.3)


def test_dirichlet_keeps_the_smallest_size() -> None:
    for seed in range(20):
        config = PartitionConfig(kind="dirichlet", alpha=0.5, smallest=20, seed=seed)
        assert min(sizes(partition(rows(120), config, 0))) >= 20


def test_dirichlet_gives_up_and_says_what_to_change() -> None:
    # Three labels, each dealt to hardly more than one site, cannot reach ten sites.
    config = PartitionConfig(kind="dirichlet", alpha=0.001, sites=10)
    with pytest.raises(
        DataError, match=r"none of 1000 draws with alpha 0\.001 .* raise data\.part"
    ):
        partition(rows(90), config, 0)
    config = PartitionConfig(kind="dirichlet", smallest=31)
    with pytest.raises(DataError, match=r"3 sites of 31 rows or more need 93 .* got 90; lower"):
        partition(rows(90), config, 0)


def test_a_group_a_site() -> None:
    parts = partition(rows(50), PartitionConfig(kind="column", sites=5), 0)
    assert [{example.group for example in part} for part in parts.values()] == [
        {"g0"},
        {"g1"},
        {"g2"},
        {"g3"},
        {"g4"},
    ]


def test_groups_are_dealt_in_turn() -> None:
    examples = rows(50)
    expected = {"site-1": ("g0", "g2", "g4"), "site-2": ("g1", "g3")}
    assert groups_by_site(examples, 2) == expected
    parts = partition(examples, PartitionConfig(kind="column", sites=2), 0)
    for site, part in parts.items():
        assert {example.group for example in part} == set(expected[site])


def test_groups_are_missing() -> None:
    config = PartitionConfig(kind="column", sites=2)
    with pytest.raises(DataError, match=r"but 1 of 6 rows have none; set data\.group_column"):
        partition([*rows(5), Example("t", "a")], config, 0)
    with pytest.raises(DataError, match=r"got 3 sites and 2 groups; set data\.partition\.sites to"):
        partition(rows(9, groups=2), PartitionConfig(kind="column", sites=3), 0)


@pytest.mark.parametrize("kind", ["uniform", "dirichlet", "column"])
def test_more_sites_than_rows(kind: str) -> None:
    config = PartitionConfig.model_validate({"kind": kind, "sites": 4})
    with pytest.raises(DataError, match=r"got 4 sites and 3 rows; use fewer sites or more rows"):
        partition(rows(3), config, 0)


def test_sizes_beyond_the_rows() -> None:
    config = PartitionConfig(kind="sizes", sites=2, sizes=(5, 6))
    with pytest.raises(DataError, match=r"at most the 10 training rows, got 11; lower"):
        partition(rows(10), config, 0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"sites": 0}, "greater than or equal to 1"),
        ({"kind": "sizes"}, "one size for each of the 3 sites, got 0"),
        ({"kind": "sizes", "sites": 2, "sizes": [3, 0]}, "every site needs one row at least"),
        ({"kind": "dirichlet", "alpha": 0}, "greater than or equal to 0.001"),
        ({"smallest": 0}, "greater than or equal to 1"),
        ({"seed": 2**32}, "less than 4294967296"),
    ],
)
def test_refused_settings(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        PartitionConfig.model_validate(fields)

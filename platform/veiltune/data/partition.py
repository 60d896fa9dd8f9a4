"""Gives every training example to exactly one site.

Sites are called "site-1", "site-2" and so on. The same examples, settings and seed always give the
same sites, in every process and on every machine.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from veiltune.config import Section
from veiltune.data.examples import Example
from veiltune.errors import DataError

_DIRICHLET_TRIES = 1000
Rows = npt.NDArray[np.intp]


class PartitionConfig(Section):
    """How the training examples are dealt to the sites."""

    kind: Literal["uniform", "dirichlet", "sizes", "column"] = "uniform"
    """`uniform`: shuffled and cut into equal parts, by the rule of the reference experiment.
    `dirichlet`: each label dealt in its own random shares, so that sites differ in their labels.
    `sizes`: shuffled and cut into parts of the given sizes.
    `column`: by the group of each example (a sector, a department, an author)."""
    sites: int = Field(default=3, ge=1)
    """Number of sites, 1 or more, at most one a row. Under `column`, groups are dealt to the sites
    in turn, in sorted order; as many sites as groups gives each group its own site."""
    alpha: float = Field(default=1.0, ge=1e-3, le=1e6)
    """Concentration of the Dirichlet distribution, 0.001 to 1000000; the smaller, the more the
    sites differ. Only for `dirichlet`."""
    smallest: int = Field(default=1, ge=1)
    """Fewest rows that a site may get, 1 or more; shares are drawn again until every site has as
    many. Only for `dirichlet`."""
    sizes: tuple[int, ...] = ()
    """Rows of each site, 1 or more each; rows beyond their sum are left out. Only for `sizes`."""
    seed: int | None = Field(default=0, ge=0, lt=2**32)
    """Seed of the shuffle or of the shares, 0 to 2^32 - 1; null takes the job's seed, so that each
    seed draws other sites. The reference has 0. Not for `column`, which draws nothing."""

    @model_validator(mode="after")
    def _sizes_match_sites(self) -> "PartitionConfig":
        if self.kind == "sizes":
            if len(self.sizes) != self.sites:
                raise ValueError(
                    f"sizes must list one size for each of the {self.sites} sites, got"
                    f" {len(self.sizes)}; change sites or sizes"
                )
            if min(self.sizes) < 1:
                raise ValueError(
                    f"every site needs one row at least, got sizes {list(self.sizes)}; raise the"
                    " smallest"
                )
        return self


def partition(
    examples: Sequence[Example], config: PartitionConfig, seed: int
) -> dict[str, tuple[Example, ...]]:
    """The examples of each site, in the order of the sites; no example is given twice.

    `seed` is the job's, used where `config.seed` is None.

    Raises: DataError when there are more sites than rows or than groups, when the sizes do not fit,
    or when no draw of the shares gives every site enough rows.
    """
    if config.sites > len(examples):
        raise DataError(
            f"every site needs one training row at least, got {config.sites} sites and"
            f" {len(examples)} rows; use fewer sites or more rows"
        )
    # The legacy generator takes 32 bits.
    chosen_seed = (seed if config.seed is None else config.seed) % 2**32
    match config.kind:
        case "uniform":
            parts = _uniform(len(examples), config.sites, chosen_seed)
        case "dirichlet":
            parts = _dirichlet(examples, config, chosen_seed)
        case "sizes":
            parts = _sizes(len(examples), config.sizes, chosen_seed)
        case "column":
            parts = _by_group(examples, config.sites)
    return {
        site: tuple(examples[row] for row in rows)
        for site, rows in zip(site_names(config.sites), parts, strict=True)
    }


def site_names(sites: int) -> tuple[str, ...]:
    """ "site-1" and so on."""
    return tuple(f"site-{number}" for number in range(1, sites + 1))


def groups_by_site(examples: Sequence[Example], sites: int) -> dict[str, tuple[str, ...]]:
    """The groups that the `column` partition gives to each site.

    Raises: DataError when an example has no group or there are fewer groups than sites.
    """
    missing = sum(example.group is None for example in examples)
    if missing:
        raise DataError(
            f"the partition by column needs a group for every row, but {missing} of"
            f" {len(examples)} rows have none; set data.group_column, or another partition kind"
        )
    groups = sorted({example.group for example in examples if example.group is not None})
    if sites > len(groups):
        raise DataError(
            f"the partition by column needs one group a site at least, got {sites} sites and"
            f" {len(groups)} groups; set data.partition.sites to {len(groups)} or fewer"
        )
    return {site: tuple(groups[at::sites]) for at, site in enumerate(site_names(sites))}


def _uniform(rows: int, sites: int, seed: int) -> list[Rows]:
    """Equal parts of a shuffle, the first ones a row larger where they cannot be equal.

    NVFlare's reference shuffles with pandas, `sample(frac=1, random_state=seed)`, and cuts with
    `numpy.array_split`; pandas draws this very permutation.
    """
    return np.array_split(np.random.RandomState(seed).permutation(rows), sites)


def _sizes(rows: int, sizes: Sequence[int], seed: int) -> list[Rows]:
    if sum(sizes) > rows:
        raise DataError(
            f"the sizes of the sites must sum to at most the {rows} training rows, got"
            f" {sum(sizes)}; lower data.partition.sizes"
        )
    shuffled = np.random.RandomState(seed).permutation(rows)
    return np.split(shuffled, np.cumsum(sizes))[:-1]


def _dirichlet(examples: Sequence[Example], config: PartitionConfig, seed: int) -> list[Rows]:
    """Parts in which each label is cut at its own Dirichlet shares.

    The rows of a label are shuffled and cut at the cumulated shares, rounded down.
    """
    if config.smallest * config.sites > len(examples):
        raise DataError(
            f"{config.sites} sites of {config.smallest} rows or more need"
            f" {config.smallest * config.sites} training rows, got {len(examples)}; lower"
            " data.partition.smallest or data.partition.sites"
        )
    labels = np.array([example.label for example in examples])
    rows_by_label = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    random = np.random.default_rng(seed)
    for _ in range(_DIRICHLET_TRIES):
        pieces: list[list[Rows]] = []
        for rows in rows_by_label:
            shares = random.dirichlet(np.full(config.sites, config.alpha))
            cuts = (np.cumsum(shares[:-1]) * len(rows)).astype(np.intp)
            pieces.append(np.split(random.permutation(rows), cuts))
        parts = [np.concatenate(site) for site in zip(*pieces, strict=True)]
        if min(len(part) for part in parts) >= config.smallest:
            return parts
    raise DataError(
        f"no site may have fewer than {config.smallest} rows, but none of {_DIRICHLET_TRIES} draws"
        f" with alpha {config.alpha:g} gave that to {config.sites} sites; raise"
        " data.partition.alpha, lower data.partition.smallest or use fewer sites"
    )


def _by_group(examples: Sequence[Example], sites: int) -> list[Rows]:
    site_of_group = {
        group: at
        for at, groups in enumerate(groups_by_site(examples, sites).values())
        for group in groups
    }
    at_site = np.array([site_of_group[example.group or ""] for example in examples])
    return [np.flatnonzero(at_site == at) for at in range(sites)]

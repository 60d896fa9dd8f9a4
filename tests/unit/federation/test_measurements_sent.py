"""What a site sends of its measurements: what is named, and only of a round it has just done."""

from collections.abc import Callable
from typing import Any

import pytest

from veiltune.errors import Withdrawal
from veiltune.federation.site_state import read_rows

# The fixture's type lives in a conftest, which cannot be imported.
Make = Callable[..., Any]


def test_nothing_leaves_unless_it_is_named(federation: Make) -> None:
    job = federation()
    site = job.site("site-1")
    assert site.answer(job.coordinator().task("site-1")).update is not None
    assert site.measurements_sent() == {}


def test_what_is_named_and_measured_leaves_as_it_is_recorded(federation: Make) -> None:
    job = federation()
    site = job.site("site-1")
    site.sent = ("global_loss", "upload_bytes", "epsilon")
    site.answer(job.coordinator().task("site-1"))
    (row,) = read_rows(job.folder.site("site-1"))
    expected = {"global_loss": row["global_loss"], "upload_bytes": float(row["upload_bytes"])}
    assert site.measurements_sent() == expected, "epsilon is not measured in a plain job"


def test_a_round_that_was_done_before_is_not_told_again(federation: Make) -> None:
    job = federation()
    site = job.site("site-1")
    site.sent = ("global_loss",)
    task = job.coordinator().task("site-1")
    site.answer(task)
    assert site.measurements_sent()
    assert site.answer(task).update is not None
    assert site.measurements_sent() == {}


@pytest.mark.parametrize("when", ["before the first round", "after it"])
def test_a_site_that_refuses_sends_nothing(when: str, federation: Make) -> None:
    job = federation()
    site = job.site("site-1")
    site.sent = ("global_loss",)
    task = job.coordinator().task("site-1")
    if when == "after it":
        site.answer(task)

    def refuse() -> None:
        raise Withdrawal("the policy of site-1 refuses this job")

    site.admit = refuse
    assert site.answer(task).withdrawn
    assert site.measurements_sent() == {}


def test_a_site_that_fails_in_training_sends_nothing(federation: Make) -> None:
    def fail(site: str, round_index: int) -> None:
        raise ValueError(site)

    job = federation(before=fail)
    site = job.site("site-1")
    site.sent = ("global_loss",)
    assert site.answer(job.coordinator().task("site-1")).update is None
    assert site.measurements_sent() == {}

"""What the server takes in, what it refuses, and what a site's own sentence looks like there."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from veiltune.errors import PayloadError, RunError
from veiltune.federation import Coordinator, Origin, Payload, PlainCodec, PlainSum, Reply, Task
from veiltune.federation.coordinator import RECEIVED_FILE
from veiltune.federation.messages import read_reply, read_task, sums_from
from veiltune.federation.payload import BEGINNING, make_payload

CODEC = PlainCodec()


def update(
    site: str,
    index: int = 0,
    job: str = "j",
    size: int = 3,
    history: str = BEGINNING,
    value: float = 1.0,
) -> Payload:
    origin = Origin(job, index, site, history)
    return CODEC.encode(torch.full((size,), value), 2.0, origin).payload


def reply(site: str, index: int = 0, history: str = BEGINNING) -> Reply:
    return Reply(site, index, index, update(site, index, history=history))


def rounds_of(coordinator: Coordinator, count: int, sites: str = "ab") -> None:
    """`count` rounds in which `sites` answer."""
    for index in range(count):
        for name in sites:
            coordinator.receive(reply(name, index, coordinator.history))
        coordinator.close_round()


@pytest.fixture
def make(tmp_path: Any) -> Callable[..., Coordinator]:
    def build(min_sites: int = 2, rounds: int = 3) -> Coordinator:
        return Coordinator(PlainSum(), tmp_path / "server", "j", ("b", "a", "c"), min_sites, rounds)

    return build


@pytest.mark.parametrize(
    "wrong",
    [
        Reply("c", 0, 0, update("c", job="other")),
        Reply("c", 0, 0, update("c", index=1)),
        Reply("c", 0, 0, update("a")),
        Reply("c", 0, 0, update("c", history="other")),
        Reply("c", 0, 0, make_payload("other", Origin("j", 0, "c"), bytes(20))),
        Reply("c", 0, 0, None, "it is tired"),
    ],
    ids=["job", "round", "site", "history", "codec", "no update"],
)
def test_an_update_that_does_not_belong_is_not_added(
    wrong: Reply, make: Callable[..., Coordinator]
) -> None:
    coordinator = make()
    for one in (reply("a"), reply("b"), wrong):
        coordinator.receive(one)
    missing = coordinator.close_round()
    assert list(missing) == ["c"] and missing["c"]
    assert coordinator.sums[0].header.sites == ("a", "b")


@pytest.mark.parametrize("stray", [reply("z"), reply("c", index=1)], ids=["stranger", "late"])
def test_a_stray_reply_counts_as_no_answer(stray: Reply, make: Callable[..., Coordinator]) -> None:
    coordinator = make()
    for one in (reply("a"), reply("b"), stray):
        coordinator.receive(one)
    assert coordinator.close_round() == {"c": "no answer"}


def test_a_refused_site_can_come_back(make: Callable[..., Coordinator]) -> None:
    coordinator = make()
    coordinator.receive(reply("a"))
    coordinator.receive(reply("b"))
    assert coordinator.close_round() == {"c": "no answer"}
    for name in "abc":
        coordinator.receive(reply(name, 1, coordinator.history))
    assert coordinator.close_round() == {}
    assert coordinator.sums[1].header.sites == ("a", "b", "c")


def test_of_two_updates_from_one_site_the_first_counts(make: Callable[..., Coordinator]) -> None:
    coordinator = make(min_sites=1)
    coordinator.receive(Reply("a", 0, 0, update("a", value=3.0)))
    coordinator.receive(Reply("a", 0, 0, update("a", value=5.0)))
    coordinator.receive(Reply("a", 0, 0, None, "it is tired"))
    assert list(coordinator.close_round()) == ["b", "c"]
    assert CODEC.decode(coordinator.sums[0]).mean.tolist() == [3.0, 3.0, 3.0]


def test_what_was_received_is_written_down_without_bodies(
    make: Callable[..., Coordinator],
) -> None:
    coordinator = make()
    for one in (reply("a"), reply("a"), reply("z"), Reply("b", 0, 0, None, "it is tired")):
        coordinator.receive(one)
    text = (coordinator.folder / RECEIVED_FILE).read_text()
    entries = [json.loads(line) for line in text.splitlines()]
    assert [entry["site"] for entry in entries] == ["a", "a", "z", "b"]
    refused = [entry["refused"] for entry in entries]
    assert refused[0] is None and all(refused[1:])
    assert entries[0]["update"]["sha256"] == update("a").header.sha256
    assert entries[0]["bytes"] == update("a").nbytes


def test_an_update_of_another_size_ends_the_round_with_a_sentence(
    make: Callable[..., Coordinator],
) -> None:
    coordinator = make()
    coordinator.receive(reply("a"))
    coordinator.receive(Reply("b", 0, 0, update("b", size=4)))
    with pytest.raises(RunError, match="one size"):
        coordinator.close_round()


def test_a_task_holds_the_sums_a_site_lacks(make: Callable[..., Coordinator]) -> None:
    coordinator = make()
    rounds_of(coordinator, 2)
    coordinator.applied.update(a=2, b=1, c=0)
    assert {name: list(coordinator.task(name).sums) for name in "abc"} == {
        "a": [],
        "b": [1],
        "c": [0, 1],
    }
    assert list(coordinator.broadcast().sums) == [0, 1]


def test_the_broadcast_cut_for_a_site_is_its_task(make: Callable[..., Coordinator]) -> None:
    """NVFlare sends one broadcast through a filter; the inline engine asks for a task each."""
    coordinator = make()
    rounds_of(coordinator, 2)
    coordinator.applied.update(a=2, b=1, c=0)
    arrays = coordinator.broadcast().to_arrays()
    for name in "abc":
        cut = sums_from(arrays, coordinator.applied[name])
        task = coordinator.task(name).to_arrays()
        assert cut.keys() == task.keys()
        assert all(np.array_equal(cut[key], task[key]) for key in cut)


def test_a_restarted_server_goes_on_after_the_last_sum(make: Callable[..., Coordinator]) -> None:
    coordinator = make()
    rounds_of(coordinator, 1)
    (coordinator.folder / "sum-00001.partial").write_bytes(b"cut while it was written")
    again = make()
    assert again.next_round == 1
    assert again.sums[0].header == coordinator.sums[0].header
    assert again.history == coordinator.history != BEGINNING
    assert list(again.task("a").sums) == [0], "it does not know yet what the sites have"


def test_a_damaged_sum_is_refused(make: Callable[..., Coordinator]) -> None:
    coordinator = make()
    rounds_of(coordinator, 1)
    path = coordinator.folder / "sum-00000.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(PayloadError):
        make()


def test_messages_come_back_as_they_went() -> None:
    sums = {index: PlainSum().combine([update("a", index)]) for index in (0, 3)}
    task = read_task(Task(4, 9, sums).to_arrays())
    assert (task.round, task.rounds, list(task.sums)) == (4, 9, [0, 3])
    assert task.sums[3].header == sums[3].header
    for sent in (reply("a", 2), Reply("b", 2, 1, None, "naïve reason"), Reply("c", 3, 3, None)):
        got = read_reply(sent.to_arrays())
        assert (got.site, got.round, got.applied, got.reason) == (
            sent.site,
            sent.round,
            sent.applied,
            sent.reason,
        )
        assert (got.update is None) == (sent.update is None)


def test_a_reply_carries_no_more_than_it_says() -> None:
    """An update travels with who, when and how many; no metric, no loss, no count of labels."""
    arrays = reply("a").to_arrays()
    assert set(arrays) == {"reply", "update"}
    head = arrays["reply"].tobytes().decode()
    assert head == '{"applied": 0, "reason": null, "round": 0, "site": "a", "withdrawn": false}'

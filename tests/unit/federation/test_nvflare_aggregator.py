"""The server takes from a site only what it sent itself, and survives what it cannot read."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from nvflare.app_common.abstract.fl_model import FLModel

from veiltune.federation import Coordinator, Origin, PlainCodec, PlainSum, Reply
from veiltune.federation.nvflare import aggregator
from veiltune.federation.nvflare.aggregator import SumAggregator

CODEC = PlainCodec()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SumAggregator:
    def build(run: str) -> Coordinator:
        return Coordinator(PlainSum(), Path(run) / "server", "j", ("a", "b", "c"), 1, 2)

    monkeypatch.setattr(aggregator, "load_factory", lambda path: build)
    return SumAggregator("module:function", str(tmp_path))


def sent_arrays(site: str) -> dict[str, NDArray[np.uint8]]:
    payload = CODEC.encode(torch.ones(3), 2.0, Origin("j", 0, site)).payload
    return Reply(site, 0, 0, payload).to_arrays()


def sent(site: str, sender: str | None = None) -> FLModel:
    return FLModel(params=sent_arrays(site), meta={"client_name": sender or site})


def test_replies_are_added(server: SumAggregator) -> None:
    server.accept_model(sent("b"))
    server.accept_model(sent("a"))
    model = server.aggregate_model()
    assert server.coordinator.sums[0].header.sites == ("a", "b")
    assert model.meta["applied"] == {"a": 0, "b": 0, "c": 0}


def test_a_site_cannot_answer_for_another(server: SumAggregator) -> None:
    server.accept_model(sent("b"))
    server.accept_model(sent("a", sender="c"))
    server.aggregate_model()
    assert server.coordinator.sums[0].header.sites == ("b",)
    outcome = (server.coordinator.folder / "rounds.jsonl").read_text()
    assert "it answered in another site's name" in outcome


@pytest.mark.parametrize("damage", ["cut", "no head", "no json", "other head", "empty"])
def test_an_answer_that_cannot_be_read_is_a_missing_site(
    damage: str, server: SumAggregator
) -> None:
    server.accept_model(sent("b"))
    arrays = sent_arrays("a")
    match damage:
        case "cut":
            arrays["update"] = arrays["update"][:-1]
        case "no head":
            del arrays["reply"]
        case "no json":
            arrays["reply"] = np.zeros(4, np.uint8)
        case "other head":
            arrays["reply"] = np.frombuffer(b'{"site": "a"}', np.uint8)
        case "empty":
            arrays = {}
    server.accept_model(FLModel(params=arrays, meta={"client_name": "a"}))
    server.aggregate_model()
    assert server.coordinator.sums[0].header.sites == ("b",)
    outcome = (server.coordinator.folder / "rounds.jsonl").read_text()
    cause = "was cut or altered" if damage == "cut" else '"a": "its answer could not be read"'
    assert cause in outcome

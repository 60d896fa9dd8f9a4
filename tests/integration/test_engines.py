"""One job, two engines, one result: NVFlare's simulator against the inline engine."""

import importlib.util
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest

from veiltune.federation import run_inline
from veiltune.federation.nvflare import simulator
from veiltune.federation.nvflare.job import FederatedJob
from veiltune.federation.payload import read_payload
from veiltune_jobs.job import JobSpec, load_job
from veiltune_jobs.run import Run
from veiltune_jobs.wiring import make_coordinator

HERE = Path(__file__).parent
SITES = ("site-1", "site-2", "site-3")
ROUNDS = 3
# What NVFlare's own modules still use of Python and of each other.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:nvflare")


class Processes:
    """Looks at the simulator's processes, by the mark in their environment."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        mark = uuid.uuid4()
        monkeypatch.setattr(simulator.uuid, "uuid4", lambda: mark)
        self.mark = mark.hex
        self.most = 0

    def count(self) -> int:
        found = 0
        for process in psutil.process_iter():
            try:
                found += process.environ().get(simulator.MARK) == self.mark
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return found

    def tick(self) -> None:
        self.most = max(self.most, self.count())


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> Processes:
    return Processes(monkeypatch)


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where temporary files go during the test; pytest's own folders are too deep for sockets."""
    with tempfile.TemporaryDirectory(prefix="test-") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)


def with_engine(path: Path, engine: str, tmp_path: Path) -> JobSpec:
    output = tmp_path / engine
    return load_job(path, [f"runtime.engine={engine}", f"runtime.output={output}"])


def test_both_engines_give_the_same_bits(
    specification: Path, tmp_path: Path, processes: Processes, temporary: Path
) -> None:
    inline = Run(with_engine(specification, "inline", tmp_path))
    expected = inline.execute()
    nvflare = Run(with_engine(specification, "nvflare", tmp_path))
    summary = nvflare.execute(tick=processes.tick)

    assert summary["status"] == "complete" and summary["missing"] == []
    assert summary["adapter_sha256"] == expected["adapter_sha256"]
    assert nvflare.folder.path.name == inline.folder.path.name, "the engine is no part of a run"
    rounds = [pd.read_parquet(run.folder.rounds) for run in (nvflare, inline)]
    timeless = [table.drop(columns=table.filter(like="seconds").columns) for table in rounds]
    pd.testing.assert_frame_equal(timeless[0], timeless[1], check_exact=True)
    assert set(rounds[0]["round"]) == set(range(ROUNDS + 1)) and set(rounds[0]["site"]) == set(
        SITES
    )
    for name in ("adapter_model.safetensors", "prompt_encoder.safetensors"):
        written = [(run.folder.adapter / name).read_bytes() for run in (nvflare, inline)]
        assert written[0] == written[1]

    server = sorted(path.name for path in nvflare.folder.server.iterdir())
    assert server == [
        "received.jsonl",
        "rounds.jsonl",
        *(f"sum-{index:05d}.bin" for index in range(ROUNDS)),
    ]
    for path in nvflare.folder.server.glob("*.bin"):
        assert read_payload(np.fromfile(path, np.uint8)).header.sites == SITES

    assert processes.most >= 1 + len(SITES), "the count below should have had something to find"
    assert processes.count() == 0
    assert list(temporary.iterdir()) == []


def test_a_site_that_fails_in_a_round_is_named_and_catches_up(
    specification: Path, tmp_path: Path, processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under NVFlare; and the result is that of the inline engine with the same failure."""
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    run = Run(with_engine(specification, "nvflare", tmp_path))
    run.folder.path.mkdir(parents=True)
    run._begin()
    job = FederatedJob(
        name="failing",
        run=str(run.folder.path),
        site_factory="failing_site:build_site",
        coordinator_factory="veiltune_jobs.wiring:build_coordinator",
        sites=SITES,
        min_sites=2,
        first_round=0,
        rounds=ROUNDS,
        round_timeout_s=100,
        poll_s=0.05,
    )
    code = simulator.simulate(job, len(SITES), 1, run.folder.log, processes.tick)
    assert code == 0
    missing = {entry["round"]: entry["missing"] for entry in run.folder.outcomes()}
    reason = "it failed with ValueError"
    assert missing == {0: {}, 1: {"site-2": reason}, 2: {}, 3: {}}
    finals = run.folder.finals(SITES)
    assert set(finals) == set(SITES)
    (adapter,) = {final["adapter_sha256"] for final in finals.values()}
    assert processes.count() == 0

    inline = Run(with_engine(specification, "inline", tmp_path))
    inline.folder.path.mkdir(parents=True)
    inline._begin()
    found = importlib.util.spec_from_file_location("failing_site", HERE / "failing_site.py")
    assert found is not None and found.loader is not None
    failing_site = importlib.util.module_from_spec(found)
    found.loader.exec_module(failing_site)
    sites = [failing_site.build_site(str(inline.folder.path), name) for name in SITES]
    run_inline(sites, make_coordinator(inline.spec, inline.folder), 1, lambda: None)
    assert {final["adapter_sha256"] for final in inline.folder.finals(SITES).values()} == {adapter}
    for folder in (run.folder, inline.folder):
        assert failing_site.TEXT not in (folder.server / "rounds.jsonl").read_text()

"""The batch that the benchmark times: ordinary runs, one after another, over one model."""

from pathlib import Path

import pytest

from veiltune.errors import RunError
from veiltune_jobs import batch
from veiltune_jobs.job import JobSpec
from veiltune_jobs.run import SharedModel


class FakeRun:
    """Stands in for a run; notes what it was given."""

    executed: list[tuple[int, str, SharedModel]] = []

    def __init__(self, spec: JobSpec) -> None:
        self.spec = spec

    def execute(self, *, shared: SharedModel) -> dict[str, str]:
        if self.spec.seed == 13:
            raise RunError("a run should have ended well, but it did not; look into its log")
        self.executed.append((self.spec.seed, self.spec.runtime.engine, shared))
        return {"run": f"run-{self.spec.seed}"}


@pytest.fixture(autouse=True)
def fake_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeRun.executed = []
    monkeypatch.setattr(batch, "Run", FakeRun)


@pytest.fixture
def spec(tmp_path: Path) -> str:
    path = tmp_path / "job.yaml"
    path.write_text("name: some\n")
    return str(path)


def test_every_seed_runs_inline_over_one_model(
    spec: str, capsys: pytest.CaptureFixture[str]
) -> None:
    batch.main([spec, "--seeds", "3,1", "--set", "federation.rounds=2"])
    assert capsys.readouterr().out == "run-3\nrun-1\n"
    (first, second) = FakeRun.executed
    assert first[:2] == (3, "inline") and second[:2] == (1, "inline")
    assert first[2] is second[2]


@pytest.mark.parametrize(("seeds", "code"), [("1,x", 2), ("13", 1)])
def test_what_goes_wrong_ends_with_a_sentence_and_a_code(
    spec: str, seeds: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        batch.main([spec, "--seeds", seeds])
    assert ended.value.code == code
    assert "Traceback" not in capsys.readouterr().err

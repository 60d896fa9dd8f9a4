import json
from pathlib import Path

import pytest

from veiltune.errors import OutputError, SpecificationError
from veiltune_analysis.figures import BOOK
from veiltune_jobs.figures import draw_book
from veiltune_jobs.reproduce import SWEEPS, prepare
from veiltune_jobs.sweep_spec import load_sweep_spec


@pytest.mark.parametrize("small", [False, True])
@pytest.mark.parametrize("name", BOOK)
def test_each_figure_has_a_sweep_with_a_small_version(name: str, small: bool) -> None:
    plan = load_sweep_spec(SWEEPS / f"{name}.yaml", small=small)
    assert plan.figure == name
    assert len(plan.seeds) >= (2 if small else 5)


def test_records_that_give_no_figure_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="expected at least one finished sweep"):
        draw_book(tmp_path, tmp_path / "figures")
    with pytest.raises(OutputError, match="expected a folder of recorded sweeps"):
        draw_book(tmp_path / "none", tmp_path / "figures")
    (tmp_path / "sweep.json").write_text("{damaged")
    with pytest.raises(OutputError, match="is damaged"):
        draw_book(tmp_path, tmp_path / "figures")


def test_a_damaged_sweep_does_not_keep_the_others_from_being_drawn(tmp_path: Path) -> None:
    costs = {"small": True, "commit": None, "repeats": 1, "machine": "2 cores"}
    row = {"exchange": "nvflare", "sites": 3, "params": 3000, "up_bytes": 9, "down_bytes": 9}
    rows = [row | {"encrypt_s": 0.1, "server_s": 0.1, "decrypt_s": 0.1}]
    for name in ("first", "second", "bad"):
        (tmp_path / name).mkdir()
    for name in ("first", "second"):
        (tmp_path / name / "encryption-cost.json").write_text(json.dumps(costs | {"rows": rows}))
    (tmp_path / "bad" / "sweep.json").write_text("{")
    book = draw_book(tmp_path, tmp_path / "figures")
    assert [each.figure for each in book.drawn] == ["encryption-cost"]
    assert [each.source.name for each in book.skipped] == ["bad", "second"]
    assert "was drawn from" in book.skipped[1].reason
    assert json.loads(json.dumps(book.as_json()))["skipped"][0]["source"].endswith("bad")


def test_a_figure_that_is_not_in_the_book_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecificationError, match="got frontiers"):
        prepare(["frontiers"], small=True, records=tmp_path)

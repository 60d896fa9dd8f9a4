import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from veiltune.errors import OutputError
from veiltune_analysis.frontier import VALIDATION_LOSS, frontiers, price_table, sweep_points
from veiltune_analysis.report import write_report
from veiltune_analysis.tables import load_sweep

MakeRun = Callable[..., Path]
EPSILON, ENCODER = "privacy.example_level.epsilon", "adapter.encoder"


class Words(HTMLParser):
    """The words of a page, without style and script."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.silent += tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self.silent -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self.silent:
            self.words.append(data)


def words(path: Path) -> str:
    page = Words()
    page.feed(path.read_text(encoding="utf-8"))
    return " ".join(" ".join(page.words).split())


def loss_of(epsilon: float | None, encoder: str, seed: int) -> float:
    private = 0.0 if epsilon is None else 0.4 / epsilon
    return (
        0.5 + private + (0.1 + 0.001 * seed if encoder == "lstm" else 0.0) + 0.01 * (seed * 7 % 5)
    )


@pytest.fixture
def sweep(make_run: MakeRun) -> Path:
    """Two encoders at three epsilons and without privacy, five seeds each."""
    points = []
    for epsilon in (1, 4, None):
        for encoder in ("mlp", "lstm"):
            for seed in (1, 2, 3, 4, 5):
                name = f"{encoder}-{epsilon}-{seed}"
                last = loss_of(epsilon, encoder, seed)
                make_run(name, [4.0, 1.0, last], seed=seed, seeded_noise=epsilon is not None)
                labels = {EPSILON: epsilon, ENCODER: encoder}
                points.append({"run": name, "seed": seed, "labels": labels})
    folder = make_run("extra", [4.0]).parent
    axes = {EPSILON: [1, 4, None], ENCODER: ["mlp", "lstm"]}
    write_manifest(folder, points, axes, seeds=[1, 2, 3, 4, 5])
    return folder


def write_manifest(
    folder: Path, points: list[dict[str, Any]], axes: dict[str, Any], **changes: Any
) -> None:
    manifest = {"name": "planted", "figure": None, "small": False, "axes": axes, "points": points}
    (folder / "sweep.json").write_text(json.dumps(manifest | changes))


def test_the_page_shows_the_numbers_of_the_tables(sweep: Path) -> None:
    said = words(write_report(sweep))
    record = load_sweep(sweep)
    table = price_table(frontiers(sweep_points(record, VALIDATION_LOSS), VALIDATION_LOSS))
    private = table[table["epsilon"] == 1].iloc[0]
    assert f"{private['mean']:.3f} {private['low']:.3f} to {private['high']:.3f}" in said
    assert f"{private['price']:.3f}" in said and "0.400" in said
    assert "Runs complete 30 of 30 in the sweep" in said
    assert "Lowest mean loss 0.520" in said
    # The loss is 0.52 + 0.4 / epsilon for mlp: 5 % more than 0.52 lies beyond epsilon 4.
    assert re.search(
        r"mlp validation loss epsilon within 5 % .{0,15}more than 4, the largest", said
    )
    for section in ("The price of privacy", "Curves", "Arms", "Comparisons", "Runs", "Origin"):
        assert section in said


def test_differences_planted_are_found_and_seeds_stand_beside_them(sweep: Path) -> None:
    said = words(write_report(sweep))
    # Every lstm run is 0.101 to 0.105 above its mlp partner, whatever the epsilon.
    assert "By encoder, against mlp" in said
    assert re.search(r"lstm (1|4|none) 0\.103 0\.101 to 0\.105 .{0,40}5 lstm is higher", said)
    assert "By epsilon, against none" in said


def test_every_label_can_be_hidden_with_what_belongs_to_it(sweep: Path) -> None:
    page = write_report(sweep).read_text(encoding="utf-8")
    boxes = set(re.findall(r'<input type="checkbox" id="([^"]+)"', page))
    rules = set(re.findall(r"body:has\(#([^:]+):not\(:checked\)\)", page))
    used = {token for each in re.findall(r'data-of="([^"]+)"', page) for token in each.split()}
    assert boxes == rules == used == {"a0-0", "a0-1", "a0-2", "a1-0", "a1-1"}


def test_notices_name_what_limits_the_claims(sweep: Path) -> None:
    said = words(write_report(sweep))
    assert "Synthetic data" in said and "Noise is seeded" in said
    assert "Only" not in said.split("Runs complete")[0]


def test_few_seeds_are_said_and_nothing_is_made_up(make_run: MakeRun) -> None:
    folder = make_run("a", [4.0, 2.0]).parent
    labels = {"training.batch_size": 8}
    points = [{"run": "a", "seed": 1, "labels": labels}]
    write_manifest(folder, points, {"training.batch_size": [8]}, seeds=[1], small=True)
    said = words(write_report(folder))
    assert "1 seed: no interval can be given." in said
    assert "SMALL VERSION" in said
    assert "The price of privacy" not in said


def test_missing_failed_and_damaged_runs_are_listed(make_run: MakeRun) -> None:
    folder = make_run("a", [4.0, 2.0]).parent
    (make_run("b", [4.0]) / "summary.json").write_text("{")
    axes = {"training.learning_rate": [0.1, 0.01, 0.001]}
    points = [
        {"run": name, "seed": 1, "labels": {"training.learning_rate": rate}}
        for name, rate in (("a", 0.1), ("b", 0.01), ("c", 0.001))
    ]
    write_manifest(folder, points, axes, seeds=[1])
    failure = {"run": "c", "seed": 1, "labels": {"x": None}, "error": "<b>no memory</b>"}
    (folder / "failures.jsonl").write_text(json.dumps(failure) + '\n{"run": "cut o')
    path = write_report(folder)
    said = words(path)
    assert "Runs complete 1 of 3 in the sweep" in said
    assert "c 1 x none <b>no memory</b>" in said
    assert "<b>no memory" not in path.read_text()
    assert "c it has not been run" in said
    assert "b expected a whole run record" in said
    assert "By learning rate" not in said and "expected complete runs" in said


def test_labels_from_a_record_are_escaped(make_run: MakeRun) -> None:
    evil = "</script><script>alert(1)</script>"
    folder = make_run("a", [4.0, 2.0], job=evil, data=evil).parent
    make_run("b", [4.0, 1.0])
    axes = {evil: [evil, "plain"]}
    points = [
        {"run": name, "seed": 1, "labels": {evil: label}}
        for name, label in (("a", evil), ("b", "plain"))
    ]
    write_manifest(folder, points, axes, name=evil, seeds=[1])
    page = write_report(folder).read_text(encoding="utf-8")
    assert "alert(1)</script>" not in page
    assert "\\u003cscript>alert(1)" in page


def test_the_same_sweep_gives_the_same_page(sweep: Path) -> None:
    assert write_report(sweep).read_bytes() == write_report(sweep).read_bytes()


def test_a_folder_that_is_no_sweep_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sweep.json").write_text("{")
    with pytest.raises(OutputError, match="expected the folder of a sweep"):
        write_report(tmp_path)

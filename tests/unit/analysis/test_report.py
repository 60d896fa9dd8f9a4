import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from veiltune.errors import OutputError
from veiltune_analysis.report import write_report

MakeRun = Callable[..., Path]
VOID = {"meta", "link", "input"}


class Balanced(HTMLParser):
    """Holds the page to closed elements, and gathers its words and its addresses."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.addresses: list[str] = []
        self.scripts: list[str | None] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag == "script":
            self.scripts.append(dict(attrs).get("type"))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def read(path: Path) -> Balanced:
    page = Balanced()
    page.feed(path.read_text(encoding="utf-8"))
    assert page.open == []
    return page


def words(path: Path) -> str:
    return " ".join(" ".join(read(path).words).split())


def test_the_page_tells_the_run_and_needs_nothing_else(make_run: MakeRun) -> None:
    path = write_report(make_run("a", [4.0, 2.0, 1.0]))
    assert path.name == "report.html"
    page = read(path)
    assert page.addresses and all(re.match("#|data:", each) for each in page.addresses)
    assert not re.search(r"@import|https?:|url\((?!#)", path.read_text())
    said = words(path)
    for fact in (
        "Validation loss: 4.000 before, 1.000 after",
        "Synthetic data",
        "No differential privacy",
        "Updates are not encrypted",
        "Nobody was missing: every site took part",
        "sends 1,024 bytes and receives 2,048 bytes a round",
        "validation texts that also stand in training 3",
        "site-2 10 4 6 0 1.800 60.0 %",
        "all sites 4,096 12,288 0.8 0.6",
        "machine cores 2",
        "<|P|> {sentence}",
    ):
        assert fact in said


def test_the_same_record_gives_the_same_page(make_run: MakeRun) -> None:
    folder = make_run("a", [4.0, 2.0])
    assert write_report(folder).read_bytes() == write_report(folder).read_bytes()


def test_an_interrupted_run_says_so_and_who_was_missing(make_run: MakeRun) -> None:
    missing = [{"round": 1, "site": "site-2", "reason": "no answer in 60 s"}]
    folder = make_run("a", [], status="interrupted", missing=missing, seconds=None)
    said = words(write_report(folder))
    assert "This run is interrupted" in said
    assert "Sites were missing in 1 case" in said
    assert "1 site-2 no answer in 60 s" in said
    assert "Nothing was measured" in said
    assert "The run took not measured s" not in said


def test_real_text_has_no_notice_and_protection_is_named(make_run: MakeRun) -> None:
    folder = make_run("a", [4.0, 2.0], synthetic=False, epsilon={"site-1": 2.5}, encryption="CKKS")
    said = words(write_report(folder))
    assert "Synthetic" not in said
    assert "Epsilon spent: site-1 2.500. Updates are encrypted: CKKS." in said


def test_everything_from_the_record_is_escaped(make_run: MakeRun) -> None:
    evil = '<script>alert("x")</script>'
    site = f"{evil}&"
    folder = make_run(
        "a",
        [4.0, 2.0],
        job=evil,
        data=evil,
        backbone=evil,
        engine=evil,
        encryption=evil,
        sites=[site],
        label_counts={site: {evil: 1}},
        duplicates={evil: 1},
        missing=[{"round": 0, "site": evil, "reason": evil}],
    )
    (folder / "spec.yaml").write_text(evil)
    path = write_report(folder)
    clean = read(write_report(make_run("b", [4.0, 2.0], sites=["a"])))
    assert read(path).scripts == clean.scripts
    assert evil not in path.read_text()


def test_a_record_without_its_specification_is_refused(make_run: MakeRun) -> None:
    folder = make_run("a", [4.0])
    (folder / "spec.yaml").unlink()
    with pytest.raises(OutputError, match="resolved specification"):
        write_report(folder)


def test_a_page_that_cannot_be_written_is_an_error(make_run: MakeRun) -> None:
    folder = make_run("a", [4.0])
    (folder / "report.html").mkdir()
    with pytest.raises(OutputError, match="expected to write .*report.html"):
        write_report(folder)


def test_seeded_noise_is_not_called_private(make_run: MakeRun) -> None:
    folder = make_run("a", [4.0, 2.0], epsilon={"site-1": 2.5}, seeded_noise=True)
    assert "Not private: seeded noise" in write_report(folder).read_text()

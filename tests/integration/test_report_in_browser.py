"""The report in Debian's Chromium, without a window: what a reader sees and can do."""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pytest
from playwright.sync_api import Browser, Locator, Page, sync_playwright

from veiltune_analysis.report import write_report
from veiltune_analysis.runs import ROUND_COLUMNS

CHROMIUM = shutil.which("chromium")
# The browser is no Python package, so a laptop may lack it; `.ci/run` installs it and never skips.
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="Debian's chromium is not installed (apt-get install chromium)"
)
DESKTOP, PHONE = 1280, 390
EPSILON, ENCODER = "privacy.example_level.epsilon", "adapter.encoder"


def write_run(folder: Path, seed: int, loss: float, epsilon: float | None) -> None:
    """A run's folder as a run leaves it: three sites, five rounds."""
    folder.mkdir(parents=True)
    sites = ["site-1", "site-2", "site-3"]
    rows = [
        dict.fromkeys(ROUND_COLUMNS, 0.0)
        | {"round": at, "site": site, "global_loss": loss + 5 / (at + 1), "global_accuracy": 0.6}
        | {"local_loss": loss + place + 4 / (at + 1), "local_accuracy": 0.5, "epsilon": epsilon}
        for at in range(5)
        for place, site in enumerate(sites)
    ]
    pd.DataFrame(rows).to_parquet(folder / "rounds.parquet")
    noise = None if epsilon is None else dict.fromkeys(sites, epsilon)
    summary = {
        "run": folder.name, "job": "planted", "engine": "inline", "arm": "federated",
        "alone_site": None, "seed": seed, "sites": sites, "rounds": 5, "status": "complete",
        "val_loss_first": 13.0, "val_loss": loss, "val_accuracy": 0.8, "test_loss": loss,
        "test_accuracy": 0.8, "upload_bytes_per_site_round": 1e6,
        "download_bytes_per_site_round": 1e6, "epsilon": noise, "encryption": None, "clipped": 0,
        "adapter_sha256": None, "seconds": 9.0, "examples": dict.fromkeys(sites, 100),
        "label_counts": {site: {"up": 10 * at} for at, site in enumerate(sites, start=1)},
        "truncated": {}, "duplicates": {}, "missing": [], "synthetic": True, "data": "planted",
        "backbone": "toy",
    }  # fmt: skip
    origin = {"commit": "c" * 40, "specification_hash": folder.name, "data_sha256": "d" * 64}
    (folder / "summary.json").write_text(json.dumps(summary))
    (folder / "provenance.json").write_text(json.dumps(origin))
    (folder / "spec.yaml").write_text("name: planted\n")


@pytest.fixture(scope="module")
def run_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report") / "run"
    write_run(folder, 1, 0.5, 8.0)
    return write_report(folder)


@pytest.fixture(scope="module")
def sweep_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two encoders at three epsilons and without privacy, five seeds each."""
    folder = tmp_path_factory.mktemp("report") / "sweep"
    points: list[dict[str, Any]] = []
    for encoder in ("mlp", "lstm"):
        for epsilon in (0.5, 2, 8, None):
            for seed in (1, 2, 3, 4, 5):
                name = f"{encoder}-{epsilon}-{seed}"
                loss = 0.4 + (0.2 / epsilon if epsilon else 0) + 0.01 * (seed * 7 % 5)
                write_run(folder / name, seed, loss + 0.05 * (encoder == "lstm"), epsilon)
                labels = {EPSILON: epsilon, ENCODER: encoder}
                points.append({"run": name, "seed": seed, "labels": labels})
    manifest = {
        "name": "planted", "figure": "frontier", "small": False, "seeds": [1, 2, 3, 4, 5],
        "axes": {EPSILON: [0.5, 2, 8, None], ENCODER: ["mlp", "lstm"]}, "points": points,
    }  # fmt: skip
    (folder / "sweep.json").write_text(json.dumps(manifest))
    return write_report(folder)


@dataclass
class Opened:
    """A report in the browser, with whatever it complained of or asked for."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


Open = Callable[..., Opened]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as driver:
        # Root has no sandbox of its own in a container.
        started = driver.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        yield started
        started.close()


@pytest.fixture
def open_report(browser: Browser) -> Iterator[Open]:
    contexts = []

    def open_in(
        path: Path,
        width: int = DESKTOP,
        scheme: Literal["light", "dark"] = "light",
        script: bool = True,
    ) -> Opened:
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,
            java_script_enabled=script,
        )
        contexts.append(context)
        opened = Opened(context.new_page())
        opened.page.on("console", lambda message: opened.complaints.append(message.text))
        opened.page.on("pageerror", lambda error: opened.complaints.append(str(error)))
        opened.page.on("request", lambda request: opened.requests.append(request.url))
        opened.page.on("requestfailed", lambda request: opened.refused.append(request.url))
        opened.page.goto(path.as_uri())
        return opened

    yield open_in
    for context in contexts:
        context.close()


@pytest.fixture(params=["run_report", "sweep_report"])
def report(request: pytest.FixtureRequest) -> Path:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Path)
    return found


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_loads_alone_and_fits_the_width(
    report: Path, open_report: Open, width: int, scheme: str
) -> None:
    opened = open_report(report, width, scheme)
    assert opened.complaints == []
    assert [url for url in opened.requests if not url.startswith("data:")] == [report.as_uri()]
    assert opened.page.evaluate("document.documentElement.scrollWidth") == width
    charts = opened.page.locator(".plot svg")
    assert charts.count() >= 3
    for chart in charts.all():
        box = chart.bounding_box()
        assert box is not None and box["width"] >= 300 and box["height"] >= 150


def test_no_words_of_a_chart_overlap_or_leave_it(report: Path, open_report: Open) -> None:
    page = open_report(report).page
    for chart in page.locator(".plot svg").all():
        frame = chart.bounding_box()
        assert frame is not None
        boxes = [each.bounding_box() for each in chart.locator("text").all()]
        found = [box for box in boxes if box is not None]
        assert len(found) == len(boxes) > 4
        for at, box in enumerate(found):
            assert frame["x"] - 1 <= box["x"]
            assert box["x"] + box["width"] <= frame["x"] + frame["width"] + 1
            for other in found[at + 1 :]:
                across = min(box["x"] + box["width"], other["x"] + other["width"])
                down = min(box["y"] + box["height"], other["y"] + other["height"])
                # Boxes of letters have room above and below the ink.
                assert across <= max(box["x"], other["x"]) + 1 or (
                    down <= max(box["y"], other["y"]) + 4
                )


def column(table: Locator, place: int) -> list[str]:
    return [
        row.locator("th, td").nth(place).inner_text() for row in table.locator("tbody tr").all()
    ]


def test_a_table_sorts_by_mouse_and_by_keyboard(sweep_report: Path, open_report: Open) -> None:
    page = open_report(sweep_report).page
    table = page.locator("#arms table")
    head = table.locator("thead th", has_text="loss").first
    place = [each.inner_text() for each in table.locator("thead th").all()].index(head.inner_text())
    recorded = column(table, place)
    assert recorded != sorted(recorded, key=float)
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert column(table, place) == sorted(recorded, key=float)
    head.locator("button").press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    assert column(table, place) == sorted(recorded, key=float, reverse=True)
    first = table.locator("thead th").first
    first.locator("button").press("Space")
    assert head.get_attribute("aria-sort") is None
    # "none" comes after every number, not between them as a text would.
    assert column(table, 0) == ["0.5", "0.5", "2", "2", "8", "8", "none", "none"]


def test_a_sum_stays_at_the_foot(run_report: Path, open_report: Open) -> None:
    page = open_report(run_report).page
    table = page.locator("#sites table").first
    table.locator("thead button").first.click()
    table.locator("thead button").first.click()
    assert column(table, 0) == ["site-3", "site-2", "site-1"]
    assert "all, shared prompt" in table.locator("tfoot").inner_text()


@pytest.mark.parametrize("script", [True, False])
def test_arms_are_hidden_and_come_back(sweep_report: Path, open_report: Open, script: bool) -> None:
    page = open_report(sweep_report, script=script).page
    curves, rows = page.locator("#curves .chart"), page.locator("#arms tbody tr")
    assert (visible(curves), visible(rows)) == (2, 8)
    box = page.get_by_label("lstm", exact=True)
    box.uncheck()
    assert (visible(curves), visible(rows)) == (1, 4)
    page.get_by_label("0.5", exact=True).uncheck()
    assert visible(rows) == 3
    assert visible(page.locator("#curves .curve")) == 3
    box.check()
    assert (visible(curves), visible(rows)) == (2, 6)


def visible(found: Locator) -> int:
    return sum(each.is_visible() for each in found.all())


def test_values_stand_under_the_pointer_and_the_arrow_keys(
    run_report: Path, open_report: Open
) -> None:
    page = open_report(run_report).page
    plot = page.locator(".plot").first
    values = plot.locator(".values")
    assert not values.is_visible()
    plot.hover()
    assert values.is_visible() and "shared: " in values.inner_text()
    page.mouse.move(0, 0)
    assert not values.is_visible()
    plot.focus()
    page.keyboard.press("Home")
    assert values.inner_text().split("\n") == ["round 0", "shared: 5.500"]
    page.keyboard.press("ArrowRight")
    assert values.inner_text().split("\n") == [
        "round 1",
        "shared: 3.000",
        "site-1: 4.500",
        "site-2: 5.500",
        "site-3: 6.500",
    ]
    page.get_by_label("site-2").uncheck()
    plot.focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    assert "site-2" not in values.inner_text()
    page.keyboard.press("Escape")
    assert not values.is_visible()


def lightness(page: Page) -> float:
    """Of the page's ground, 0 to 255."""
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    parts = str(colour).removeprefix("rgb(").removesuffix(")").split(",")
    return sum(float(part) for part in parts) / 3


def test_dark_follows_the_system_until_the_reader_chooses(
    run_report: Path, open_report: Open
) -> None:
    assert lightness(open_report(run_report, scheme="light").page) > 230
    page = open_report(run_report, scheme="dark").page
    assert lightness(page) < 50
    page.get_by_role("button", name="Show in light colours").click()
    assert lightness(page) > 230
    page.reload()
    assert lightness(page) > 230
    page.get_by_role("button", name="Show in dark colours").click()
    page.emulate_media(media="print")
    assert lightness(page) > 230  # paper is white


def test_it_reads_without_the_script(report: Path, open_report: Open) -> None:
    opened = open_report(report, script=False)
    assert opened.complaints == []
    assert visible(opened.page.locator(".plot svg .line")) >= 4
    assert visible(opened.page.locator("table")) >= 2
    assert opened.page.locator("thead button").count() == 0


def test_nothing_in_the_page_can_run_but_its_own_script(
    run_report: Path, open_report: Open
) -> None:
    opened = open_report(run_report)
    opened.page.evaluate(
        """() => {
          const script = document.createElement("script");
          script.textContent = "window.foreign = true";
          document.body.append(script);
          const image = new Image();
          image.src = "https://example.org/x.png";
          document.body.append(image);
        }"""
    )
    assert opened.page.evaluate("window.foreign") is None
    assert any("Content Security Policy" in each for each in opened.complaints)
    assert opened.refused == ["https://example.org/x.png"]
    assert any("violates" in each and "example.org" in each for each in opened.complaints)

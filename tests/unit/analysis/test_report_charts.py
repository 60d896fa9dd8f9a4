import json
import math
import re

import pytest

from veiltune_analysis.report.charts import HEIGHT, LEFT, TOP, WIDTH, Axis, Chart, Curve, draw
from veiltune_analysis.report.looks import look
from veiltune_analysis.report.parts import duration, ends, figure, size

ROUND, LOSS = Axis("round"), Axis("loss", is_log=True)


def curve(
    y: list[float],
    name: str = "a",
    low: list[float] | None = None,
    high: list[float] | None = None,
) -> Curve:
    x = [float(at) for at in range(len(y))]
    return Curve(name, look(0), x, y, [f"{value:g}" for value in y], low, high)


def line(page: str) -> list[tuple[float, float]]:
    found = re.search(r'class="line" d="M([^"]+)"', page)
    assert found
    return [(float(x), float(y)) for x, y in (place.split(" ") for place in found[1].split("L"))]


def test_equal_ratios_are_equal_heights_on_a_logarithmic_axis() -> None:
    places = line(draw([Chart("A", ROUND, LOSS, [curve([8.0, 4.0, 2.0, 1.0])])], "t"))
    steps = [below[1] - above[1] for above, below in zip(places, places[1:], strict=False)]
    # Places are written with one decimal.
    assert steps == pytest.approx([steps[0]] * 3, abs=0.11)
    assert steps[0] > 40
    across = [right[0] - left[0] for left, right in zip(places, places[1:], strict=False)]
    assert across == pytest.approx([across[0]] * 3, abs=0.11)


@pytest.mark.parametrize("is_log", [False, True])
@pytest.mark.parametrize("y", [[1.0], [0.8, 0.8], [0.8, 0.8 + 1e-16, 0.8], [1e-9, 1e9]])
def test_every_point_is_within_the_frame(y: list[float], is_log: bool) -> None:
    page = draw([Chart("A", ROUND, Axis("loss", is_log=is_log), [curve(y)])], "t")
    for across, down in line(page):
        assert LEFT <= across <= WIDTH and TOP <= down <= HEIGHT


def test_values_that_differ_by_rounding_alone_are_drawn_as_equal() -> None:
    places = line(draw([Chart("A", ROUND, Axis("share"), [curve([0.8, 0.8 + 2e-16])])], "t"))
    assert places[0][1] == places[1][1]


def test_what_was_not_measured_is_a_gap_and_is_not_said() -> None:
    page = draw(
        [Chart("A", ROUND, LOSS, [curve([4.0, math.nan, 1.0]), curve([math.nan], "b")])], "t"
    )
    assert len(line(page)) == 2
    block = re.search(r'<script type="application/json">(.*?)</script>', page)
    assert block
    values = json.loads(block[1])
    assert values["curves"] == [{"name": "a", "said": ["4", None, "1"]}]
    assert values["at"] == ["round 0", "round 1", "round 2"]
    assert values["x"] == sorted(values["x"])


def test_a_chart_of_nothing_says_so() -> None:
    assert "Nothing was measured" in draw([Chart("A", ROUND, LOSS, [curve([math.nan])])], "t")


def test_a_band_has_both_edges_and_does_not_flatten_the_curve() -> None:
    wide = curve([1.0, 2.0], low=[1e-12, 1.9], high=[1e9, 2.1])
    page = draw([Chart("A", ROUND, LOSS, [wide])], "t")
    assert 'class="band"' in page
    top, foot = sorted(down for _, down in line(page))
    assert foot - top > 100


def test_charts_of_one_row_can_share_a_frame() -> None:
    low, high = curve([1.0, 1.1]), curve([9.0, 9.1])
    alone = line(draw([Chart("A", ROUND, LOSS, [low])], "t"))
    framed = line(draw([Chart("A", ROUND, LOSS, [low], framed_by=[low, high])], "t"))
    assert abs(framed[0][1] - framed[1][1]) < abs(alone[0][1] - alone[1][1]) / 5


def test_numbers_are_written_for_people() -> None:
    assert figure(-0.0001, 1).shown == "0.0"
    assert ends(-0.01, 0.01, 1).shown == "0.0 to 0.0"
    assert ends(math.nan, 1.0).value is None
    assert (size(999), size(129_984), size(2.5e6), size(None)) == (
        "999 B",
        "130 kB",
        "2.5 MB",
        "not measured",
    )
    assert (duration(59.6), duration(125), duration(9000)) == ("60 s", "2 min", "2.5 h")

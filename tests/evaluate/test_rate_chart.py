"""The chart of a range test: a file of its own that shows what was tried and what is suggested."""

from __future__ import annotations

import math
from collections.abc import Sequence
from xml.etree import ElementTree

import numpy as np
import pytest

from foveal.core.errors import OutOfRange
from foveal.evaluate.rate_chart import HEIGHT, LEFT, TOP, WIDTH, Mark, rate_chart

RATES = np.geomspace(1e-6, 1.0, 61).tolist()
LOSSES = [1.0 - 0.1 * n for n in range(6)] + [0.5 + 0.2 * n for n in range(55)]


def drawn(
    marks: Sequence[Mark] = (),
    losses: Sequence[float] = LOSSES,
    dots: Sequence[float] | None = None,
    notes: Sequence[str] = (),
) -> ElementTree.Element:
    dots = losses if dots is None else dots
    return ElementTree.fromstring(rate_chart(RATES, dots, losses, marks, notes=notes))


def of_class(chart: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    """Return what is drawn in the panel; the legend's signs stand in groups of their own."""
    keys = [each for group in chart if group.get("transform") for each in group]
    return [each for each in chart.iter()
            if each not in keys and each.get("class", "").split()[:1] == [name]]  # fmt: skip


def words(chart: ElementTree.Element) -> list[str]:
    return ["".join(each.itertext()) for each in chart.iter() if each.tag.endswith("text")]


def points(chart: ElementTree.Element) -> list[tuple[float, float]]:
    (line,) = of_class(chart, "curve")
    return [tuple(map(float, pair.split(","))) for pair in line.attrib["points"].split()]  # type: ignore[misc]  # pairs


def test_every_step_is_a_dot_and_a_point_of_the_line() -> None:
    chart = drawn()
    assert len(of_class(chart, "batch")) == len(points(chart)) == len(RATES)


def test_rates_lie_on_a_logarithmic_axis_with_their_decades_named() -> None:
    across = [x for x, _ in points(drawn())]
    np.testing.assert_allclose(np.diff(across), WIDTH / 60, atol=0.11)
    assert {"1e-6", "1e-5", "1e-4", "1e-3", "1e-2", "0.1", "1"} <= set(words(drawn()))


def test_a_higher_loss_lies_higher_and_the_fall_fills_a_quarter_of_the_chart_or_more() -> None:
    heights = [y for _, y in points(drawn())]
    assert heights[0] < heights[5]  # SVG counts from the top
    assert HEIGHT / 4 <= heights[5] - heights[0] < 200
    assert min(heights) < TOP  # what lies above is cut
    clipped = [each for each in drawn() if each.get("clip-path") == "url(#panel)"]
    assert len(of_class(clipped[0], "curve")) == 1


def test_dots_around_the_fall_are_in_the_chart_and_those_outside_are_arrows_at_its_edge() -> None:
    dots = [*LOSSES[:20], *[0.5] * 41]
    dots[3], dots[8], dots[9], dots[10] = 0.1, 2.3, 50.0, -50.0
    chart = drawn(dots=dots)
    arrows = [each for each in of_class(chart, "batch") if "outside" in each.attrib["class"]]
    inside = [each for each in of_class(chart, "batch") if each not in arrows]
    assert all(TOP <= float(each.attrib["cy"]) <= TOP + HEIGHT for each in inside)
    edges = [each.attrib["d"].split()[1] for each in arrows]
    assert edges.count(str(TOP + HEIGHT)) == 1
    assert edges[-1] == str(TOP)
    assert len(inside) + len(arrows) == len(RATES)
    columns = [float(each.attrib["cx"]) for each in inside]
    assert any(x == pytest.approx(LEFT + WIDTH * 3 / 60, abs=0.06) for x in columns)
    assert any(f"outside the chart ({len(arrows)})" in text for text in words(chart))
    assert not any("outside" in text for text in words(drawn(losses=[1.0] * 61)))


def test_one_wild_dot_does_not_press_the_curve_flat() -> None:
    for wild in (1e6, -1e6, math.inf):
        heights = [y for _, y in points(drawn(dots=[*LOSSES[:8], wild, *LOSSES[9:]]))]
        assert heights[5] - heights[0] >= HEIGHT / 4


def test_notes_stand_below_the_title() -> None:
    assert {"how to", "<read> it"} <= set(words(drawn(notes=("how to", "<read> it"))))


def test_marks_stand_at_their_rates_and_are_explained() -> None:
    chart = drawn([Mark(1e-3, "as it was set"), Mark(1e-2, "suggested", chosen=True)])
    (chosen,) = of_class(chart, "chosen")
    assert float(chosen.attrib["x1"]) == pytest.approx(LEFT + WIDTH * 4 / 6, abs=0.06)
    assert len(of_class(chart, "mark")) == 1
    keys = [each.get("class") for group in chart if group.get("transform") for each in group]
    assert keys == ["mark", "said", "chosen", "said", "batch", "said", *keys[6:]]
    assert {"as it was set: 1e-3", "suggested: 1e-2"} <= set(words(chart))


def test_marks_outside_the_rates_are_left_out() -> None:
    chart = drawn([Mark(10.0, "far")])
    assert of_class(chart, "mark") == []
    assert not any("far" in text for text in words(chart))


def test_it_loads_nothing_and_shows_names_as_they_are() -> None:
    text = rate_chart(RATES, LOSSES, LOSSES, title="<script>&", axis='a "b"')
    assert text.replace("http://www.w3.org/2000/svg", "").count("http") == 0
    assert "<script>" not in text
    assert {"<script>&", 'a "b"'} <= set(words(ElementTree.fromstring(text)))


@pytest.mark.parametrize(
    "losses",
    [
        [1.0] * 61,
        [0.0] * 61,
        LOSSES[::-1],
        [*LOSSES[:60], math.inf],
        [1e-9 * n for n in range(61)],
    ],
)
def test_any_course_can_be_drawn(losses: list[float]) -> None:
    found = points(drawn(losses=losses))
    assert len(found) == sum(map(math.isfinite, losses))
    assert np.isfinite(found).all()


def test_one_point_is_no_line() -> None:
    with pytest.raises(OutOfRange, match="at least two points"):
        rate_chart([1.0], [1.0], [1.0])

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from foveal.evaluate import charts
from foveal.evaluate.interval import Interval
from foveal.evaluate.judgement import ReliabilityBin
from foveal.evaluate.report import CutPicture


def parts(drawing: str, kind: str) -> list[dict[str, str]]:
    """Return the attributes of every element of this class."""
    plain = drawing.replace("<svg ", '<svg xmlns:x="x" ', 1)
    return [e.attrib for e in ElementTree.fromstring(plain).iter() if e.get("class") == kind]


@pytest.mark.parametrize("draw", [charts.track, charts.bar])
class TestTrackAndBar:
    def test_draws_value_and_interval_where_they_lie(self, draw) -> None:  # type: ignore[no-untyped-def]
        drawing = str(draw(Interval(0.5, 0.25, 0.75)))
        assert "500" in drawing
        assert "250" in drawing

    def test_stays_inside_its_box(self, draw) -> None:  # type: ignore[no-untyped-def]
        numbers = re.findall(r'(?:x|x1|x2)="(-?[\d.]+)"', str(draw(Interval(1.4, -0.2, 1.9))))
        assert all(0 <= float(number) <= charts.LONG for number in numbers)

    def test_without_a_number_draws_the_rail_alone(self, draw) -> None:  # type: ignore[no-untyped-def]
        drawing = str(draw(Interval(None)))
        assert parts(drawing, "rail")
        for kind in ("mark", "fill", "range", "whisker"):
            assert not parts(drawing, kind)


def test_a_track_shows_what_the_value_is_compared_with() -> None:
    drawing = str(charts.track(Interval(0.9, 0.8, 0.95), rivals=[0.1, 0.6]))
    assert [part["x1"] for part in parts(drawing, "rival")] == ["100", "600"]
    assert [(part["x"], part["width"]) for part in parts(drawing, "range")] == [("800", "150")]


class TestReliability:
    BINS = (
        ReliabilityBin(low=0, high=0.5, count=0, confidence=None, accuracy=Interval(None)),
        ReliabilityBin(
            low=0.5, high=1, count=9, confidence=0.75, accuracy=Interval(0.75, 0.4, 0.9)
        ),
    )

    def test_puts_a_well_calibrated_dot_on_the_ideal_line(self) -> None:
        drawing = str(charts.reliability(self.BINS))
        (dot,) = parts(drawing, "dot")
        (ideal,) = parts(drawing, "ideal")
        x1, y1, x2, y2 = (float(ideal[end]) for end in ("x1", "y1", "x2", "y2"))
        assert float(dot["cx"]) == pytest.approx(x1 + 0.75 * (x2 - x1), abs=0.1)
        assert float(dot["cy"]) == pytest.approx(y1 + 0.75 * (y2 - y1), abs=0.1)
        assert "9 answers, 75% sure on the mean: 75% of them right" in drawing

    def test_draws_a_column_of_images_for_every_bin(self) -> None:
        columns = parts(str(charts.reliability(self.BINS)), "count")
        assert [float(column["height"]) > 0 for column in columns] == [False, True]

    def test_of_nothing_is_an_empty_diagram(self) -> None:
        assert parts(str(charts.reliability(())), "ideal")


def test_the_frame_of_a_crop_lies_where_the_picture_is_kept() -> None:
    picture = CutPicture(path="a", thumbnail=b"jpeg", size=(64, 48), frame=(8, 3, 56, 45))
    (frame,) = parts(str(charts.crop_frame(picture)), "frame")
    assert [frame[name] for name in ("x", "y", "width", "height")] == ["8", "3", "48", "42"]

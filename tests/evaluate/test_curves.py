"""The course of a training as a drawing, and as a file that anybody may have edited."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import pytest

from foveal.core.errors import OutOfRange
from foveal.core.settings import to_mapping
from foveal.evaluate.curves import HEIGHT as TALL
from foveal.evaluate.curves import (
    LEFT,
    TOP,
    Course,
    Epoch,
    course_in,
    loss_curves,
    rate_curve,
    score_curves,
)
from foveal.evaluate.curves import WIDTH as WIDE


def course(kept: int | None = 2, **more: float) -> Course:
    rows = [(1, 1e-4, 1.5, 1.2, 0.5), (2, 5e-4, 0.9, 0.8, 0.75), (3, 1e-5, 0.7, 1.0, 0.7)]
    epochs = tuple(
        Epoch(number=n, rate=r, train_loss=t, val_loss=v, val_top1=a) for n, r, t, v, a in rows
    )
    return Course(epochs=epochs, kept=kept, **more)


def elements(drawing: str, kind: str) -> list[dict[str, str]]:
    return [e.attrib for e in ElementTree.fromstring(str(drawing)).iter() if e.get("class") == kind]


def points(drawing: str, kind: str) -> list[tuple[float, float]]:
    (line,) = elements(drawing, f"curve {kind}")
    return [tuple(map(float, pair.split(","))) for pair in line["points"].split()]  # type: ignore[misc]


def test_losses_fall_downwards_and_epochs_go_to_the_right() -> None:
    (x1, y1), (x2, y2), (x3, y3) = points(loss_curves(course()), "train")
    assert LEFT == x1 < x2 < x3 == LEFT + WIDE
    assert TOP < y1 < y2 < y3 < TOP + TALL
    (_, v1), (_, v2), (_, v3) = points(loss_curves(course()), "val")
    assert v1 < v3 < v2


def test_the_kept_epoch_is_marked_where_it_stands() -> None:
    for draw in (loss_curves, score_curves, rate_curve):
        (mark,) = elements(draw(course(kept=3)), "kept")
        assert float(mark["x1"]) == float(mark["x2"]) == LEFT + WIDE


def test_nothing_is_marked_where_no_epoch_was_kept() -> None:
    for draw in (loss_curves, score_curves, rate_curve):
        drawing = draw(course(kept=None))
        assert not elements(drawing, "kept")
        assert "<circle" not in drawing
        assert "polyline" in drawing
    assert course(kept=None).best is None


def test_the_probe_stands_beside_where_it_is_known() -> None:
    drawing = score_curves(course(probe_top1=0.7))
    (rival,) = elements(drawing, "rival")
    assert float(rival["y1"]) == points(drawing, "val")[2][1]
    assert not elements(score_curves(course()), "rival")


def test_one_epoch_alone_can_be_drawn() -> None:
    one = Course(
        epochs=(Epoch(number=1, rate=1e-3, train_loss=1.0, val_loss=1.0, val_top1=0.5),), kept=1
    )
    assert points(score_curves(one), "val") == [(LEFT + WIDE / 2, TOP + TALL / 2)]


def test_an_epoch_that_is_not_there_cannot_have_been_kept() -> None:
    with pytest.raises(OutOfRange, match="kept"):
        course(kept=4)


@pytest.mark.parametrize(
    "numbers", [[], [1, 1], [2, 1], [0, 1], list(range(1, 2_002))], ids=lambda n: str(n[:4])
)
def test_epochs_out_of_order_or_without_end_are_refused(numbers: list[int]) -> None:
    one = course().epochs[0]
    with pytest.raises(OutOfRange, match="epochs"):
        Course(epochs=tuple(replace(one, number=n) for n in numbers), kept=1)


@pytest.mark.parametrize("name", ["rate", "train_loss", "val_loss", "val_top1"])
@pytest.mark.parametrize("wrong", [-0.1, float("nan"), float("inf"), 1e300])
def test_numbers_that_cannot_be_drawn_are_refused(name: str, wrong: float) -> None:
    with pytest.raises(OutOfRange, match=name):
        replace(course().epochs[0], **{name: wrong})


def labels(drawing: str) -> list[str]:
    """Return the numbers on the upright axis, from below."""
    texts = [
        e for e in ElementTree.fromstring(str(drawing)).iter() if e.get("text-anchor") == "end"
    ]
    return [str(e.text) for e in sorted(texts, key=lambda e: -float(e.attrib["y"]))]


def flat(**numbers: float) -> Course:
    values = {"rate": 1e-4, "train_loss": 1.0, "val_loss": 1.0, "val_top1": 0.9, **numbers}
    return Course(epochs=tuple(Epoch(number=n, **values) for n in (1, 2)), kept=1)


def test_the_axis_is_marked_with_round_numbers() -> None:
    assert labels(loss_curves(course())) == ["0.8", "1.0", "1.2", "1.4"]
    assert labels(score_curves(course())) == ["50%", "55%", "60%", "65%", "70%", "75%"]
    assert labels(rate_curve(course())) == ["0", "0.0001", "0.0002", "0.0003", "0.0004", "0.0005"]


@pytest.mark.parametrize("value", [0.0, 1e-320, 1e-12, 1e-7, 3e-4, 0.995, 1.0])
@pytest.mark.parametrize(
    ("draw", "name"),
    [(loss_curves, "val_loss"), (rate_curve, "rate"), (score_curves, "val_top1")],
)
def test_a_course_that_never_moves_is_drawn_with_labels_that_differ(
    draw: Callable[[Course], str], name: str, value: float
) -> None:
    drawing = draw(flat(**{"train_loss": value, name: value}))
    told = labels(drawing)
    assert len(told) == len(set(told)) >= 2
    assert max(map(len, told)) <= 7, "longer ones are cut off"
    kind = "rate" if name == "rate" else "val"
    assert all(TOP <= y <= TOP + TALL for _, y in points(drawing, kind))
    assert not re.search("nan|inf", drawing)


class TestReading:
    def values(self, **changes: Any) -> dict[str, Any]:
        made = to_mapping(course(probe_top1=0.7))
        return {**json.loads(json.dumps(made)), **changes}

    def test_what_was_written_is_read_again(self) -> None:
        assert course_in(self.values()) == course(probe_top1=0.7)
        told = self.values(sentence="All of it.", later="what a later version adds")
        assert course_in(told) == replace(course(probe_top1=0.7), sentence="All of it.")

    @pytest.mark.parametrize(
        "changes",
        [
            {"epochs": []},
            {"epochs": "many"},
            {"epochs": [{"number": 1}]},
            {"epochs": [{"number": 1, "rate": "1", "train_loss": 1, "val_loss": 1, "val_top1": 1}]},
            {"kept": 9},
            {"kept": "2"},
            {"probe_top1": 70},
            {"probe_loss": float("nan")},
            {"sentence": ["a"]},
            {"sentence": object()},
        ],
        ids=str,
    )
    def test_nonsense_is_no_course(self, changes: dict[str, Any]) -> None:
        assert course_in(self.values(**changes)) is None

    @pytest.mark.parametrize("value", [None, 5, "course", [], {}])
    def test_what_is_no_course_at_all_is_none(self, value: object) -> None:
        assert course_in(value) is None

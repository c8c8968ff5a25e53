"""The course of a training as a drawing."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from foveal.core.errors import OutOfRange
from foveal.evaluate.curves import HEIGHT as TALL
from foveal.evaluate.curves import LEFT, TOP, Course, Epoch, loss_curves, rate_curve, score_curves
from foveal.evaluate.curves import WIDTH as WIDE


def course(kept: int = 2, **more: float) -> Course:
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

"""Settings of the probe: nonsense is refused at birth."""

from __future__ import annotations

from typing import Any

import pytest

from foveal.core.errors import OutOfRange, UnknownName
from foveal.train.head.settings import ProbeSettings


@pytest.mark.parametrize(
    ("field", "value"),
    [("folds", 1), ("choice_rows", 10), ("class_weights", "some"), ("features", " ")],
)
def test_a_value_that_cannot_work_is_named(field: str, value: object) -> None:
    wrong: dict[str, Any] = {field: value}
    with pytest.raises(OutOfRange, match=field):
        ProbeSettings(**wrong)


def test_an_unknown_head_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'probe'"):
        ProbeSettings(head="prob")


def test_auto_compares_every_head_the_simplest_first() -> None:
    assert ProbeSettings(head="auto").heads()[:2] == ("prototype", "probe")
    assert ProbeSettings().heads() == ("probe",)


@pytest.mark.parametrize(
    ("asked", "images", "folds"), [(None, 999, 5), (None, 1000, 3), (4, 10, 4), (4, 5000, 4)]
)
def test_few_images_are_cut_into_more_folds(asked: int | None, images: int, folds: int) -> None:
    assert ProbeSettings(folds=asked).folds_of(images) == folds

"""`Preprocess` refuses nonsense at birth and rounds as timm does."""

from __future__ import annotations

import math

import pytest

from foveal.core.errors import OutOfRange
from foveal.core.settings import from_mapping, to_mapping
from foveal.image.preprocess import Preprocess


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("size_px", 15),
        ("crop", 0.0),
        ("crop", 1.01),
        ("crop", math.nan),
        ("shape", "stretch"),
        ("interpolation", "nearest"),
        ("mean", (0.5, 0.5)),
        ("mean", (0.5, 0.5, math.inf)),
        ("std", (0.5, 0.0, 0.5)),
        ("std", (0.5, 0.5)),
    ],
)
def test_a_value_that_cannot_work_is_refused_with_its_name(field: str, value: object) -> None:
    with pytest.raises(OutOfRange) as error:
        Preprocess(**{field: value})
    assert error.value.field == field


@pytest.mark.parametrize(
    ("size_px", "crop", "resized"),
    [(224, 0.875, 256), (224, 0.95, 235), (224, 0.9, 248), (128, 1.0, 128), (299, 0.875, 341)],
)
def test_the_resized_side_is_cut_off_as_timm_cuts_it_off(
    size_px: int, crop: float, resized: int
) -> None:
    assert Preprocess(size_px=size_px, crop=crop).resize_px == resized


def test_it_survives_a_trip_through_json() -> None:
    record = Preprocess(size_px=96, crop=1.0, shape="pad", interpolation="bilinear")
    assert from_mapping(Preprocess, to_mapping(record), where="a file") == record

"""Deep grey becomes eight bits, whatever the sensor."""

from __future__ import annotations

import numpy as np
import pytest

from foveal.core.errors import BrokenImage
from foveal.image.depth import eight_bits


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_a_sensor_of_any_depth_spans_black_to_white(bits: int) -> None:
    ramp = np.linspace(0, 2**bits - 1, 256).round().astype(np.uint16)[None]
    np.testing.assert_array_equal(eight_bits(ramp)[0], np.arange(256))


def test_an_evenly_grey_picture_keeps_its_grey_instead_of_being_stretched() -> None:
    assert set(eight_bits(np.full((4, 4), 32_896, dtype=np.uint16)).flat) == {128}


def test_the_byte_order_makes_no_difference() -> None:
    values = np.array([[0, 1000, 65_535]], dtype="<u2")
    np.testing.assert_array_equal(eight_bits(values), eight_bits(values.astype(">u2")))


def test_whole_numbers_stored_as_fractions_are_whole_numbers() -> None:
    assert eight_bits(np.array([[0.0, 51.0, 255.0]])).tolist() == [[0, 51, 255]]


def test_values_without_black_and_white_are_stretched() -> None:
    assert eight_bits(np.array([[-10.0, 0.0, 10.0]])).tolist() == [[0, 128, 255]]
    assert eight_bits(np.array([[0, 100_000]], dtype=np.int32)).tolist() == [[0, 255]]


def test_a_constant_without_black_and_white_is_black() -> None:
    assert set(eight_bits(np.full((2, 2), -3.5)).flat) == {0}


def test_what_is_no_number_is_black_and_infinity_is_white() -> None:
    values = np.array([[np.nan, -np.inf, 0.0, 1.0, np.inf]], dtype=np.float32)
    assert eight_bits(values).tolist() == [[0, 0, 0, 255, 255]]


def test_nothing_but_nan_is_no_picture() -> None:
    with pytest.raises(BrokenImage, match="none of its values is a number"):
        eight_bits(np.full((2, 2), np.nan))

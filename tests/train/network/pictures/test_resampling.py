"""Resampled: the drawn map read back from pictures whose colours are coordinates."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from foveal.train.network.pictures.resampling import Resampled

SIDE, SIZE = 96, 80


def coordinates(side: int = SIDE) -> Tensor:
    """Red is x and green is y, from 0 to 255."""
    ramp = torch.linspace(0, 255, side).round().to(torch.uint8)
    canvas = torch.zeros(3, side, side, dtype=torch.uint8)
    canvas[0], canvas[1] = ramp[None, :], ramp[:, None]
    return canvas


def maps(look: Resampled, count: int = 80) -> np.ndarray:
    """Return the linear parts (n, 2, 2) of the maps that were drawn, in canvases per picture."""
    torch.manual_seed(0)
    out = []
    for _ in range(count):
        seen = look(coordinates()).float().numpy()
        middle = slice(SIZE // 4, -SIZE // 4)  # far from what lies beyond
        reach = 255 * (SIZE // 2 - 1) / SIZE
        right = seen[:2, :, middle][:, :, -1] - seen[:2, :, middle][:, :, 0]
        down = seen[:2, middle][:, -1] - seen[:2, middle][:, 0]
        out.append(
            np.stack([right[:, middle].mean(axis=1), down[:, middle].mean(axis=1)], 1) / reach
        )
    return np.array(out)


def test_a_look_at_all_of_it_is_the_canvas_itself() -> None:
    canvas = torch.randint(0, 256, (3, SIZE, SIZE), dtype=torch.uint8)
    look = Resampled(size_px=SIZE, area=(1.0, 1.0), beyond="border")
    assert torch.equal(look(canvas), canvas)


def test_areas_fill_the_range_that_was_given() -> None:
    areas = np.linalg.det(maps(Resampled(size_px=SIZE, area=(0.3, 0.8), beyond="border")))
    assert 0.29 < areas.min() < 0.37
    assert 0.73 < areas.max() < 0.82


def test_crops_lie_anywhere_on_the_canvas_and_nowhere_else() -> None:
    look = Resampled(size_px=SIZE, area=(0.25, 0.25), beyond="border")
    torch.manual_seed(0)
    seen = torch.stack([look(coordinates()) for _ in range(200)])[:, :2].float()
    low, high = seen.amin(dim=(2, 3)), seen.amax(dim=(2, 3))
    assert (high - low - 127).abs().max() < 5  # always half of a side, so nothing from beyond
    assert (low.amin(dim=0) < 5).all()
    assert (high.amax(dim=0) > 250).all()
    assert np.corrcoef(low.T.numpy())[0, 1] < 0.3  # x and y are drawn apart


def test_aspects_go_both_ways_up_to_the_one_given() -> None:
    look = Resampled(size_px=SIZE, area=(0.4, 0.4), aspect=2.0, beyond="border")
    found = maps(look)
    aspects = found[:, 0, 0] / found[:, 1, 1]
    assert 0.48 < aspects.min() < 0.6
    assert 1.7 < aspects.max() < 2.1
    assert 0.35 < (aspects > 1).mean() < 0.65


def test_it_turns_both_ways_up_to_the_angle_given() -> None:
    look = Resampled(size_px=SIZE, area=(0.3, 0.3), turn=20, beyond="border")
    found = maps(look)
    degrees = np.degrees(np.arctan2(found[:, 1, 0], found[:, 0, 0]))
    assert -21 < degrees.min() < -15
    assert 15 < degrees.max() < 21
    np.testing.assert_allclose(np.linalg.det(found), 0.3, atol=0.02)  # nothing but turned


def test_it_shears_both_ways_up_to_the_angle_given() -> None:
    found = maps(Resampled(size_px=SIZE, area=(0.3, 0.3), shear=20, beyond="border"))
    shears = found[:, 0, 1] / found[:, 1, 1]
    assert math.tan(math.radians(15)) < shears.max() < math.tan(math.radians(21))
    assert math.tan(math.radians(15)) < -shears.min() < math.tan(math.radians(21))
    np.testing.assert_allclose(found[:, 1, 0], 0, atol=0.02)


def test_it_mirrors_half_of_the_time_and_only_left_and_right() -> None:
    found = maps(Resampled(size_px=SIZE, area=(0.5, 0.9), mirror=True, beyond="border"), 200)
    assert 0.4 < (found[:, 0, 0] < 0).mean() < 0.6
    assert (found[:, 1, 1] > 0).all()
    assert (maps(Resampled(size_px=SIZE, area=(0.5, 0.9), beyond="border"))[:, 0, 0] > 0).all()


@pytest.mark.parametrize("beyond", ["border", "reflection"])
def test_what_lies_beyond_the_canvas_has_its_colours(beyond: str) -> None:
    look = Resampled(size_px=SIZE, area=(0.8, 2.0), shift=0.2, turn=180, beyond=beyond)
    canvas = torch.full((3, SIDE, SIDE), 200, dtype=torch.uint8)
    torch.manual_seed(0)
    assert {int(value) for _ in range(20) for value in look(canvas).unique()} == {200}


def test_a_shift_goes_that_far_beyond_the_canvas() -> None:
    look = Resampled(size_px=100, area=(1.0, 1.0), shift=0.1, beyond="border")
    canvas = torch.zeros(3, 100, 100, dtype=torch.uint8)
    canvas[..., 0] = 255  # what lies beyond on the left is white
    torch.manual_seed(0)
    white = [int((look(canvas)[0, 50] > 127).sum()) for _ in range(200)]
    assert max(white) in {10, 11}


def test_a_much_larger_canvas_is_averaged_and_not_sampled() -> None:
    board = torch.zeros(3, 320, 320, dtype=torch.uint8)
    board[:, ::2, ::2] = board[:, 1::2, 1::2] = 255
    seen = Resampled(size_px=64, area=(0.9, 1.0), turn=10, beyond="reflection")(board).float()
    assert (seen - 127.5).abs().max() < 20

"""Occlusion: covering what matters costs evidence, covering the rest does not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from foveal.core.errors import OutOfRange
from foveal.explain.occlusion import occlusion


def bright_in(rows: slice, columns: slice) -> Callable[[np.ndarray], np.ndarray]:
    """Return a model that looks at the mean brightness of one rectangle and nothing else."""

    def logits(pixels: np.ndarray) -> np.ndarray:
        seen = pixels[:, rows, columns].mean(axis=(1, 2, 3)).astype(np.float32)
        return np.stack([seen, np.zeros_like(seen)], axis=1)

    return logits


@pytest.fixture
def picture() -> np.ndarray:
    """Grey, with a white square in the cell (1, 2) of a grid of 4."""
    picture = np.full((64, 64, 3), 60, np.uint8)
    picture[16:32, 32:48] = 255
    return picture


def test_the_cell_that_the_answer_comes_from_loses_most(picture: np.ndarray) -> None:
    heat = occlusion(bright_in(slice(16, 32), slice(32, 48)), picture, grid=4)
    assert heat.shape == (4, 4)
    assert heat.dtype == np.float32
    assert np.unravel_index(heat.argmax(), heat.shape) == (1, 2)


def test_a_cell_far_from_it_costs_exactly_nothing(picture: np.ndarray) -> None:
    heat = occlusion(bright_in(slice(16, 32), slice(32, 48)), picture, grid=4)
    assert heat[3, 0] == heat[3, 3] == heat[1, 0] == 0
    assert 0 < heat[1, 1] < heat[1, 2]  # a cover is a little wider than its cell


def test_the_loss_is_of_the_logit_above_the_mean_logit(picture: np.ndarray) -> None:
    logits = bright_in(slice(0, 64), slice(0, 64))
    heat = occlusion(logits, picture, grid=1)
    whole = logits(picture[None])[0]
    fill = picture.reshape(-1, 3).mean(axis=0).round()
    assert heat[0, 0] == pytest.approx((whole[0] - fill.mean()) / 2, abs=1e-3)


def test_the_picture_is_not_touched_and_batches_change_nothing(picture: np.ndarray) -> None:
    before = picture.copy()
    logits = bright_in(slice(10, 40), slice(20, 50))
    heats = [occlusion(logits, picture, batch=batch) for batch in (1, 7, 64)]
    assert np.array_equal(picture, before)
    assert np.array_equal(heats[0], heats[1])
    assert np.array_equal(heats[0], heats[2])


def test_every_pixel_is_covered_by_some_cell(picture: np.ndarray) -> None:
    def logits(pixels: np.ndarray) -> np.ndarray:
        changed = (pixels != picture).any(axis=-1)
        covered.append(changed[1:] if len(pixels) == 1 else changed)
        return np.zeros((len(pixels), 2), np.float32)

    covered: list[np.ndarray] = []
    occlusion(logits, picture, grid=7, batch=49)
    assert np.concatenate(covered[1:]).any(axis=0).all()


@pytest.mark.parametrize("grid", [0, -1, 65])
def test_a_grid_finer_than_the_pixels_is_refused(picture: np.ndarray, grid: int) -> None:
    with pytest.raises(OutOfRange, match="cells along the side"):
        occlusion(bright_in(slice(0, 9), slice(0, 9)), picture, grid=grid)

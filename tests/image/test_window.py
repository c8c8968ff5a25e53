"""What is seen of a picture: rounded as torchvision and timm round."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from foveal.image.preprocess import Preprocess
from foveal.image.window import whole, window

SIDES = st.integers(1, 5000)
RECORDS = st.builds(
    Preprocess,
    size_px=st.integers(16, 512),
    crop=st.floats(0.3, 1.0),
    shape=st.sampled_from(["crop", "squash", "pad"]),
)


@given(SIDES, SIDES, RECORDS)
@example(3, 3, Preprocess(size_px=187, crop=1.0))  # 3 / 187 * 187 is more than 3
def test_the_window_lies_in_the_picture_and_its_place_on_the_square(
    width: int, height: int, preprocess: Preprocess
) -> None:
    seen = window(width, height, preprocess)
    left, top, right, bottom = seen.box
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    for start, length in zip(seen.position, seen.size, strict=True):
        assert length >= 1
        assert start >= 0
        assert start + length <= preprocess.size_px
    if preprocess.shape != "pad":
        assert seen.size == (preprocess.size_px, preprocess.size_px)
        assert seen.position == (0, 0)


@given(SIDES, SIDES, RECORDS)
def test_a_picture_lying_on_its_side_is_seen_alike(
    width: int, height: int, preprocess: Preprocess
) -> None:
    left, top, right, bottom = window(width, height, preprocess).box
    assert window(height, width, preprocess).box == (top, left, bottom, right)


@given(SIDES, SIDES, st.integers(16, 512), st.floats(0.3, 1.0))
def test_a_crop_keeps_the_aspect_up_to_the_rounding_of_the_resize(
    width: int, height: int, size_px: int, crop: float
) -> None:
    preprocess = Preprocess(size_px=size_px, crop=crop)
    left, top, right, bottom = window(width, height, preprocess).box
    shorter = min(width, height)
    kept = shorter * size_px / preprocess.resize_px
    assert min(right - left, bottom - top) == pytest.approx(kept)
    rounding = 1 + 1 / (preprocess.resize_px * max(width, height) / shorter - 1)
    assert kept - 1e-6 <= max(right - left, bottom - top) <= kept * rounding + 1e-6


def test_by_hand() -> None:
    crop = Preprocess(size_px=200, crop=0.8)  # resized to 250, of which 200 are kept
    assert window(500, 250, crop).box == (150, 25, 350, 225)
    squash = Preprocess(size_px=200, crop=0.8, shape="squash")
    assert window(500, 250, squash).box == (50, 25, 450, 225)
    pad = Preprocess(size_px=200, crop=1.0, shape="pad")
    seen = window(500, 250, pad)
    assert seen.box == (0, 0, 500, 250)
    assert (seen.size, seen.position) == ((200, 100), (0, 50))


def test_shrink_is_that_of_the_side_that_shrinks_less() -> None:
    assert whole(400, 300, (100, 150)).shrink == 2.0
    assert window(1000, 500, Preprocess(size_px=100, crop=1.0, shape="squash")).shrink == 5.0
    assert window(50, 50, Preprocess(size_px=100, crop=1.0)).shrink == 0.5

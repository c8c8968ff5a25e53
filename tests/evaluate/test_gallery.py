from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from foveal.evaluate.gallery import (
    AGAINST,
    FOR,
    MISTAKES,
    PER_CELL,
    SIDE_PX,
    heat_png,
    thumbnail,
    worth_showing,
)

ROWS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 3), st.floats(0, 1, width=32)), max_size=80
)


class TestWorthShowing:
    @given(ROWS)
    def test_names_every_row_once_and_the_surest_mistakes_first(
        self, rows: list[tuple[int, int, float]]
    ) -> None:
        truths, answers = (np.array([row[i] for row in rows], dtype=np.int64) for i in (0, 1))
        confidences = np.array([row[2] for row in rows], dtype=np.float64)
        order = worth_showing(truths, answers, confidences)
        assert sorted(order) == list(range(len(rows)))
        wrong = sorted((confidences[truths != answers]).tolist(), reverse=True)
        first = order[: min(MISTAKES, len(wrong))]
        assert all(truths[row] != answers[row] for row in first)
        assert [confidences[row] for row in first] == wrong[:MISTAKES]

    def test_serves_rare_cells_before_common_ones_get_more(self) -> None:
        # 200 mistakes of one kind, surer than the three of another kind, and ten right answers
        truths = np.array([0] * 200 + [1] * 3 + [2] * 10)
        answers = np.array([1] * 200 + [2] * 3 + [2] * 10)
        confidences = np.r_[np.full(200, 0.9), np.full(3, 0.5), np.linspace(0.5, 0.99, 10)]
        order = worth_showing(truths, answers, confidences)
        assert set(order[MISTAKES : MISTAKES + 3]) == {200, 201, 202}
        assert order[MISTAKES + 3 : MISTAKES + 13] == list(range(203, 213)), "least sure first"
        assert PER_CELL <= MISTAKES, "the common cell had its share among the first"

    def test_of_nothing_is_nothing(self) -> None:
        none = np.array([], dtype=np.int64)
        assert worth_showing(none, none, none.astype(np.float64)) == []


class TestThumbnail:
    @pytest.mark.parametrize(
        ("height", "width", "size"),
        [(640, 320, (SIDE_PX // 2, SIDE_PX)), (30, 20, (20, 30)), (224, 224, (SIDE_PX, SIDE_PX))],
    )
    def test_is_a_small_jpeg_of_the_same_aspect(
        self, height: int, width: int, size: tuple[int, int]
    ) -> None:
        pixels = np.full((height, width, 3), (200, 40, 90), dtype=np.uint8)
        image = Image.open(io.BytesIO(thumbnail(pixels)))
        assert (image.format, image.size) == ("JPEG", size)
        assert np.abs(np.asarray(image, dtype=int) - (200, 40, 90)).max() <= 4


class TestHeatPng:
    def test_shows_for_and_against_in_their_colours_and_strength_as_opacity(self) -> None:
        heat = np.array([[2.0, -1.0], [0.0, np.nan]], dtype=np.float32)
        rgba = np.asarray(Image.open(io.BytesIO(heat_png(heat))))
        assert rgba.shape == (2, 2, 4)
        assert tuple(rgba[0, 0, :3]) == FOR
        assert tuple(rgba[0, 1, :3]) == AGAINST
        assert rgba[0, 0, 3] == pytest.approx(2 * rgba[0, 1, 3], abs=1)
        assert rgba[1, :, 3].tolist() == [0, 0]

    @pytest.mark.parametrize("heat", [np.zeros((3, 5), np.float32), np.full((3, 5), np.inf)])
    def test_without_evidence_is_clear(self, heat: np.ndarray) -> None:
        assert np.asarray(Image.open(io.BytesIO(heat_png(heat))))[..., 3].max() == 0

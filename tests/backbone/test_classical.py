"""``classical`` against scikit-image: gradients, colours, sizes, batches, bytes."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from PIL import Image
from skimage.color import rgb2hsv
from skimage.feature import hog

from foveal.backbone.classical import (
    DEFAULT_PREPROCESS,
    FEATURES,
    GRADIENTS,
    GREY,
    classical,
    classical_graph,
    reducing_weights,
)
from foveal.backbone.spec import LAST, LAST_MAP
from foveal.core.errors import OutOfRange
from foveal.image.preprocess import Preprocess

Pixels = NDArray[np.uint8]


def embed(pixels_NHWC: Pixels, *blocks: str) -> list[NDArray[np.float32]]:
    backbone = classical(Preprocess(size_px=pixels_NHWC.shape[1]), threads=1)
    out = backbone.embed(pixels_NHWC, blocks or [LAST])
    return [out[name] for name in blocks or [LAST]]


def noise(count: int, size_px: int, seed: int = 0) -> Pixels:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, size_px, size_px, 3), dtype=np.uint8)


def real(shared: Path, size_px: int, every: int) -> Pixels:
    files = sorted((shared / "domains").glob("*/train/*/*"))[::every]
    assert len(files) >= 10
    size = (size_px, size_px)
    return np.stack([np.asarray(Image.open(file).convert("RGB").resize(size)) for file in files])


def reduced(pixels_HWC: Pixels) -> NDArray[np.float64]:
    """The 96 px picture in float64, where its arithmetic is exact as well."""
    weights = reducing_weights(len(pixels_HWC)).astype(np.float64)
    planes_CHW = pixels_HWC.transpose(2, 0, 1).astype(np.float64)
    return (weights @ planes_CHW @ weights.T).transpose(1, 2, 0)


def oracle_gradients(pixels_HWC: Pixels) -> NDArray[np.float64]:
    return hog(
        reduced(pixels_HWC) @ np.array(GREY),
        orientations=9,
        pixels_per_cell=(12, 12),
        cells_per_block=(2, 2),
        block_norm="L2-Hys",
    )


def oracle_colours(pixels_HWC: Pixels) -> NDArray[np.float64]:
    hsv = rgb2hsv(reduced(pixels_HWC)) / (1, 1, 255)
    shares = [np.histogram(hsv[..., i], 16, (0, 1))[0] / hsv[..., i].size for i in range(3)]
    return np.concatenate(shares)


class TestAgainstScikitImage:
    @pytest.mark.parametrize("size_px", [96, 224, 100, 64])
    def test_gradients_of_noise_are_its_hog(self, size_px: int) -> None:
        pixels = noise(4, size_px)
        (last,) = embed(pixels)
        expected = np.stack([oracle_gradients(picture) for picture in pixels])
        assert np.abs(last[:, :GRADIENTS] - expected).max() < 1e-4

    def test_gradients_of_real_pictures_are_its_hog(self, shared: Path) -> None:
        pixels = real(shared, 96, every=57)
        (last,) = embed(pixels)
        expected = np.stack([oracle_gradients(picture) for picture in pixels])
        assert np.abs(last[:, :GRADIENTS] - expected).max() < 1e-4

    def test_gradients_of_larger_real_pictures_differ_only_by_pixels_on_bin_edges(
        self, shared: Path
    ) -> None:
        """A grey that is equal in exact arithmetic may differ in its last float32 bit."""
        pixels = real(shared, 224, every=157)
        (last,) = embed(pixels)
        expected = np.stack([oracle_gradients(picture) for picture in pixels])
        wrong = np.abs(last[:, :GRADIENTS] - expected) > 1e-4
        assert wrong.mean() < 0.01

    @pytest.mark.parametrize("size_px", [96, 224])
    def test_colours_are_its_histogram(self, shared: Path, size_px: int) -> None:
        pixels = np.concatenate([noise(2, size_px), real(shared, size_px, every=157)])
        (last,) = embed(pixels)
        expected = np.stack([oracle_colours(picture) for picture in pixels])
        pixels_in_another_bin = np.abs(last[:, GRADIENTS:] - expected) * 96 * 96
        assert pixels_in_another_bin.max() < (0.01 if size_px == 96 else 3)

    @pytest.mark.parametrize("angle", range(0, 180, 10))
    def test_a_ramp_of_any_direction_falls_into_its_bin(self, angle: int) -> None:
        y, x = np.mgrid[-1:1:480j, -1:1:480j]  # five pixels to one: rounding averages out
        turn = np.deg2rad(angle + 5)
        ramp = 128 + 89 * (x * np.cos(turn) + y * np.sin(turn))
        pixels = np.repeat(ramp.round().astype(np.uint8)[None, :, :, None], 3, axis=3)
        (maps,) = embed(pixels, LAST_MAP)
        middle = maps[0, :9, 3, 3]
        assert middle.argmax() == (angle + 5) // 20
        assert (maps >= -1e-6).all()


class TestPlainPictures:
    @pytest.mark.parametrize("size_px", [96, 97, 224, 333])
    def test_a_flat_colour_has_no_gradient_at_all(self, size_px: int) -> None:
        pixels = np.full((1, size_px, size_px, 3), (201, 14, 97), dtype=np.uint8)
        (last,) = embed(pixels)
        assert not last[:, :GRADIENTS].any()

    @pytest.mark.parametrize(
        ("colour", "bins"),
        [
            ((0, 0, 0), (0, 0, 0)),
            ((255, 255, 255), (0, 0, 15)),
            ((128, 128, 128), (0, 0, 8)),
            ((255, 0, 0), (0, 15, 15)),
            ((0, 255, 0), (5, 15, 15)),  # a third of the circle
            ((0, 0, 255), (10, 15, 15)),
            ((255, 0, 1), (15, 15, 15)),  # the last hue before red
            ((255, 255, 0), (2, 15, 15)),  # a tie of red and green
            ((128, 64, 64), (0, 8, 8)),  # exactly on an edge of saturation: the upper bin
        ],
    )
    def test_one_colour_is_one_bin_each_of_hue_saturation_and_value(
        self, colour: tuple[int, int, int], bins: tuple[int, int, int]
    ) -> None:
        pixels = np.full((1, 96, 96, 3), colour, dtype=np.uint8)
        (last,) = embed(pixels)
        expected = np.zeros((3, 16))
        expected[np.arange(3), bins] = 1
        np.testing.assert_array_equal(last[0, GRADIENTS:].reshape(3, 16), expected)

    @pytest.mark.parametrize("size_px", [16, 96, 150, 224])
    def test_each_colour_histogram_sums_to_one(self, size_px: int) -> None:
        (last,) = embed(noise(3, size_px))
        sums = last[:, GRADIENTS:].reshape(3, 3, 16).sum(axis=2)
        np.testing.assert_allclose(sums, 1, atol=1e-6)

    def test_grey_weighs_the_colours_to_one_exactly(self) -> None:
        assert sum(GREY) == 1
        assert all((256 * weight).is_integer() for weight in GREY)


class TestReducing:
    @pytest.mark.parametrize("size_px", [16, 95, 97, 128, 224, 299, 640, 1000])
    def test_weights_are_exact_and_sum_to_one(self, size_px: int) -> None:
        weights = reducing_weights(size_px)
        assert weights.shape == (96, size_px)
        assert weights.min() >= 0
        np.testing.assert_array_equal(weights.sum(axis=1), 1)
        np.testing.assert_array_equal(weights * 256, np.round(weights * 256))

    def test_96_pixels_would_stay_as_they_are(self) -> None:
        np.testing.assert_array_equal(reducing_weights(96), np.eye(96))

    @pytest.mark.parametrize("size_px", [64, 150, 224, 512])
    def test_it_is_an_antialiased_resize_as_pillow_does(self, size_px: int) -> None:
        rng = np.random.default_rng(3)
        coarse = Image.fromarray(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8))
        picture = coarse.resize((size_px, size_px), Image.Resampling.BICUBIC)
        pillow = np.asarray(picture.resize((96, 96), Image.Resampling.BILINEAR), np.float64)
        difference = np.abs(reduced(np.asarray(picture)) - pillow)
        assert difference.mean() < 0.5
        assert difference.max() < 4


class TestTheBackbone:
    def test_last_is_the_map_block_by_block_then_the_colours(self) -> None:
        last, maps = embed(noise(3, 120), LAST, LAST_MAP)
        assert last.shape == (3, FEATURES) == (3, 1812)
        assert maps.shape == (3, 36, 7, 7)
        flat = maps.transpose(0, 2, 3, 1).reshape(3, -1)
        np.testing.assert_array_equal(last[:, :GRADIENTS], flat)

    @pytest.mark.parametrize("size_px", [96, 160])
    def test_the_same_picture_gives_the_same_bits_in_any_batch(self, size_px: int) -> None:
        pixels = noise(33, size_px)
        (whole,) = embed(pixels)
        for start, stop in [(0, 1), (1, 3), (3, 10), (10, 33), (32, 33)]:
            (part,) = embed(pixels[start:stop])
            np.testing.assert_array_equal(part, whole[start:stop])
        two_threads = classical(Preprocess(size_px=size_px), threads=2).embed(pixels, [LAST])
        np.testing.assert_array_equal(two_threads[LAST], whole)

    def test_no_pictures_give_no_rows(self) -> None:
        (last,) = embed(noise(0, 96))
        assert last.shape == (0, FEATURES)

    def test_the_spec_says_what_it_is(self) -> None:
        spec = classical().spec
        content = classical_graph(96).SerializeToString(deterministic=True)
        assert spec.name == "classical"
        assert spec.preprocess == DEFAULT_PREPROCESS
        assert spec.widths() == {LAST: 1812}
        assert spec.last_grid == 7
        assert not spec.last_is_mean
        assert spec.fingerprint == hashlib.sha256(content).hexdigest()

    def test_it_takes_the_preprocess_of_a_host(self) -> None:
        host = Preprocess(size_px=224, crop=0.875, shape="crop")
        assert classical(host).spec.preprocess == host
        assert classical(host).spec.fingerprint != classical().spec.fingerprint

    def test_a_side_that_no_preprocess_allows_is_refused(self) -> None:
        with pytest.raises(OutOfRange, match="size_px = 15 cannot work"):
            classical_graph(15)


class TestTheGraph:
    @pytest.mark.parametrize("size_px", [16, 96, 224])
    def test_it_is_valid_onnx_and_the_same_bytes_every_time(self, size_px: int) -> None:
        model = classical_graph(size_px)
        onnx.checker.check_model(model, full_check=True)
        again = classical_graph(size_px)
        assert again.SerializeToString(deterministic=True) == model.SerializeToString(
            deterministic=True
        )

    def test_no_graph_resizes_and_the_map_needs_no_colours(self) -> None:
        assert "Resize" not in {node.op_type for node in classical_graph(224).graph.node}
        only_map = classical().graph([LAST_MAP])
        assert "ScatterElements" not in {node.op_type for node in only_map.graph.node}

    def test_its_inner_names_cannot_clash_with_those_of_a_host(self) -> None:
        graph = classical_graph(224).graph
        names = {value for node in graph.node for value in node.output}
        names |= {tensor.name for tensor in graph.initializer}
        assert all(name.startswith("classical/") for name in names - {LAST, LAST_MAP})

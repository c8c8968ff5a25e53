"""The one way to a backbone's pixels: equal to torchvision's, and to itself at any scale."""

from __future__ import annotations

import math
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from foveal.core.errors import BrokenImage
from foveal.image import decode
from foveal.image.decode import TURNS
from foveal.image.pixels import GREY, cut_away, pixels, pixels_of_file, thumbnail
from foveal.image.preprocess import Preprocess
from foveal.image.window import window

if TYPE_CHECKING:
    from tests.image.conftest import Encoded, Photo

SIZES = [(500, 375), (375, 500), (256, 256), (257, 311), (90, 60), (33, 200), (1, 40), (7, 3)]


def _off(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.int16]:
    assert one.shape == other.shape
    return np.abs(one.astype(np.int16) - other.astype(np.int16))


class TestAgainstTorchvision:
    @pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
    @pytest.mark.parametrize("size", SIZES, ids=str)
    def test_crop_and_squash_are_its_resize_and_center_crop(
        self, size: tuple[int, int], interpolation: str, photo: Photo, encoded: Encoded
    ) -> None:
        transforms = pytest.importorskip("torchvision.transforms.v2")
        mode = transforms.InterpolationMode(interpolation)
        made = photo(*size)
        for size_px, crop in ((224, 0.875), (96, 0.95), (64, 1.0)):
            for shape in ("crop", "squash"):
                record = Preprocess(
                    size_px=size_px, crop=crop, shape=shape, interpolation=interpolation
                )
                resized = record.resize_px if shape == "crop" else [record.resize_px] * 2
                theirs = transforms.Compose(
                    [transforms.Resize(resized, mode), transforms.CenterCrop(size_px)]
                )(made)
                off = _off(pixels(encoded(made), record), np.asarray(theirs))
                assert off.mean() < 0.3, (size_px, shape)
                assert off.max() <= 2, (size_px, shape)

    @pytest.mark.parametrize("size", SIZES, ids=str)
    def test_pad_is_its_resize_by_the_longer_side_on_a_grey_square(
        self, size: tuple[int, int], photo: Photo, encoded: Encoded
    ) -> None:
        transforms = pytest.importorskip("torchvision.transforms.v2")
        made = photo(*size)
        scale = 128 / max(size)
        height, width = (max(1, int(side * scale + 1e-9)) for side in size[::-1])
        small = transforms.Resize([height, width], transforms.InterpolationMode.BICUBIC)(made)
        sheet = Image.new("RGB", (128, 128), (GREY, GREY, GREY))
        sheet.paste(small, ((128 - width) // 2, (128 - height) // 2))
        record = Preprocess(size_px=128, crop=1.0, shape="pad")
        off = _off(pixels(encoded(made), record), np.asarray(sheet))
        assert off.max() <= 1

    def test_pad_with_a_margin_cuts_the_longer_side_only(
        self, photo: Photo, encoded: Encoded
    ) -> None:
        record = Preprocess(size_px=64, crop=0.5, shape="pad")
        out = pixels(encoded(photo(200, 50)), record)  # resized to 128 × 32
        assert (out[:16] == GREY).all()
        assert (out[48:] == GREY).all()
        assert not (out[16:48] == GREY).all(axis=(0, 2)).any()


@pytest.mark.parametrize("shape", ["crop", "squash", "pad"])
@pytest.mark.parametrize("size", [*SIZES, (1, 1), (1, 4000), (4000, 1)], ids=str)
def test_any_picture_fills_the_square_with_bytes_of_its_own(
    size: tuple[int, int], shape: str, photo: Photo, encoded: Encoded
) -> None:
    out = pixels(encoded(photo(*size)), Preprocess(size_px=48, shape=shape))
    assert out.shape == (48, 48, 3)
    assert out.dtype == np.uint8
    assert out.flags.writeable
    assert out.flags.c_contiguous


def test_a_picture_smaller_than_the_square_is_enlarged(encoded: Encoded) -> None:
    out = pixels(encoded(Image.new("RGB", (5, 5), "red")), Preprocess(size_px=64))
    assert (out == (255, 0, 0)).all()


def test_a_file_and_its_bytes_give_the_same_bits(
    tmp_path: Path, photo: Photo, encoded: Encoded
) -> None:
    data = encoded(photo(700, 500), "JPEG")
    (tmp_path / "a.jpg").write_bytes(data)
    record = Preprocess(size_px=64)
    np.testing.assert_array_equal(pixels_of_file(tmp_path / "a.jpg", record), pixels(data, record))
    with pytest.raises(BrokenImage, match="the file is not there"):
        pixels_of_file(tmp_path / "b.jpg", record)


def test_upright_and_turned_files_give_the_same_pixels(photo: Photo, encoded: Encoded) -> None:
    upright = photo(301, 200)
    record = Preprocess(size_px=64)
    wanted = pixels(encoded(upright), record)
    for orientation in range(2, 9):
        undo = {6: 8, 8: 6}.get(orientation, orientation)
        data = encoded(upright.transpose(TURNS[undo]), orientation=orientation)
        np.testing.assert_array_equal(pixels(data, record), wanted)


class TestScaledJpeg:
    """Every picture within 1/255 on the mean and 4/255 at the 99th percentile of the full path."""

    @staticmethod
    def _off(
        data: bytes, record: Preprocess, monkeypatch: pytest.MonkeyPatch
    ) -> NDArray[np.int16] | None:
        """Return |scaled − full|, or None where this picture is not scaled."""
        scaled = decode.decode(data, lambda w, h: window(w, h, record))
        if scaled.box == scaled.seen.box:
            return None
        quick = pixels(data, record)
        with monkeypatch.context() as patch:
            patch.setattr(decode, "HEADROOM", math.inf)
            return _off(quick, pixels(data, record))

    @pytest.mark.parametrize("shape", ["crop", "squash", "pad"])
    def test_real_pictures_stay_within_the_promise(
        self, shape: str, shared: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        files = [
            *sorted((shared / "imagenet_samples_original").rglob("*.jpeg")),
            *sorted((shared / "imagenet_samples").rglob("*.jpg"))[::40],
            *sorted((shared / "domains" / "hymenoptera").rglob("*.jpg"))[::20],
            # These broke the promise while it was being measured: padding, then saturation.
            shared / "imagenet_samples/n03759954/n03759954_microphone.jpg",
            *(shared / "domains" / "hymenoptera").rglob("2792000093_e8ae0718cf.jpg"),
        ]
        scaled = 0
        for file in files:
            for interpolation in ("bilinear", "bicubic"):
                record = Preprocess(
                    size_px=24, crop=0.875, shape=shape, interpolation=interpolation
                )
                off = self._off(file.read_bytes(), record, monkeypatch)
                if off is not None:
                    scaled += 1
                    assert off.mean() <= 1, file
                    assert np.percentile(off, 99) <= 4, file
        assert scaled > 20  # the promise is not kept by never scaling

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_the_crop_is_that_of_the_true_size_however_the_file_is_turned(
        self,
        orientation: int,
        photo: Photo,
        encoded: Encoded,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        # 1203 × 907 is no multiple of 8, 4 or 2: at 1/8 the rest is most of a pixel.
        made = photo(1203, 907, seed=5).convert("L")
        data = encoded(made, "JPEG", orientation=orientation, quality=95)
        off = self._off(data, Preprocess(size_px=16, crop=0.6), monkeypatch)
        assert off is not None
        assert off.mean() < 0.2
        assert np.percentile(off, 99) <= 1


class TestCutAway:
    def test_a_crop_loses_what_the_square_leaves_out(self) -> None:
        assert cut_away(300, 200, Preprocess(crop=0.875)) == pytest.approx(1 / 3)
        assert cut_away(200, 300, Preprocess(crop=0.875)) == pytest.approx(1 / 3)
        assert cut_away(200, 200, Preprocess(crop=0.5)) == 0

    def test_the_margin_of_the_record_is_not_counted(self) -> None:
        for crop in (0.5, 0.875, 1.0):
            preprocess = Preprocess(size_px=200, crop=crop)
            left, top, right, bottom = window(600, 300, preprocess).box
            kept = (right - left) * (bottom - top) / (600 * 300)
            assert cut_away(600, 300, preprocess) == pytest.approx(1 - kept / crop**2, abs=0.01)

    @pytest.mark.parametrize("shape", ["squash", "pad"])
    def test_squash_and_pad_lose_nothing(self, shape: str) -> None:
        assert cut_away(300, 200, Preprocess(shape=shape)) == 0


class TestThumbnail:
    def test_the_whole_picture_fits_the_side(self, photo: Photo, encoded: Encoded) -> None:
        made = photo(400, 300)
        small = Image.open(BytesIO(thumbnail(encoded(made), 100)))
        assert (small.format, small.mode, small.size) == ("JPEG", "RGB", (100, 75))
        wanted = made.resize((100, 75), Image.Resampling.BICUBIC)
        assert _off(np.asarray(small), np.asarray(wanted)).mean() < 5

    def test_a_small_picture_is_not_enlarged(self, photo: Photo, encoded: Encoded) -> None:
        assert Image.open(BytesIO(thumbnail(encoded(photo(30, 20)), 100))).size == (30, 20)

    def test_a_thread_of_a_picture_keeps_a_pixel(self, photo: Photo, encoded: Encoded) -> None:
        assert Image.open(BytesIO(thumbnail(encoded(photo(1, 400)), 50))).size == (1, 50)

    def test_it_is_deterministic_and_carries_nothing_of_the_original(
        self, photo: Photo, encoded: Encoded
    ) -> None:
        data = encoded(photo(400, 300), "JPEG", comment=b"secret", dpi=(300, 300))
        small = thumbnail(data, 96)
        assert thumbnail(data, 96) == small
        assert len(small) < 6000
        assert b"secret" in data
        assert b"secret" not in small

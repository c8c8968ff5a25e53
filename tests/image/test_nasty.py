"""Every nasty picture gives a sane picture or one line; so does every mutation of a good one."""

from __future__ import annotations

import csv
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from foveal.core.errors import BrokenImage
from foveal.image.decode import FORMATS, picture
from foveal.image.header import header
from foveal.image.pixels import pixels
from foveal.image.preprocess import Preprocess

if TYPE_CHECKING:
    from tests.image.conftest import Encoded, Photo

RECORD = Preprocess(size_px=64, crop=1.0, shape="squash")

REFUSED = {
    "made_here/bomb_30000x30000_1bit.png": "too many pixels: 900 megapixels",
    "made_here/html_404_named.jpg": "not a picture: looks like HTML",
    "made_here/text_named.jpg": "not a picture: looks like text",
    "made_here/truncated_half.jpg": "truncated: the end of the file is missing",
    "made_here/zero_bytes.jpg": "empty file",
    "pillow/16bit.cropped.jp2": "JPEG 2000 is not read: save it as PNG or JPEG",
    "pillow/broken.png": "damaged: begins like PNG, but its header makes no sense",
    "pillow/broken_data_stream.png": "damaged: unrecognized data stream contents",
    "pillow/crash-86214e58da443d2b80820cff9677a38a33dcbbca.tif": "damaged: decoder error",
    "pillow/decompression_bomb.gif": "too many pixels: 4365 megapixels",
    "pillow/decompression_bomb.ico": "ICO is not read: save it as PNG or JPEG",
    "pillow/hopper.ppm": "PNM is not read: save it as PNG or JPEG",
    "pillow/hopper.psd": "PSD is not read: save it as PNG or JPEG",
    "pillow/hopper_16bit.pgm": "PNM is not read: save it as PNG or JPEG",
    "pillow/hopper_1bit.pbm": "PNM is not read: save it as PNG or JPEG",
    "pillow/seek_too_large.tif": "damaged: Unable to seek to frame",
    "pillow/truncated_end_chunk.png": "truncated: the end of the file is missing",
    "pillow/truncated_image.png": "truncated: the end of the file is missing",
    "pillow/truncated_jpeg.jpg": "truncated: the end of the file is missing",
}
SAME_PHOTO = {  # files that show the picture of the first one
    "made_here/baseline.jpg": [
        "animated.gif", "animated.webp", "cmyk.jpg", "palette_trns.png", "photo.avif",
        "png_named.jpg", "progressive.jpg", "rgba.png", "subsampling_444.jpg",
        "trailing_garbage.jpg", "webp_named.jpeg",
    ],
    "made_here/gray.jpg": ["i16.png", "la.png"],
    "pillow/hopper.png": [
        "hopper.avif", "hopper.bmp", "hopper.gif", "hopper.lab.tif", "hopper.tif", "hopper.webp",
        "hopper_16bit_qtables.jpg", "hopper_orientation_2.jpg", "hopper_orientation_6.jpg",
        "hopper_orientation_6.webp", "hopper_rle8.bmp",
    ],
    "pillow/exif.avif": ["exif_imagemagick_orientation.png"],
    "pillow/tiff_16bit_rgb_target.png": ["tiff_16bit_rgb.tiff"],
    "pillow/pil_sample_cmyk.jpg": ["tiff_strip_cmyk_jpeg.tif", "truncated_app14.jpg"],
    "pillow/rot0mir0.avif": ["rot0mir1.avif", "rot1mir0.avif", "rot1mir1.avif", "rot2mir0.avif"],
}  # fmt: skip


def _rows(shared: Path) -> list[dict[str, str]]:
    with (shared / "nasty_images" / "index.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def _off(one: Path, other: Path) -> float:
    a, b = (pixels(path.read_bytes(), RECORD).astype(float) for path in (one, other))
    return float(np.abs(a - b).mean())


def test_every_nasty_file_gives_a_sane_picture_or_the_right_reason(shared: Path) -> None:
    folder = shared / "nasty_images"
    read = 0
    for row in _rows(shared):
        name = row["file"]
        data = (folder / name).read_bytes()
        if name in REFUSED:
            with pytest.raises(BrokenImage) as error:
                picture(data)
            assert error.value.what.startswith(REFUSED[name]), name
            assert "\n" not in error.value.what, name
            continue
        # The index gives the stored size; TIFF's is what Pillow says, already as displayed.
        width, height = map(int, row["size"].split("x"))
        turned = row["exif_orientation"] in ("5", "6", "7", "8") and row["format"] != "TIFF"
        shown = picture(data)
        found = header(data)
        assert shown.mode == "RGB", name
        assert shown.size == ((height, width) if turned else (width, height)), name
        assert (found.width, found.height) == shown.size, name
        assert found.format == row["format"].replace("MPO", "JPEG"), name
        assert pixels(data, RECORD).shape == (64, 64, 3), name
        read += 1
    assert read == 118 - len(REFUSED)


@pytest.mark.parametrize("photograph", ["landscape", "portrait"])
def test_all_orientations_of_a_photograph_look_alike(photograph: str, shared: Path) -> None:
    folder = shared / "nasty_images" / "exif_orientation"
    upright = folder / f"{photograph}_1.jpg"
    for orientation in (0, *range(2, 9)):  # each has its own number written into the middle
        assert _off(upright, folder / f"{photograph}_{orientation}.jpg") < 4, orientation
    other = {"landscape": "portrait", "portrait": "landscape"}[photograph]
    assert _off(upright, folder / f"{other}_1.jpg") > 30


@pytest.mark.parametrize("first", SAME_PHOTO)
def test_one_photograph_looks_alike_in_every_format_and_mode(first: str, shared: Path) -> None:
    folder = shared / "nasty_images"
    for other in SAME_PHOTO[first]:
        path = (folder / first).with_name(other)
        assert _off(folder / first, path) < 14, other


def test_nasty_files_are_read_alike_in_four_threads_with_warnings_as_errors(shared: Path) -> None:
    folder = shared / "nasty_images"
    names = [row["file"] for row in _rows(shared) if "10000x10000" not in row["file"]]

    def answer(name: str) -> bytes:
        try:
            return pixels((folder / name).read_bytes(), RECORD).tobytes()
        except BrokenImage as error:
            return error.what.encode()

    alone = [answer(name) for name in names]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(answer, names)) == alone


def _mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """Return ``data`` with bytes changed, cut out, doubled, or its end lost."""
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        at = int(rng.integers(0, max(len(out), 1)))
        length = int(rng.integers(1, 30))
        match int(rng.integers(0, 6)):
            case 0:
                out[at : at + length] = rng.bytes(length)
            case 1:
                del out[at : at + length]
            case 2:
                out[at:at] = out[at : at + length]
            case 3:
                out[at : at + 4] = b"\xff\xff\xff\xff"
            case 4:
                out[at : at + 1] = bytes([(out[at] if at < len(out) else 0) ^ 1 << length % 8])
            case _:
                if rng.random() < 0.3:
                    del out[at:]
    return bytes(out)


def _fuzz(count: int, photo: Photo, encoded: Encoded, seed: int) -> tuple[int, int]:
    """Return how many of ``count`` mutated files were read and how many refused."""
    rng = np.random.default_rng(seed)
    made = photo(40, 30)
    seeds = [encoded(made, kind, orientation=6) for kind in FORMATS if kind not in ("GIF", "BMP")]
    seeds += [encoded(made, "GIF", save_all=True, append_images=[photo(40, 30, seed=1)])]
    seeds += [encoded(made, "BMP"), encoded(made, "JPEG", progressive=True)]
    seeds += [encoded(made.convert(mode), "PNG") for mode in ("P", "LA", "1")]
    seeds += [encoded(made, "TIFF", compression=kind) for kind in ("tiff_lzw", "jpeg")]
    reasons = []
    for number in range(count):
        data = _mutated(seeds[number % len(seeds)], rng)
        try:
            assert pixels(data, RECORD).shape == (64, 64, 3)
        except BrokenImage as error:
            reasons.append(error.what)
    assert all("\n" not in line and 5 < len(line) < 160 for line in reasons)
    return count - len(reasons), len(reasons)


def test_mutated_files_give_pixels_or_a_reason_and_nothing_else(
    photo: Photo, encoded: Encoded
) -> None:
    good, bad = _fuzz(600, photo, encoded, seed=0)
    assert min(good, bad) > 50


@pytest.mark.slow
def test_ten_thousand_mutated_files_give_pixels_or_a_reason(photo: Photo, encoded: Encoded) -> None:
    good, bad = _fuzz(10_000, photo, encoded, seed=1)
    assert min(good, bad) > 1000

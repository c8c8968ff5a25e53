"""Any bytes become an RGB picture as a person would see it, or a reason."""

from __future__ import annotations

import struct
import subprocess
import sys
import time
import zlib
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, ImageFile, TiffImagePlugin

from foveal.core.errors import BrokenImage
from foveal.image import decode
from foveal.image.decode import FORMATS, MAX_PIXELS, picture
from foveal.image.window import Window

if TYPE_CHECKING:
    from tests.image.conftest import Encoded, Photo

RED = (230, 20, 30)


def _difference(one: Image.Image, other: Image.Image) -> float:
    assert one.size == other.size
    return float(np.abs(np.asarray(one, dtype=float) - np.asarray(other, dtype=float)).mean())


def _png(width: int, height: int, *, rows: int = 1) -> bytes:
    """Make a grey PNG whose header may promise far more than its ``rows``."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    body = zlib.compress(bytes(rows * (1 + (width + 7) // 8)))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )


class TestFormats:
    @pytest.mark.parametrize("kind", [*FORMATS, "MPO"])
    def test_every_format_on_the_list_is_read(
        self, kind: str, photo: Photo, encoded: Encoded
    ) -> None:
        made = photo()
        read = picture(encoded(made, kind))
        assert read.mode == "RGB"
        assert _difference(read, made) < 8

    @pytest.mark.parametrize("kind", ["PPM", "ICO", "JPEG2000", "TGA", "PCX", "SGI", "EPS"])
    def test_a_format_off_the_list_is_refused_although_pillow_knows_it(
        self, kind: str, photo: Photo, encoded: Encoded
    ) -> None:
        data = encoded(photo(64, 64), kind)
        Image.open(BytesIO(data)).close()
        with pytest.raises(BrokenImage):
            picture(data)

    def test_the_name_of_a_format_does_not_matter_but_its_bytes(
        self, photo: Photo, encoded: Encoded
    ) -> None:
        assert _difference(picture(encoded(photo(), "PNG") + b"trailing garbage"), photo()) == 0

    @pytest.mark.parametrize("kind", ["GIF", "WEBP", "AVIF", "TIFF"])
    def test_of_several_frames_the_first_is_taken(
        self, kind: str, photo: Photo, encoded: Encoded
    ) -> None:
        frames = [photo(seed=1), photo(seed=2)]
        data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
        assert _difference(picture(data), frames[0]) < 8
        assert _difference(picture(data), frames[1]) > 15


class TestOrientation:
    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_every_orientation_is_shown_upright(
        self, kind: str, orientation: int, photo: Photo, encoded: Encoded
    ) -> None:
        upright = photo(120, 80)
        undo = {6: 8, 8: 6}.get(orientation, orientation)
        stored = upright.transpose(decode.TURNS[undo]) if undo > 1 else upright
        read = picture(encoded(stored, kind, orientation=orientation))
        assert _difference(read, upright) < 6

    def test_nonsense_in_exif_does_not_cost_the_picture(
        self, photo: Photo, encoded: Encoded
    ) -> None:
        for exif in (b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0"):
            assert _difference(picture(encoded(photo(), "JPEG", exif=exif)), photo()) < 6
        assert picture(encoded(photo(), "JPEG", orientation=9)).size == (120, 80)

    def test_exif_behind_the_pixels_of_a_png_counts(self, photo: Photo, encoded: Encoded) -> None:
        data = encoded(photo(), "PNG", orientation=6)
        at = data.index(b"eXIf") - 4
        length = 12 + struct.unpack(">I", data[at : at + 4])[0]
        chunk, rest = data[at : at + length], data[:at] + data[at + length :]
        end = rest.index(b"IEND") - 4
        assert picture(rest[:end] + chunk + rest[end:]).size == (80, 120)


class TestColour:
    @pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "I;16"])
    def test_every_mode_of_png_becomes_rgb(self, mode: str, photo: Photo, encoded: Encoded) -> None:
        made = photo()
        if mode == "I;16":
            grey = np.asarray(made.convert("L")).astype(np.uint16) * 257
            data, wanted = encoded(Image.fromarray(grey)), made.convert("L")
        else:
            data, wanted = encoded(made.convert(mode)), made.convert(mode)
        assert _difference(picture(data), wanted.convert("RGB")) < 1

    @pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
    def test_cmyk_is_not_inverted(self, kind: str, encoded: Encoded) -> None:
        read = picture(encoded(Image.new("RGB", (32, 32), RED).convert("CMYK"), kind))
        assert np.abs(np.subtract(read.getpixel((9, 9)), RED)).max() < 6

    def test_lab_has_the_colours_it_means(self, encoded: Encoded) -> None:
        lab = Image.new("LAB", (8, 8), (138, 207, 195))  # L* 54, a* 79, b* 67: about (253, 9, 15)
        red, green, blue = picture(encoded(lab, "TIFF")).getpixel((4, 4))
        assert red > 240
        assert max(green, blue) < 40

    def test_transparency_is_laid_over_white(self, encoded: Encoded) -> None:
        clear = Image.new("RGBA", (4, 4), (*RED, 0))
        clear.putpixel((0, 0), (*RED, 255))
        clear.putpixel((1, 0), (0, 0, 0, 51))  # one fifth
        read = picture(encoded(clear))
        assert read.getpixel((0, 0)) == RED
        assert read.getpixel((1, 0)) == (204, 204, 204)
        assert read.getpixel((2, 2)) == (255, 255, 255)

    @pytest.mark.parametrize("mode", ["L", "RGB", "P", "I;16"])
    def test_a_colour_declared_transparent_is_white(self, mode: str, encoded: Encoded) -> None:
        made = Image.new(mode, (4, 4), 0)
        data = encoded(made, transparency=(0, 0, 0) if mode == "RGB" else 0)
        assert picture(data).getpixel((2, 2)) == (255, 255, 255)

    def test_twelve_bits_in_sixteen_are_not_black(self, encoded: Encoded) -> None:
        values = np.linspace(0, 4095, 64 * 64).reshape(64, 64).astype(np.uint16)
        assert np.asarray(picture(encoded(Image.fromarray(values), "TIFF"))).max() == 255

    def test_fractions_in_a_tiff_are_shares_of_white(self, encoded: Encoded) -> None:
        made = Image.fromarray(np.full((4, 4), 0.5, dtype=np.float32))
        assert picture(encoded(made, "TIFF")).getpixel((0, 0)) == (128, 128, 128)


class TestDamage:
    @pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
    @pytest.mark.parametrize(
        ("kind", "options"),
        [
            ("JPEG", {}),
            ("JPEG", {"progressive": True}),
            ("PNG", {}),
            ("WEBP", {}),
            ("GIF", {}),
            ("BMP", {}),
            ("TIFF", {}),
            ("AVIF", {}),
        ],
    )
    def test_half_a_file_is_refused_and_never_half_grey(
        self, kind: str, options: dict[str, object], share: float, photo: Photo, encoded: Encoded
    ) -> None:
        data = encoded(photo(300, 200), kind, **options)
        with pytest.raises(BrokenImage):
            picture(data[: int(len(data) * share)])

    def test_the_switch_for_half_pictures_is_left_alone(
        self, photo: Photo, encoded: Encoded
    ) -> None:
        data = encoded(photo(300, 200), "JPEG")
        with pytest.raises(BrokenImage, match=r"^truncated: the end of the file is missing$"):
            picture(data[: len(data) // 2])
        assert ImageFile.LOAD_TRUNCATED_IMAGES is False

    def test_a_bomb_is_refused_by_its_header_at_once(self) -> None:
        start = time.process_time()
        for side in (10_001, 13_000, 30_000):  # below, and above, what Pillow itself refuses
            with pytest.raises(BrokenImage, match="too many pixels"):
                picture(_png(side, side))
        assert time.process_time() - start < 0.5

    def test_a_picture_of_just_the_limit_is_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert MAX_PIXELS == 100_000_000
        monkeypatch.setattr(decode, "MAX_PIXELS", 100 * 80)
        assert picture(_png(100, 80, rows=80)).size == (100, 80)
        with pytest.raises(BrokenImage, match="too many pixels"):
            picture(_png(100, 81, rows=81))

    def test_a_bomb_takes_no_memory(self) -> None:
        code = (
            "import resource, struct, sys, zlib\n"
            "from foveal.core.errors import BrokenImage\n"
            "from foveal.image.decode import picture\n"
            "data = sys.stdin.buffer.read()\n"
            "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
            "try: picture(data)\n"
            "except BrokenImage as error: print(error.what)\n"
            "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code],
            input=_png(30_000, 30_000, rows=30_000),
            capture_output=True,
            check=True,
        )
        said, megabytes = done.stdout.decode().splitlines()
        assert said == "too many pixels: 900 megapixels"
        assert int(megabytes) < 16

    def test_a_tiff_that_promises_a_frame_it_has_not_is_refused(self) -> None:
        with pytest.raises(BrokenImage):
            picture(b"II*\0\xff\xff\xff\x7f" + bytes(8))

    def test_the_warnings_class_of_pillow_is_not_our_guard(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)  # as many scripts do
        with pytest.raises(BrokenImage, match="too many pixels: 900 megapixels"):
            picture(_png(30_000, 30_000))


class TestScaledJpeg:
    def test_a_large_jpeg_is_decoded_small_with_headroom_to_spare(
        self, photo: Photo, encoded: Encoded
    ) -> None:
        data = encoded(photo(1600, 1200, seed=4).convert("L"), "JPEG")
        assert picture(data).size == (1600, 1200)
        assert picture(data, at_least_px=150).size == (800, 600)
        assert picture(data, at_least_px=75).size == (400, 300)
        assert picture(data, at_least_px=16).size == (200, 150)
        assert picture(data, at_least_px=5000).size == (1600, 1200)

    def test_no_other_format_is_scaled(self, photo: Photo, encoded: Encoded) -> None:
        for data in (
            encoded(photo(800, 600).convert("L"), "PNG"),
            encoded(photo(800, 600).convert("CMYK"), "JPEG"),
        ):
            assert picture(data, at_least_px=16).size == (800, 600)

    def test_a_side_that_is_no_multiple_is_scaled_only_as_far_as_it_is_one(
        self, photo: Photo, encoded: Encoded
    ) -> None:
        def scaled(width: int, height: int) -> tuple[int, int]:
            data = encoded(photo(width, height).convert("L"), "JPEG")
            return picture(data, at_least_px=16).size

        assert scaled(800, 604) == (200, 151)
        assert scaled(801, 604) == (801, 604)

    @pytest.mark.parametrize(("orientation", "reduced"), [(1, True), (2, False), (4, True)])
    def test_padding_is_looked_for_where_the_turned_file_has_it(
        self, orientation: int, reduced: bool, photo: Photo, encoded: Encoded
    ) -> None:
        data = encoded(photo(805, 608).convert("L"), "JPEG", orientation=orientation)
        left_half = Window((0, 0, 400, 608), (40, 60), (0, 0))
        decoded = decode.decode(data, lambda width, height: left_half)
        assert (decoded.image.width < 805) is reduced

    def test_saturated_colours_are_decoded_in_full(self, encoded: Encoded) -> None:
        sunflower = Image.new("RGB", (800, 600), (255, 200, 0))
        assert picture(encoded(sunflower, "JPEG"), at_least_px=16).size == (800, 600)

    def test_white_and_black_are_not_saturated_colours(self, encoded: Encoded) -> None:
        sheet = Image.new("RGB", (800, 600), "white")
        sheet.paste("black", (200, 200, 400, 400))
        assert picture(encoded(sheet, "JPEG"), at_least_px=16).size == (100, 75)


def test_a_transparent_picture_is_the_same_through_every_library_mode() -> None:
    """TIFF with associated alpha (RGBa) is un-multiplied before it is laid over white."""
    made = Image.new("RGBA", (4, 4), (*RED, 128))
    file = BytesIO()
    made.save(file, "TIFF", tiffinfo={TiffImagePlugin.EXTRASAMPLES: 2})
    red, green, blue = picture(file.getvalue()).getpixel((0, 0))
    assert np.abs(np.subtract((red, green, blue), (242, 137, 142))).max() <= 2

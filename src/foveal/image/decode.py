"""Bytes to an RGB picture, safely: the only place that opens image files.

What a person would see is what comes out: turned as EXIF says, transparency laid over white (as
a browser's page would), CMYK and palettes converted, the first frame of an animation and the
first page of a TIFF, deep grey brought to eight bits by `foveal.image.depth`. Colour profiles are
not applied, as in every common training pipeline. Whatever else Pillow raises on bad bytes leaves
here as `BrokenImage` with a reason; half a picture is never returned, since the process-wide
switch ``LOAD_TRUNCATED_IMAGES`` is left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO

import numpy as np

# Importing the plugins registers them: Image.open then never has to load Pillow's other forty.
from PIL import (
    AvifImagePlugin,  # noqa: F401
    BmpImagePlugin,  # noqa: F401
    ExifTags,
    GifImagePlugin,  # noqa: F401
    Image,
    JpegImagePlugin,
    PngImagePlugin,  # noqa: F401
    TiffImagePlugin,  # noqa: F401
    WebPImagePlugin,  # noqa: F401
)

from foveal.core.errors import BrokenImage
from foveal.image.depth import eight_bits
from foveal.image.quiet import without_warnings
from foveal.image.reason import reason, too_many

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
"""The formats that are opened; Pillow is not asked to try any other."""

MAX_PIXELS = 100_000_000
"""Most pixels that are decoded, by the header: 100 megapixels take 400 MB as Pillow stores RGB."""

HEADROOM = 2.0
"""A JPEG may be decoded at 1/2, 1/4 or 1/8 if that leaves this many times the needed length."""

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
TURNED = (5, 6, 7, 8)  # orientations that exchange width and height
RIGHT_TO_LEFT = (2, 3, 6, 7)  # orientations whose left edge was stored as a right or lower edge
BOTTOM_TO_TOP = (3, 4, 7, 8)  # likewise for the top edge
DEEP = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")

Shrink = Callable[[int, int], float]  # (width, height) -> how many times less is needed


@dataclass(frozen=True, slots=True)
class Decoded:
    """An RGB picture, perhaps decoded at a fraction of its size.

    ``width`` and ``height`` are the true ones, as displayed. ``origin`` is where the true
    picture's upper left corner lies in ``image``, which is not always (0, 0): scaled decoding
    rounds the stored size up, and turning may bring that edge to the left or to the top.
    """

    image: Image.Image
    width: int
    height: int
    reduced: int = 1  # 1, 2, 4 or 8
    origin: tuple[float, float] = (0.0, 0.0)

    def box(
        self, left: float, top: float, right: float, bottom: float
    ) -> tuple[float, float, float, float]:
        """Return where a box in true pixels lies in ``image``."""
        x, y = self.origin
        n = self.reduced
        return left / n + x, top / n + y, right / n + x, bottom / n + y


def picture(data: bytes, *, at_least_px: int | None = None) -> Image.Image:
    """Return the picture in ``data``: mode RGB, as a person would see it.

    Args:
        data: the bytes of a file in one of ``FORMATS``.
        at_least_px: how long the shorter side has to be for what follows; a much larger JPEG is
            then decoded at 1/2, 1/4 or 1/8, with ``HEADROOM`` to spare. None: at full size.

    Raises:
        BrokenImage: whatever is wrong with the bytes, as one short reason.
    """
    if at_least_px is None:
        return decode(data).image
    return decode(data, lambda width, height: min(width, height) / at_least_px).image


def decode(data: bytes, shrink: Shrink | None = None) -> Decoded:
    """Return the picture in ``data`` with its true size.

    Args:
        data: the bytes of a file in one of ``FORMATS``.
        shrink: true (width, height) -> how many times smaller it will be used; a JPEG is decoded
            at the smallest scale that leaves ``HEADROOM`` above that. None: at full size.

    Raises:
        BrokenImage: whatever is wrong with the bytes, as one short reason.
    """
    with reading(data):
        source = opened(data)
        width, height = displayed_size(source, data)
    factor = 1.0 if shrink is None else shrink(width, height)
    with reading(data):
        reduced = _reduce(source, factor)
        stored = source.size
        source.load()
        turn = orientation(source)
        image = _rgb(source)
        if turn in TURNS:
            image = image.transpose(TURNS[turn])
    if turn in TURNED:
        stored = stored[1], stored[0]
    return Decoded(
        image,
        width,
        height,
        reduced,
        (
            stored[0] - width / reduced if turn in RIGHT_TO_LEFT else 0.0,
            stored[1] - height / reduced if turn in BOTTOM_TO_TOP else 0.0,
        ),
    )


@contextmanager
def reading(data: bytes) -> Iterator[None]:
    """Turn whatever Pillow raises about ``data`` in this block into `BrokenImage`, silently."""
    try:
        with without_warnings():
            yield
    except BrokenImage:
        raise
    except Exception as error:  # noqa: BLE001 - Pillow leaks RuntimeError, SyntaxError, struct.error
        raise BrokenImage(reason(data, error)) from None


def opened(data: bytes) -> Image.Image:
    """Open ``data`` without decoding its pixels; call it inside ``reading``.

    Raises:
        BrokenImage: if its header announces more than ``MAX_PIXELS``.
    """
    source = Image.open(BytesIO(data), formats=FORMATS)
    pixels = source.width * source.height
    if pixels > MAX_PIXELS:
        raise BrokenImage(too_many(pixels))
    return source


def displayed_size(source: Image.Image, data: bytes) -> tuple[int, int]:
    """Return (width, height) as displayed; call it inside ``reading``, before the pixels load.

    Only a PNG whose EXIF or XMP stands after its pixels has to be decoded to know.
    """
    if source.format == "PNG":
        pixels_at = data.find(b"IDAT")
        late = (b"eXIf", b"Raw profile type exif", b"XML:com.adobe.xmp")
        if any(data.find(mark, pixels_at) >= 0 for mark in late):
            source.load()
    width, height = source.size
    return (height, width) if orientation(source) in TURNED else (width, height)


def orientation(source: Image.Image) -> int:
    """Return the EXIF orientation that is still to be applied, 1 to 8; 1 where none is readable.

    A damaged EXIF block says nothing about the pixels, so it is no reason to refuse them.
    """
    if source.format == "TIFF":  # Pillow turns these itself, size and pixels
        return 1
    try:
        # The base method: PngImageFile's own would decode the pixels to look behind them.
        value = Image.Image.getexif(source).get(ExifTags.Base.Orientation, 1)
    except Exception:  # noqa: BLE001 - parsing damaged EXIF raises anything
        return 1
    return value if isinstance(value, int) and value in TURNS else 1


def _reduce(source: Image.Image, factor: float) -> int:
    """Set a JPEG to decode at the smallest scale that leaves ``HEADROOM``; return 1, 2, 4 or 8."""
    reduced = next((n for n in (8, 4, 2) if n * HEADROOM <= factor), 1)
    if reduced == 1 or not isinstance(source, JpegImagePlugin.JpegImageFile):
        return 1
    done = source.draft(None, (source.width // reduced, source.height // reduced))
    return reduced if done else 1


def _rgb(source: Image.Image) -> Image.Image:
    """Return a loaded picture of any mode as RGB, transparency over white."""
    if source.mode in DEEP:
        values_HW = np.asarray(source)
        grey_HW = eight_bits(values_HW)
        if isinstance(clear := source.info.get("transparency"), int):
            grey_HW[values_HW == clear] = 255
        return Image.fromarray(grey_HW).convert("RGB")
    if source.has_transparency_data:
        layer = source.convert("RGBA")
        sheet = Image.new("RGB", layer.size, "white")
        sheet.paste(layer, mask=layer)
        return sheet
    return source.convert("RGB")

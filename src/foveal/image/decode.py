"""Bytes to an RGB picture, safely: the only place that opens image files.

What a person would see is what comes out: turned as EXIF says, transparency laid over white (as
a browser's page would), CMYK and palettes converted, the first frame of an animation and the
first page of a TIFF, deep grey brought to eight bits by `foveal.image.depth`. Colour profiles are
not applied, as in every common training pipeline. Whatever else Pillow raises on bad bytes leaves
here as `BrokenImage` with a reason; half a picture is never returned, since the process-wide
switch ``LOAD_TRUNCATED_IMAGES`` is left alone.
"""

from __future__ import annotations

import math
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
from foveal.image.window import Window, whole

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
"""The formats that are opened; Pillow is not asked to try any other."""

MAX_PIXELS = 100_000_000
"""Most pixels that are decoded, by the header: 100 megapixels take 400 MB as Pillow stores RGB."""

HEADROOM = 4.0
"""A JPEG may be decoded at 1/2, 1/4 or 1/8 if that leaves this many times the needed length.

The promise is that no picture is off by more than 1/255 on the mean and 4/255 at the 99th
percentile. Worst of 1,428 pictures × 24 records (`benchmarks/decode.py`): with 2 it is 2.6 and 10,
with 3 0.96 and 5, with 4 0.60 and 3, with 5 0.31 and 2.
"""

VIVID = 0.01
"""Share of pixels whose colour was cut off at 0 or 255 above which a JPEG is decoded in full.

Full decoding cuts every pixel off and then averages; scaled decoding averages first. In a
sunflower, whose blue is far below 0, that made 10/255 at the 99th percentile with 4 times
headroom. One large JPEG in four is decoded in full for this, after a look at the small one.
"""

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

See = Callable[[int, int], Window]  # true (width, height) -> what is seen of the picture


@dataclass(frozen=True, slots=True)
class Decoded:
    """An RGB picture, perhaps at a fraction of its size, and the part of it that is seen."""

    image: Image.Image
    seen: Window  # in true pixels
    box: tuple[float, float, float, float]  # the same part in pixels of ``image``

    def resized(self, resample: Image.Resampling) -> Image.Image:
        """Return the part that is seen, at its size on the square: crop and resize in one."""
        return self.image.resize(self.seen.size, resample, self.box)


def picture(data: bytes, *, at_least_px: int | None = None) -> Image.Image:
    """Return the picture in ``data``: mode RGB, as a person would see it.

    Args:
        data: the bytes of a file in one of ``FORMATS``.
        at_least_px: how long the shorter side has to be for what follows; a much larger JPEG is
            then decoded at 1/2, 1/4 or 1/8, with ``HEADROOM`` to spare. None: at full size.

    Raises:
        BrokenImage: whatever is wrong with the bytes, as one short reason.
    """

    def all_of_it(width: int, height: int) -> Window:
        shrink = max(1.0, min(width, height) / (at_least_px or math.inf))
        return whole(width, height, (round(width / shrink), round(height / shrink)))

    return decode(data, all_of_it).image


def decode(data: bytes, see: See) -> Decoded:
    """Return the picture in ``data``, at full size or at a fraction that makes no difference.

    Args:
        data: the bytes of a file in one of ``FORMATS``.
        see: true (width, height), as displayed -> the part that will be used, and how large.

    Raises:
        BrokenImage: whatever is wrong with the bytes, as one short reason.
    """
    with reading(data):
        source = opened(data)
        width, height = displayed_size(source, data)
    turn = orientation(source)
    seen = see(width, height)
    n = _fraction(source, turn, seen)
    with reading(data):
        image = _loaded(source, n)
        if n > 1 and _is_vivid(image):
            n, image = 1, _loaded(opened(data), 1)
    # Scaled decoding rounds the stored size up; turning may bring that rest to the left or top.
    x = image.width - width / n if turn in RIGHT_TO_LEFT else 0.0
    y = image.height - height / n if turn in BOTTOM_TO_TOP else 0.0
    left, top, right, bottom = seen.box
    return Decoded(image, seen, (left / n + x, top / n + y, right / n + x, bottom / n + y))


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


def _fraction(source: Image.Image, turn: int, seen: Window) -> int:
    """Return n where a JPEG may be decoded at 1/n of its size: 8, 4, 2 or 1; see ``HEADROOM``.

    Where a side is no multiple of n, its last pixel mixes the picture with what the encoder
    padded it with: that pixel must lie outside what is seen. CMYK is left alone, since its way
    to RGB is not linear: the mean of colours is not the colour of means.
    """
    if not isinstance(source, JpegImagePlugin.JpegImageFile) or source.mode not in ("L", "RGB"):
        return 1
    width, height = source.size[::-1] if turn in TURNED else source.size
    left, top, right, bottom = seen.box
    across = width - left if turn in RIGHT_TO_LEFT else right  # seen up to here, as stored
    down = height - top if turn in BOTTOM_TO_TOP else bottom
    for n in (8, 4, 2):
        unpadded = across <= width // n * n and down <= height // n * n
        if unpadded and n * HEADROOM <= seen.shrink:
            return n
    return 1


def _loaded(source: Image.Image, n: int) -> Image.Image:
    """Decode at 1/n of the size, to RGB, turned as displayed."""
    if n > 1:
        source.draft(None, (source.width // n, source.height // n))
    source.load()
    turn = orientation(source)  # a PNG may tell it only now
    image = _rgb(source)
    return image.transpose(TURNS[turn]) if turn in TURNS else image


def _is_vivid(image: Image.Image) -> bool:
    """Whether more than ``VIVID`` of the pixels are colours at the end of their range.

    Black and white are at the end too, but of all channels at once: nothing is bent there.
    """
    red, green, blue = np.moveaxis(np.asarray(image)[::2, ::2], -1, 0)
    low = np.minimum(np.minimum(red, green), blue)
    high = np.maximum(np.maximum(red, green), blue)
    bent = ((low == 0) | (high == 255)) & (high - low >= 32)
    return bool(bent.mean() > VIVID)


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

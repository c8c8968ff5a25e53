"""From a file's bytes to a backbone's pixels: the one way, for training, test and serving."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from foveal.image.decode import decode
from foveal.image.preprocess import Preprocess
from foveal.image.source import bytes_of
from foveal.image.window import Window, whole, window

GREY = 128
"""What ``pad`` fills the rest with: about zero after normalising, whatever the mean."""

JPEG_QUALITY = 80  # of thumbnails

FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,  # both antialiased: Pillow widens them when shrinking
    "bicubic": Image.Resampling.BICUBIC,
}


def pixels(data: bytes, preprocess: Preprocess) -> NDArray[np.uint8]:
    """Return the pixels that a backbone expects of the picture in ``data``.

    See `Preprocess` for what ``crop``, ``squash`` and ``pad`` do. Pictures smaller than the
    square are enlarged. Large JPEGs are decoded at a fraction of their size, see
    ``decode.HEADROOM``.

    Returns:
        (size, size, 3) uint8 RGB in [0, 255]; the caller's own, writable.

    Raises:
        BrokenImage: whatever is wrong with the bytes, as one short reason.
    """
    decoded = decode(data, lambda width, height: window(width, height, preprocess))
    part = decoded.resized(FILTERS[preprocess.interpolation])
    out = np.full((preprocess.size_px, preprocess.size_px, 3), GREY, dtype=np.uint8)
    (x, y), (columns, rows) = decoded.seen.position, decoded.seen.size
    out[y : y + rows, x : x + columns] = np.asarray(part)
    return out


def pixels_of_file(path: Path, preprocess: Preprocess) -> NDArray[np.uint8]:
    """Return the pixels that a backbone expects of a file: see ``pixels``.

    Raises:
        BrokenImage: also when the file cannot be read.
    """
    return pixels(bytes_of(path), preprocess)


def cut_away(width: int, height: int, preprocess: Preprocess) -> float:
    """Return how much of a picture's area is lost to its aspect, as a share in [0, 1).

    Only ``crop`` loses any: it keeps a square. The margin that ``Preprocess.crop`` cuts from
    every picture, a square one included, is not counted, so ``squash`` and ``pad`` give 0.

    >>> cut_away(400, 200, Preprocess())
    0.5
    >>> cut_away(400, 200, Preprocess(shape="pad"))
    0.0
    """
    if preprocess.shape != "crop":
        return 0.0
    return 1 - min(width, height) / max(width, height)


def thumbnail(data: bytes, side_px: int) -> bytes:
    """Return the whole picture as a small JPEG, for reports: the same bytes every time.

    Its longer side is ``side_px``, or what it was where that is less.

    Raises:
        BrokenImage: whatever is wrong with the bytes, as one short reason.
    """

    def fitted(width: int, height: int) -> Window:
        share = side_px / max(width, height, side_px)
        return whole(width, height, (max(1, round(width * share)), max(1, round(height * share))))

    small = decode(data, fitted).resized(Image.Resampling.BICUBIC)
    small.info.clear()  # or Pillow would copy comments and profiles of the original
    file = BytesIO()
    small.save(file, "JPEG", quality=JPEG_QUALITY)
    return file.getvalue()

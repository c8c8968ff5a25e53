"""A picture's size and format from its first bytes, without decoding the pixels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from foveal.image.decode import displayed_size, opened, reading
from foveal.image.source import bytes_of


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says about its picture; only decoding shows whether the rest is there."""

    width: int  # pixels, as displayed: after EXIF orientation
    height: int
    format: str  # one of ``decode.FORMATS``, by content and not by name


def header(source: Path | bytes) -> Header:
    """Return the header of a file or of its bytes.

    Raises:
        BrokenImage: if it cannot be read, is no picture, or announces too many pixels.
    """
    data = bytes_of(source)
    with reading(data):
        image = opened(data)
        width, height = displayed_size(image, data)
    # MPO is a JPEG with further pictures behind the first.
    return Header(width, height, "JPEG" if image.format == "MPO" else str(image.format))

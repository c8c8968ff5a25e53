"""The reason why bytes are not a picture is short, and the right one."""

from __future__ import annotations

import pytest
from PIL import Image, UnidentifiedImageError

from foveal.core.errors import BrokenImage
from foveal.image.decode import picture
from foveal.image.reason import reason


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty file"),
        (b"\n <!DOCTYPE html><title>404</title>", "not a picture: looks like HTML"),
        (b"<?xml version='1.0'?><html>", "not a picture: looks like HTML"),
        (b"path,label\na.jpg,ant\n", "not a picture: looks like text"),
        (bytes(100), "not a picture: zeros only"),
        (b"\x12\x34\x99\xfe" * 9, "not a picture"),
        (b"<?xml version='1.0'?>\n<svg xmlns='...'>", "SVG is not read: save it as PNG or JPEG"),
        (b"\0\0\0\x18ftypheic\0\0", "HEIC is not read: save it as PNG or JPEG"),
        (b"\0\0\0\x18ftypmp42\0\0", "Video is not read: save it as PNG or JPEG"),
        (b"%PDF-1.7 ...", "PDF is not read: save it as PNG or JPEG"),
        (b"P6\n1 1\n255\n...", "PNM is not read: save it as PNG or JPEG"),
        (bytes(128) + b"DICM", "DICOM is not read: save it as PNG or JPEG"),
        (b"\0\0\1\0\1\0", "ICO is not read: save it as PNG or JPEG"),
        (b"PK\3\4...", "ZIP is not read: save it as PNG or JPEG"),
        (b"\xff\xd8\xff\xff", "damaged: begins like JPEG, but its header makes no sense"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "damaged: could not create decoder object"),
    ],
)
def test_bytes_that_are_no_picture_are_named(data: bytes, said: str) -> None:
    with pytest.raises(BrokenImage) as error:
        picture(data)
    assert error.value.what == said


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Image.DecompressionBombError("Image size (900000000 pixels) exceeds"), "900 megapixels"),
        (OSError("image file is truncated (8 bytes not processed)"), "truncated: the end"),
        (MemoryError(), "needs more memory than there is"),
        (RuntimeError("bad\nthing"), "damaged: bad thing"),
        (SyntaxError("x" * 1000), "damaged: xxx"),
        (IndexError(), "damaged (IndexError)"),
        (UnidentifiedImageError(), "not a picture"),
    ],
)
def test_whatever_pillow_raises_becomes_one_short_line(error: Exception, said: str) -> None:
    line = reason(b"\x12\x34\x99\xfe", error)
    assert said in line
    assert "\n" not in line
    assert len(line) < 160

"""The header says the displayed size and the true format, without decoding."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image, ImageFile

from foveal.core.errors import BrokenImage
from foveal.image.decode import FORMATS, picture
from foveal.image.header import Header, header

if TYPE_CHECKING:
    from tests.image.conftest import Encoded, Photo


@pytest.mark.parametrize("kind", [*FORMATS, "MPO"])
def test_it_names_size_and_format_by_content(
    kind: str, tmp_path: Path, photo: Photo, encoded: Encoded
) -> None:
    data = encoded(photo(90, 60), kind)
    (tmp_path / "lie.gif").write_bytes(data)
    expected = Header(90, 60, "JPEG" if kind == "MPO" else kind)
    assert header(data) == expected
    assert header(tmp_path / "lie.gif") == expected


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_size_is_the_one_that_is_displayed(
    kind: str, orientation: int, photo: Photo, encoded: Encoded
) -> None:
    data = encoded(photo(90, 60), kind, orientation=orientation)
    found = header(data)
    assert (found.width, found.height) == ((60, 90) if orientation >= 5 else (90, 60))
    assert (found.width, found.height) == picture(data).size


def test_no_pixel_is_decoded(
    photo: Photo, encoded: Encoded, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Image.Image) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", refuse)
    for kind in FORMATS:
        assert header(encoded(photo(90, 60), kind, orientation=6)).width in (60, 90)


def test_half_a_file_still_has_a_header(photo: Photo, encoded: Encoded) -> None:
    data = encoded(photo(300, 200), "JPEG")
    assert header(data[: len(data) // 2]).width == 300


def test_what_has_none_says_why(tmp_path: Path) -> None:
    with pytest.raises(BrokenImage, match="empty file"):
        header(b"")
    with pytest.raises(BrokenImage, match="the file is not there"):
        header(tmp_path / "no.jpg")

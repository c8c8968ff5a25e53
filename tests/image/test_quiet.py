"""Pillow is silent where we decode, whatever the filters, and only there."""

from __future__ import annotations

import threading
import warnings
from io import BytesIO

import pytest
from PIL import Image

from foveal.image.decode import picture
from foveal.image.quiet import without_warnings

BAD_EXIF = (  # one tag, GPSInfo-like, that promises 60,000 bytes and has none
    b"Exif\0\0II*\0\x08\0\0\0\x01\0\x0e\x01\x02\0\x60\xea\0\0\x1a\0\0\0\0\0\0\0"
)


@pytest.fixture(scope="module")
def warned_about() -> bytes:
    """A JPEG whose EXIF makes Pillow warn, although its pixels are fine."""
    file = BytesIO()
    Image.new("RGB", (16, 16), "red").save(file, "JPEG", exif=BAD_EXIF)
    return file.getvalue()


def _as_others_do(data: bytes) -> None:
    Image.open(BytesIO(data)).getexif().get(0x0112)


def test_others_are_still_warned_by_pillow(warned_about: bytes) -> None:
    with pytest.warns(UserWarning, match="Tag data larger|corrupt EXIF"):
        _as_others_do(warned_about)


def test_decoding_says_nothing_even_where_warnings_are_errors(warned_about: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert picture(warned_about).getpixel((0, 0))[0] > 240


def test_the_warning_points_at_pillow_as_if_nothing_stood_between(warned_about: bytes) -> None:
    with pytest.warns(UserWarning, match="Tag data larger|corrupt EXIF") as heard:
        _as_others_do(warned_about)
    assert heard[0].filename.endswith("TiffImagePlugin.py")


def test_threads_decode_in_silence_while_another_changes_the_filters(warned_about: bytes) -> None:
    failures: list[BaseException] = []
    done = threading.Event()

    def decode_many() -> None:
        try:
            for _ in range(150):
                picture(warned_about)
        except BaseException as error:  # noqa: BLE001 - handed to the test's own thread
            failures.append(error)

    def change_filters() -> None:
        while not done.is_set():
            with warnings.catch_warnings():
                warnings.simplefilter("error")

    changer = threading.Thread(target=change_filters)
    decoders = [threading.Thread(target=decode_many) for _ in range(4)]
    changer.start()
    for thread in decoders:
        thread.start()
    for thread in decoders:
        thread.join()
    done.set()
    changer.join()
    assert failures == []


def test_a_thread_that_does_not_decode_is_warned_while_another_does(warned_about: bytes) -> None:
    inside, leave = threading.Event(), threading.Event()

    def decode_for_long() -> None:
        with without_warnings():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=decode_for_long)
    thread.start()
    assert inside.wait(10)
    try:
        with pytest.warns(UserWarning, match="Tag data larger|corrupt EXIF"):
            _as_others_do(warned_about)
    finally:
        leave.set()
        thread.join()


def test_silence_ends_with_the_outermost_block(warned_about: bytes) -> None:
    with without_warnings():
        with without_warnings():
            pass
        _as_others_do(warned_about)  # would raise here: pytest makes warnings errors
    with pytest.warns(UserWarning, match="Tag data larger|corrupt EXIF"):
        _as_others_do(warned_about)

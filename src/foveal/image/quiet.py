"""Pillow's warnings, silenced in the thread that decodes and nowhere else.

A damaged tag in a photograph is no news to whoever trains on ten thousand of them, and under
``python -W error`` Pillow's warning would turn a readable picture into a broken one: what a file
holds must not depend on the caller's warning filters. ``warnings.catch_warnings`` cannot help,
since it swaps the filters of the whole process under every other thread. So the four modules of
Pillow that decode and warn get a stand-in for their name ``warnings`` that asks, per thread,
whether we are decoding; everybody else's Pillow warns as before.
"""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image, JpegImagePlugin, PngImagePlugin, TiffImagePlugin


class _ThisThread(threading.local):
    decoding = False


_this_thread = _ThisThread()


class _Warnings:
    """The module ``warnings`` as Pillow sees it; ``warn`` says nothing while we decode."""

    def warn(
        self, message: str | Warning, category: type[Warning] | None = None, stacklevel: int = 1
    ) -> None:
        if not _this_thread.decoding:
            warnings.warn(message, category, stacklevel + 1)

    def __getattr__(self, name: str) -> object:
        return getattr(warnings, name)


for _module in (Image, JpegImagePlugin, PngImagePlugin, TiffImagePlugin):
    setattr(_module, "warnings", _Warnings())  # noqa: B010 - typed stubs know a module there

# One TIFF fault is also logged as an error; unheard of by any handler, it would go to stderr.
logging.getLogger("PIL").addHandler(logging.NullHandler())


@contextmanager
def without_warnings() -> Iterator[None]:
    """Keep Pillow from warning in this thread until the block ends.

    >>> with warnings.catch_warnings(record=True) as heard, without_warnings():
    ...     Image.warnings.warn("a tag is damaged")
    >>> heard
    []
    """
    before, _this_thread.decoding = _this_thread.decoding, True
    try:
        yield
    finally:
        _this_thread.decoding = before

"""The bytes of a picture's file, or the reason why there are none."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from foveal.core.errors import BrokenImage

MAX_BYTES = 1 << 30
"""Largest file that is read: 1 GiB. The biggest picture that ``decode.MAX_PIXELS`` lets pass takes
0.8 uncompressed, at 16 bits a channel with alpha; what is larger is a film or a disk image."""


def bytes_of(source: Path | bytes) -> bytes:
    """Return the bytes of a file; bytes are passed through.

    Raises:
        BrokenImage: with the reason, when the file is gone, forbidden, a folder, a device or a
            pipe (which would never end), or larger than ``MAX_BYTES``.
    """
    if isinstance(source, bytes):
        return source
    try:
        with open(source, "rb", opener=_at_once) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise BrokenImage("not a regular file")
            if status.st_size > MAX_BYTES:
                raise BrokenImage(f"too large: {status.st_size / 1e9:.1f} GB")
            return file.read()
    except IsADirectoryError:
        raise BrokenImage("a folder, not a file") from None
    except FileNotFoundError:
        raise BrokenImage("the file is not there") from None
    except PermissionError:
        raise BrokenImage("not allowed to read the file") from None
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        if getattr(error, "errno", None) == errno.ENXIO:  # a socket, or a device without a driver
            raise BrokenImage("not a regular file") from None
        text = getattr(error, "strerror", None) or str(error)
        raise BrokenImage(f"cannot be read: {text}") from None


def _at_once(path: str, flags: int) -> int:
    """Open without waiting for the other end of a pipe; for files the flag means nothing."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))

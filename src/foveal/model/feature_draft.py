"""Drafts that tell whether their writer lives: a file is locked until it has its final name.

The lock is the operating system's and dies with its process, kill -9 included. So whoever
can take the lock of a draft knows that nobody will finish it, whichever process, container
or host that shares the disk began it, and no guess from age or process number is needed.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from foveal.core.files import disk_full_is_said

LOCKS = sys.platform != "win32"  # Windows needs none: there an open file cannot be removed


@contextmanager
def draft(path: Path) -> Iterator[IO[bytes]]:
    """Yield an open file that becomes ``path`` when the block ends well, else vanishes.

    Missing parents are made. Nothing is synced to the disk: what is kept this way carries its
    own checksum, so a power cut costs a recomputation and never gives a wrong number.

    Raises:
        DiskFull: when there is no room; ``path`` is as it was.
    """
    with disk_full_is_said(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        name, file = _open_locked(path)
        try:
            yield file
            file.flush()
            if LOCKS:  # renamed under the lock, or a sweeper could step in between
                name.replace(path)
            file.close()
            if not LOCKS:
                name.replace(path)
        except BaseException:
            with suppress(OSError):  # closing writes what is left: once more "no space"
                file.close()
            name.unlink(missing_ok=True)
            raise


def sweep(folder: Path) -> int:
    """Remove the drafts in ``folder`` whose writers are dead; return how many there were."""
    swept = 0
    for name in folder.glob(".*.draft"):
        with suppress(OSError):  # its writer lives, finished it meanwhile, or it is not ours
            if not LOCKS:
                name.unlink()
            else:
                with name.open("r+b") as file:
                    _lock(file, wait=False)
                    name.unlink()
            swept += 1
    return swept


def _open_locked(path: Path) -> tuple[Path, IO[bytes]]:
    """Create a draft beside ``path`` and lock it; the lock falls when the file is closed."""
    while True:
        name = path.with_name(f".{path.name}.{secrets.token_hex(4)}.draft")
        file = name.open("xb")
        with suppress(OSError):  # a disk without locks: then nobody can take one, nor sweep
            _lock(file, wait=True)
        if name.exists():  # else a sweeper held the lock first and took it for abandoned
            return name, file
        file.close()


def _lock(file: IO[bytes], *, wait: bool) -> None:
    """Lock an open file for this process alone; an ``OSError`` says that it cannot be."""
    if sys.platform != "win32":
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))

"""Files that vanish with the run that made them, however it ends.

A run holds a lock on each of its scratch files. What a killed run left behind has lost its lock,
and the next run that keeps its files in the same folder removes it.
"""

from __future__ import annotations

import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

from foveal.core.errors import DiskFull
from foveal.core.files import disk_full_is_said


class ScratchFile:
    """A new file, open for writing, locked as long as it is open, here or in a forked process."""

    def __init__(self, folder: Path, ending: str) -> None:
        """Make it.

        Args:
            folder: there is one.
            ending: of its name, such as ``.canvases``: what ``sweep`` goes by.
        """
        while True:  # again where a sweeper came between making and locking
            self.path = folder / f"{secrets.token_hex(8)}{ending}"
            self.file = self.path.open("xb")
            with suppress(OSError):  # a disk without locks: its files are never swept
                _lock(self.file, wait=True)
            if self.path.exists():
                return
            self.file.close()

    def remove(self) -> None:
        """Remove it; again does nothing."""
        self.file.close()
        with suppress(OSError):  # Windows, while it is still mapped: the next run sweeps
            self.path.unlink()


@contextmanager
def scratch_file(folder: Path, ending: str, *, need: int, what: str) -> Iterator[ScratchFile]:
    """Yield a new scratch file to write to; if the block fails, it is removed.

    Args:
        folder: where it is to lie; made if it is not there.
        ending: of its name.
        need: how many bytes are going to be written.
        what: whose they are, as the beginning of a sentence.

    Raises:
        DiskFull: before anything is written if there is no room, or when it runs out.
    """
    with disk_full_is_said(folder):
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
        if need > free:
            raise DiskFull(
                f"{what} need {size_text(need)} and the disk of {folder} has "
                f"{size_text(free)} left.",
                hint="Free some, or set FOVEAL_CACHE to a folder on another disk.",
            )
        made = ScratchFile(folder, ending)
        try:
            yield made
            made.file.flush()
        except BaseException:
            made.remove()
            raise


def sweep(folder: Path, ending: str) -> None:
    """Remove the scratch files of killed runs."""
    for left in folder.glob(f"*{ending}"):
        with suppress(OSError), ExitStack() as held:  # its run lives, or another was faster
            if sys.platform != "win32":  # there no file is removed that is open
                _lock(held.enter_context(left.open("rb")))
            left.unlink()


def size_text(count: int) -> str:
    """Return bytes for people.

    >>> size_text(1_500_000), size_text(2_340_000_000)
    ('1.5 MB', '2.3 GB')
    """
    return f"{count / 1e9:.1f} GB" if count >= 10**9 else f"{count / 1e6:.1f} MB"


def _lock(file: IO[bytes], *, wait: bool = False) -> None:
    """Lock an open file; without ``wait`` an ``OSError`` says that another has it."""
    if sys.platform != "win32":
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))

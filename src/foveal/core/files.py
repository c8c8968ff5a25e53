"""Files written whole or not at all, hashed; and where the cache lives."""

from __future__ import annotations

import errno
import glob
import hashlib
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from foveal.core.errors import AlreadyThere, DiskFull, NotThere, OutOfRange


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_folder() -> Path:
    """Return where backbones and features are kept; it need not exist yet.

    ``$FOVEAL_CACHE``, else ``$XDG_CACHE_HOME/foveal``, else ``~/.cache/foveal``.
    """
    if own := os.environ.get("FOVEAL_CACHE"):
        return Path(own)
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache") / "foveal"


@contextmanager
def disk_full_is_said(path: Path) -> Iterator[None]:
    """Turn "no space left" from anything that writes below ``path`` into ``DiskFull``."""
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        raise DiskFull(
            f"No space is left on the disk of {path}.",
            hint="Free some (`foveal cache --clear` empties the cache) and run it again: "
            "nothing was half-written.",
        ) from None


def write_file(path: Path, content: bytes) -> None:
    """Write ``content`` so that ``path`` holds all of it or what it held before.

    The bytes go beside the target, are synced, then renamed over it, and the new name is synced;
    missing parents are made.

    Raises:
        DiskFull: when there is no room; ``path`` is as it was.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.draft")
    with disk_full_is_said(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with draft.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
            sync_folder(path.parent)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise


@contextmanager
def write_folder(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a draft folder that becomes ``path`` when the block ends well, else vanishes.

    Missing parents are made. The draft lies beside the target, so the last step is a rename.
    Drafts of the same target whose writers were killed are removed first: each writer holds a
    lock on its draft, which falls with its process.

    Raises:
        AlreadyThere: if ``path`` exists and ``overwrite`` is not set: before anything is written,
            and again at the end, where another writer was faster.
        DiskFull: when there is no room; ``path`` is as it was.
    """
    check_free(path, overwrite=overwrite)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.draft")
    with disk_full_is_said(path), ExitStack() as held:
        _sweep(path)
        while not draft.exists():  # again where a sweeper came between making and locking
            draft.mkdir(parents=True)
            with suppress(OSError):  # a disk without locks: its drafts are never swept
                held.enter_context(locked(draft, wait=True))
        try:
            yield draft
            for file in draft.rglob("*"):
                if file.is_file():
                    _sync(file)
            if overwrite and path.exists():
                _exchange(draft, path)
            else:
                _claim(draft, path)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise


def _claim(draft: Path, path: Path) -> None:
    """Give the draft its name; of two writers the first has it, the second is refused."""
    try:
        draft.rename(path)
    except OSError:
        check_free(path)
        raise


def _exchange(draft: Path, path: Path) -> None:
    """Put the draft in the place of a folder, which stays if that fails."""
    old = path.with_name(f".{path.name}.{secrets.token_hex(4)}.old")
    path.rename(old)
    try:
        draft.rename(path)
    except BaseException:
        old.rename(path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _sweep(path: Path) -> None:
    """Remove what killed writers of the folder ``path`` left beside it."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.draft"):
        with suppress(OSError), locked(left):  # no lock: its writer lives
            shutil.rmtree(left)
    if path.exists():  # else the old folder is all there is
        for left in path.parent.glob(f".{glob.escape(path.name)}.*.old"):
            shutil.rmtree(left, ignore_errors=True)


@contextmanager
def locked(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold the lock of a folder; without ``wait`` an ``OSError`` says that another has it.

    Windows has no such locks: there nothing is swept, and a killed writer's draft stays.
    """
    if sys.platform == "win32":
        raise OSError("no locks on folders")
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(descriptor)


def check_free(path: Path, *, overwrite: bool = False) -> None:
    """Refuse a target folder that exists, before any work is spent on it.

    Raises:
        AlreadyThere: if ``path`` is a file, or a folder with something in it and no ``overwrite``.
    """
    if path.is_file():
        raise AlreadyThere(f"{path} is a file.", hint="Name a folder that does not exist yet.")
    if path.is_dir() and any(path.iterdir()) and not overwrite:
        raise AlreadyThere(
            f"{path} already exists.", hint="Choose another name, or replace it with --overwrite."
        )


def check_file(path: Path, *, ending: str, overwrite: bool = False) -> None:
    """Refuse a target file that cannot be written, before any work is spent on it.

    Raises:
        OutOfRange: if its name does not end in ``ending``, such as ``.png``.
        NotThere: if it would lie below a file.
        AlreadyThere: if it is a folder, or a file and there is no ``overwrite``.
    """
    if path.suffix.lower() != ending:
        raise OutOfRange("out", str(path), f"a file name that ends in {ending}")
    near = next(parent for parent in path.absolute().parents if parent.exists())
    if not near.is_dir():
        raise NotThere(f"{near} is a file, not a folder.", hint=f"{path} cannot be written in it.")
    if path.is_dir():
        raise AlreadyThere(f"{path} is a folder.", hint="Name a file.")
    if path.exists() and not overwrite:
        raise AlreadyThere(
            f"{path} already exists.", hint="Choose another name, or replace it with --overwrite."
        )


def check_exists(path: Path, what: str) -> None:
    """Refuse a source that is not there.

    Raises:
        NotThere: naming ``what`` was looked for and the nearest folder that does exist.
    """
    if path.exists():
        return
    near = next(parent for parent in [*path.absolute().parents] if parent.exists())
    raise NotThere(f"There is no {what} at {path}.", hint=f"{near} is the nearest folder there is.")


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` outlast a power cut: a rename is not on the disk before.

    Windows has no such call, nor have some network disks: they see to their names themselves.
    """
    if sys.platform == "win32":
        return
    try:
        _sync(folder)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:
            raise


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""`walk`: which pictures lie below a folder, and what else lies there and was passed over."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path

from foveal.core.errors import BadData
from foveal.core.words import counted, shown
from foveal.data.finding import Finding

ENDINGS = ("jpg", "jpeg", "jpe", "jfif", "png", "webp", "gif", "bmp", "dib", "tif", "tiff", "avif")
SUFFIXES = frozenset(f".{ending}" for ending in ENDINGS)  # of the formats that are read, lower case
LITTER = frozenset({"__MACOSX", "Thumbs.db", "desktop.ini", "$RECYCLE.BIN", "@eaDir", "lost+found"})


@dataclass(frozen=True, slots=True)
class Listing:
    """What lies below a folder, all relative to it with forward slashes, sorted."""

    pictures: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)  # all that were entered
    others: list[str] = field(default_factory=list)  # files whose ending is not a picture's
    hidden: list[str] = field(default_factory=list)  # dot files and litter, not entered
    loops: list[str] = field(default_factory=list)  # links to a folder that they lie in
    dangling: list[str] = field(default_factory=list)  # links to nothing
    unnamed: list[str] = field(default_factory=list)  # not UTF-8: escaped; folders end in /
    special: list[str] = field(default_factory=list)  # pipes, sockets, devices: reading may not end

    def within(self, folder: str) -> Listing:
        """Return what lies below ``folder`` alone, relative to it."""
        prefix = f"{folder}/"
        return Listing(
            *(
                [
                    path.removeprefix(prefix)
                    for path in getattr(self, kind.name)
                    if path.startswith(prefix)
                ]
                for kind in fields(self)
            )
        )

    def findings(self) -> Iterator[Finding]:
        """Yield one finding per kind of thing that was passed over."""
        if self.hidden:
            yield Finding(
                kind="hidden",
                message=f"{counted(self.hidden, 'hidden file or folder')} left out: "
                f"{shown(self.hidden)}.",
            )
        if self.others:
            suffixes = Counter(_suffix(path) or "no ending" for path in self.others)
            listed = [f"{suffix} ×{number}" for suffix, number in _most(suffixes)]
            yield Finding(
                kind="not-pictures",
                message=f"{counted(self.others, 'file')} left out whose ending is not a "
                f"picture's: {shown(listed, most=6)}.",
            )
        if self.special:
            yield Finding(
                kind="not-regular",
                message=f"{counted(self.special, 'file')} left out as not regular (pipes, "
                f"sockets, devices): {shown(self.special)}.",
            )
        if self.loops:
            yield Finding(
                kind="loop",
                message=f"{counted(self.loops, 'link')} to a folder above not followed: "
                f"{shown(self.loops)}.",
            )
        if self.dangling:
            yield Finding(
                kind="dangling",
                message=f"{counted(self.dangling, 'link')} to nothing left out: "
                f"{shown(self.dangling)}.",
            )
        files = [path for path in self.unnamed if not path.endswith("/")]
        if folders := [path for path in self.unnamed if path.endswith("/")]:
            yield Finding(
                kind="bad-folder-name",
                message=f"{counted(folders, 'folder')} left out with all that is inside, for want "
                f"of a name in UTF-8: {shown(folders)}. Rename to have the pictures read.",
            )
        if files:
            yield Finding(
                kind="bad-name",
                message=f"{counted(files, 'file')} left out for want of a name in UTF-8; "
                f"rename: {shown(files)}.",
            )


def walk(root: Path) -> Listing:
    """List everything below ``root``, links followed, each loop entered once at most.

    Costs one system call per folder and none per file: 100,000 pictures take under a second.

    Raises:
        BadData: for a folder that may not be read, naming it.
    """
    out = Listing()
    waiting: list[tuple[str, frozenset[tuple[int, int]]]] = [("", frozenset())]
    while waiting:
        prefix, above = waiting.pop()
        folder = root / prefix
        try:
            status = folder.stat()
            identity = (status.st_dev, status.st_ino)
            if identity in above:
                out.loops.append(prefix.rstrip("/"))
                continue
            with os.scandir(folder) as entries:
                inside = above | {identity}
                waiting += [(f"{name}/", inside) for name in _sort_out(entries, prefix, out)]
        except OSError as error:
            raise BadData(
                f"{folder} cannot be read: {error.strerror}.", hint="Check its permissions."
            ) from None
        if prefix:
            out.folders.append(prefix.rstrip("/"))
    for kind in fields(out):
        getattr(out, kind.name).sort()
    return out


def _sort_out(entries: Iterable[os.DirEntry[str]], prefix: str, out: Listing) -> list[str]:
    """File each entry in ``out``; return the folders to enter."""
    enter = []
    for entry in entries:
        path = prefix + entry.name
        if not entry.name.isascii() and not _is_unicode(entry.name):
            escaped = os.fsencode(path).decode("utf-8", "backslashreplace")
            out.unnamed.append(escaped + "/" * _is(entry, "dir"))
        elif entry.name.startswith(".") or entry.name in LITTER:
            out.hidden.append(path)
        elif _is(entry, "dir"):
            enter.append(path)
        elif not _is(entry, "file"):
            (out.special if os.path.exists(entry) else out.dangling).append(path)  # noqa: PTH110 — Path's raises for a link to itself
        elif _suffix(entry.name) in SUFFIXES:
            out.pictures.append(path)
        else:
            out.others.append(path)
    return enter


def _is(entry: os.DirEntry[str], what: str) -> bool:
    try:
        return entry.is_dir() if what == "dir" else entry.is_file()
    except OSError:  # a link to itself
        return False


def _is_unicode(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _suffix(path: str) -> str:
    stem, dot, ending = path.rpartition("/")[2].rpartition(".")
    return dot + ending.lower() if stem else ""


def _most(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))

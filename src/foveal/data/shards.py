"""Tar shards: pictures that lie in tar files, indexed once and streamed from there, never unpacked.

Two conventions are read, one per shard, told apart by what the shard holds:

- WebDataset's: the members ``key.jpg`` and ``key.cls`` (or ``key.json`` with a ``label``) are one
  picture and its class; a key ends at the first dot of the file's name.
- class folders: ``CLASS/file.jpg``, the last folder is the class.

A shard may be compressed (``.tar``, ``.tar.gz``, ``.tgz``). Only regular files are looked at, one
after the other, and no name in a shard is ever a name on this machine's disk.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import tarfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from foveal.core.errors import BadData, Damaged, NotThere
from foveal.core.files import check_exists, sha256_of
from foveal.core.words import counted, shown
from foveal.data.walk import SUFFIXES

ENDINGS = (".tar", ".tar.gz", ".tgz")
MAX_BYTES = 64 << 20  # of a member: no picture worth learning from is larger
MAX_RATIO = 200  # bytes out for a byte in: a tar of pictures that is compressed has about 2
SIDECARS = (".cls", ".json")
FIELDS = ("label", "cls", "class", "class_name")  # of a .json, the first that is there
_BLOCK = tarfile.BLOCKSIZE
_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class Member:
    """One labelled picture in a shard."""

    name: str  # in its shard, as the shard spells it
    label: str
    offset: int  # of its first byte in the tar, decompressed
    size: int  # bytes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shards:
    """The N labelled pictures of some tar files, in the order of files and members.

    Iterating yields the bytes of each, as ``image.stream`` takes them; again from the beginning
    each time. ``bytes_from(k)`` begins at picture k.
    """

    files: tuple[Path, ...]
    members: tuple[tuple[Member, ...], ...]  # of each file
    classes: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...]  # (file: member, reason), in order

    def __len__(self) -> int:
        """Return N."""
        return sum(map(len, self.members))

    def __iter__(self) -> Iterator[bytes]:
        """Yield the bytes of every picture."""
        return self.bytes_from(0)

    def bytes_from(self, first: int) -> Iterator[bytes]:
        """Yield the bytes of the pictures from number ``first`` on.

        Raises:
            Damaged: if a file has changed since it was indexed, or cannot be read any more.
        """
        for path, members in zip(self.files, self.members, strict=True):
            if first < len(members):
                yield from _contents(path, members[first:])
            first = max(0, first - len(members))

    @property
    def labels(self) -> NDArray[np.int64]:
        """The class of every picture: (N,) int64."""
        index = {name: number for number, name in enumerate(self.classes)}
        labels = [index[member.label] for members in self.members for member in members]
        return np.array(labels, np.int64)

    @property
    def names(self) -> list[str]:
        """What to call every picture: its file, then its name in there."""
        return [
            f"{path.name}: {member.name}"
            for path, members in zip(self.files, self.members, strict=True)
            for member in members
        ]

    def rows(self, numbers: Iterable[int]) -> Shards:
        """Return the shards of these pictures alone; their order stays that of the files."""
        wanted, kept, number = set(numbers), [], 0
        for members in self.members:
            kept.append(tuple(m for place, m in enumerate(members, number) if place in wanted))
            number += len(members)
        return replace(self, members=tuple(kept), left_out=())

    def digest(self) -> str:
        """Return the SHA-256 that stands for these pictures: the files, and which are taken."""
        digest = hashlib.sha256()
        for path, members in zip(self.files, self.members, strict=True):
            digest.update(sha256_of(path).encode())
            digest.update("".join(f"\n{m.offset} {m.label}" for m in members).encode())
        return digest.hexdigest()

    def findings(self) -> Iterator[str]:
        """Yield a sentence for each reason why members were left out."""
        for reason, count in Counter(reason for _, reason in self.left_out).items():
            names = [name for name, other in self.left_out if other == reason]
            yield (
                f"{counted(range(count), 'member')} of the shards left out, {reason}: "
                f"{shown(names)}."
            )


def is_shard(path: Path) -> bool:
    """Return whether a path is named as a tar file is.

    >>> [is_shard(Path(name)) for name in ("a.tar", "b.tar.gz", "photos", "c.zip")]
    [True, True, False, False]
    """
    return path.name.lower().endswith(ENDINGS)


def read_shards(files: Iterable[Path], *, classes: Sequence[str] | None = None) -> Shards:
    """Index tar files: every header is read, and no picture.

    Args:
        files: in the order in which their pictures are to stand.
        classes: all there may be; None: those that occur. Sorted by name, or by number where all
            are numbers.

    Returns:
        The pictures that have a label; those without, and what is no picture, are in ``left_out``.

    Raises:
        NotThere: for a file that does not exist.
        Damaged: for one that is no tar file, or not a whole one.
        BadData: if there is no labelled picture in them, or a label is none of ``classes``.
    """
    paths, found, left_out = tuple(files), [], []
    for path in paths:
        check_exists(path, "shard")
        members, others = _indexed(path)
        found.append(tuple(members))
        left_out += [(f"{path.name}: {name}", reason) for name, reason in others]
    labels = {member.label for members in found for member in members}
    if not labels:
        names = shown([path.name for path in paths])
        raise BadData(
            f"No labelled picture lies in {names}.",
            hint="A shard holds key.jpg with key.cls, or CLASS/file.jpg.",
        )
    if classes is not None and (odd := sorted(labels - set(classes))):
        raise BadData(
            f"{counted(odd, 'class')} of the shards {'is' if len(odd) == 1 else 'are'} not among "
            f"the others: {shown(odd)}.",
            hint="Give train and val the same classes.",
        )
    return Shards(
        files=paths,
        members=tuple(found),
        classes=tuple(classes) if classes is not None else _sorted(labels),
        left_out=tuple(left_out),
    )


def _sorted(labels: Iterable[str]) -> tuple[str, ...]:
    names = sorted(labels)
    if all(name.isascii() and name.isdigit() for name in names):
        names.sort(key=int)
    return tuple(names)


def _indexed(path: Path) -> tuple[list[Member], list[tuple[str, str]]]:
    """Return the labelled pictures of a tar file, and why its other members are none."""
    pictures: list[tarfile.TarInfo] = []
    labels: dict[str, str] = {}  # key -> what its sidecar says
    left_out: list[tuple[str, str]] = []
    with _opened(path) as tar:
        for member in tar:
            base = PurePosixPath(member.name).name
            if member.isdir() or base.startswith("."):
                continue
            suffix = PurePosixPath(base).suffix.lower()
            if member.type not in {tarfile.REGTYPE, tarfile.AREGTYPE} or member.issparse():
                left_out.append((member.name, "not a regular file"))
            elif member.size > MAX_BYTES:
                left_out.append((member.name, f"larger than {MAX_BYTES >> 20} MB"))
            elif suffix in SIDECARS:
                said = _label(cast(IO[bytes], tar.extractfile(member)).read(), suffix)
                if said:
                    labels.setdefault(_key(member.name), said)
            elif suffix in SUFFIXES:
                pictures.append(member)
            else:
                left_out.append((member.name, "its ending is not a picture's"))
        _check_end(tar, path)
    members: list[Member] = []
    for picture in pictures:
        folder = PurePosixPath(picture.name).parent.name
        label = labels.get(_key(picture.name), "") if labels else folder
        if label:
            members.append(Member(picture.name, label, picture.offset_data, picture.size))
        else:
            left_out.append((picture.name, "without a label"))
    return members, left_out


def _contents(path: Path, members: Sequence[Member]) -> Iterator[bytes]:
    """Yield the bytes of members, which are given in the order in which they lie."""
    with _opened(path) as tar:
        file = cast(IO[bytes], tar.fileobj)
        for member in members:
            file.seek(member.offset)
            content = file.read(member.size)
            if len(content) != member.size:
                raise Damaged(f"{path} ends inside {member.name}.", hint="Fetch it again.")
            yield content


def _key(name: str) -> str:
    """Return WebDataset's key of a member: everything to the first dot of its file's name.

    >>> _key("photos.v2/0001.seg.png")
    'photos.v2/0001'
    """
    folder, slash, base = name.rpartition("/")
    return f"{folder}{slash}{base.partition('.')[0]}"


def _label(content: bytes, suffix: str) -> str:
    """Return the class that a sidecar says, "" where it says none."""
    try:
        text = content.decode().strip()
        if suffix == ".json":
            facts = json.loads(text)
            said = next((facts[name] for name in FIELDS if name in facts), "")
            text = str(said).strip() if isinstance(said, str | int) else ""
    except (ValueError, TypeError, RecursionError):
        return ""
    return text if text.isprintable() else ""


@contextmanager
def _opened(path: Path) -> Iterator[tarfile.TarFile]:
    """Yield a tar file to be read forward; whatever is wrong with it is one sentence.

    Raises:
        Damaged: if it is no tar file, not a whole one, or larger inside than it can honestly be.
    """
    try:
        with path.open("rb") as raw, _decompressed(raw) as plain:
            limit = MAX_RATIO * path.stat().st_size + MAX_BYTES
            with tarfile.open(fileobj=cast(Any, _Bounded(plain, limit)), mode="r:") as tar:
                yield tar
    except (tarfile.TarError, zlib.error, EOFError, gzip.BadGzipFile, _TooMuch) as error:
        reason = str(error).rstrip(".") or type(error).__name__
        raise Damaged(
            f"{path} is not a whole tar file: {reason}.", hint="Fetch it again."
        ) from None
    except IsADirectoryError:
        raise NotThere(f"{path} is a folder, not a tar file.") from None


def _decompressed(raw: IO[bytes]) -> IO[bytes]:
    magic = raw.read(2)
    raw.seek(0)
    return cast(IO[bytes], gzip.GzipFile(fileobj=raw)) if magic == b"\x1f\x8b" else raw


def _check_end(tar: tarfile.TarFile, path: Path) -> None:
    """Refuse a tar that ends without its end mark: what lay behind is missing.

    What follows is read too: the sums of a compressed file stand at its very end.

    Raises:
        Damaged: saying so.
    """
    file = cast(IO[bytes], tar.fileobj)
    file.seek(tar.offset)
    if file.read(_BLOCK) != bytes(_BLOCK):
        raise Damaged(f"{path} is cut off: it ends without an end mark.", hint="Fetch it again.")
    while file.read(_CHUNK):
        file.seek(file.tell())  # as far as is allowed


class _TooMuch(Exception):
    """A tar that wants more memory or time than its size is worth."""


class _Bounded:
    """A file that refuses what no honest shard asks for: huge headers, endless zeros."""

    def __init__(self, file: IO[bytes], limit: int) -> None:
        self._file, self._limit = file, limit

    def read(self, size: int) -> bytes:
        """Return the next bytes.

        Raises:
            _TooMuch: if they are more than any member may have.
        """
        if not 0 <= size <= MAX_BYTES:
            raise _TooMuch(f"it wants {size:,} bytes at once")
        return self._file.read(size)

    def seek(self, position: int) -> int:
        """Go to a place.

        Raises:
            _TooMuch: if it is farther off than compression can be good for.
        """
        if position > self._limit:
            raise _TooMuch(f"it says that it holds more than {self._limit:,} bytes")
        return self._file.seek(position)

    def tell(self) -> int:
        """Return the place."""
        return self._file.tell()

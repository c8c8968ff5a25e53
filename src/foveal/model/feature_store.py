"""All features kept on this machine: one shelf per backbone and cut of pixels, within a limit.

    cache folder/features/KEY/meta.json                   what a person calls it
    cache folder/features/KEY/ORDER-HASH.safetensors      rows, see ``feature_segment``

KEY is a hash of the backbone's fingerprint and of what decides its pixels: size, crop, shape and
interpolation. Mean and deviation are inside the graph, which the fingerprint covers, so
hosts that differ only there share the rows of ``classical`` at their size. The least recently
used segments make room for new ones, never those that the present run uses.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from foveal.backbone.spec import BackboneSpec
from foveal.core.errors import Damaged, DiskFull, FovealError, OutOfRange, UnknownName
from foveal.core.files import cache_folder
from foveal.core.listener import SILENT, Listener
from foveal.core.settings import read_json, to_json
from foveal.image.preprocess import Preprocess
from foveal.model.feature_draft import draft, sweep
from foveal.model.feature_segment import DIGEST, SUFFIX, Segment
from foveal.model.feature_shelf import FeatureShelf

REVISION = 1  # raise it when the layout changes, or when ``image`` gives other pixels
DEFAULT_LIMIT = "10GB"
_KEY_DIGITS = 32
SPARE_BYTES = 100_000_000  # of the disk, left free for whoever else writes
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_UNITS |= {f"{unit}I": 1024**power for power, unit in enumerate("KMGT", 1)}


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFeatures:
    """One line of ``foveal cache``: what is kept of one backbone at one cut of pixels."""

    key: str
    backbone: str  # its name, or "unknown" where the label is gone
    pixels: str  # "224 px, crop 0.875, bicubic"
    images: int
    blocks: tuple[str, ...]
    size_bytes: int
    last_used_s: float  # seconds since 1970


class FeatureStore:
    """The features on disk. One object serves one run: it protects what that run uses.

    Args:
        folder: ``features`` in the cache folder unless said.
        limit: bytes, or a size such as ``"10GB"``; ``$FOVEAL_CACHE_LIMIT``, else 10 GB.
        listener: hears of damage.
        flush_after_s: new rows are written after this many seconds at the latest.

    Raises:
        OutOfRange: if the limit is no size.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        limit: int | str | None = None,
        listener: Listener = SILENT,
        flush_after_s: float = 10.0,
    ) -> None:
        self.folder = folder or cache_folder() / "features"
        if limit is None:
            limit = os.environ.get("FOVEAL_CACHE_LIMIT") or DEFAULT_LIMIT
        self.limit_bytes = size_in_bytes(limit)
        self._listener, self._flush_after_s = listener, flush_after_s
        self._shelves: dict[str, FeatureShelf] = {}

    def shelf(self, spec: BackboneSpec, preprocess: Preprocess) -> FeatureShelf:
        """Return the shelf for a backbone that reads pixels cut by ``preprocess``."""
        cut = {
            "size_px": preprocess.size_px,
            "crop": preprocess.crop,
            "shape": preprocess.shape,
            "interpolation": preprocess.interpolation,
        }
        facts = {"revision": REVISION, "fingerprint": spec.fingerprint, "pixels": cut}
        key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:_KEY_DIGITS]
        if key not in self._shelves:
            meta = self.folder / key / "meta.json"
            if not meta.is_file():
                # A cache that cannot be written is said where the first rows would be.
                with suppress(OSError, DiskFull), draft(meta) as file:
                    file.write(to_json({"backbone": spec.name, "weights": spec.weights, **facts}))
            self._shelves[key] = FeatureShelf(
                self.folder / key,
                spec.name,
                make_room=self._make_room,
                listener=self._listener,
                flush_after_s=self._flush_after_s,
            )
        return self._shelves[key]

    def usage(self) -> list[StoredFeatures]:
        """Return what is kept, last used first."""
        entries = [entry for folder in self._folders() if (entry := self._entry(folder))]
        return sorted(entries, key=lambda entry: (-entry.last_used_s, entry.key))

    def clear(self, keys: Iterable[str] | None = None) -> int:
        """Remove everything, or these keys; return how many bytes that freed.

        What another process is just writing stays.

        Raises:
            UnknownName: for a key that is not there; nothing is removed then.
        """
        there = {folder.name: folder for folder in self._folders()}
        chosen = list(there) if keys is None else list(keys)
        for key in chosen:
            if key not in there:
                raise UnknownName("stored feature set", key, there)
        freed = 0
        for key in chosen:
            folder = there[key]
            sweep(folder)
            for path in [*folder.glob(f"*{SUFFIX}"), folder / "meta.json"]:
                with suppress(OSError):
                    size = path.stat().st_size
                    path.unlink()
                    freed += size
            with suppress(OSError):  # a living process's draft is in it
                folder.rmdir()
        return freed

    def _make_room(self, needed_bytes: int) -> None:
        """Remove the least recently used segments until ``needed_bytes`` may be written.

        Raises:
            DiskFull: when what this run uses leaves no room under the limit, or on the disk.
        """
        in_use = {path for shelf in self._shelves.values() for path in shelf.in_use()}
        kept = [  # least recently used first
            (used_ns, size_bytes, path)
            for path in self.folder.glob(f"*/*{SUFFIX}")
            for used_ns, size_bytes in _stat(path)
        ]
        over_limit = sum(size for _, size, _ in kept) + needed_bytes - self.limit_bytes
        over_disk = needed_bytes + SPARE_BYTES - shutil.disk_usage(_nearest(self.folder)).free
        evictable = sorted(entry for entry in kept if entry[2] not in in_use)
        most = sum(size for _, size, _ in evictable)
        if over_limit > most:
            raise DiskFull(
                f"What this run uses fills the feature cache: its limit is "
                f"{self.limit_bytes / 1e9:g} GB.",
                hint="Raise it with FOVEAL_CACHE_LIMIT.",
            )
        if over_disk > most:
            raise DiskFull(
                f"No space is left on the disk of {self.folder}.",
                hint="Free some, or move the cache with FOVEAL_CACHE.",
            )
        to_free = max(over_limit, over_disk)
        for _, size, path in evictable:
            if to_free <= 0:
                break
            with suppress(OSError):
                path.unlink()
                to_free -= size

    def _folders(self) -> list[Path]:
        """Return the folders of all keys, sorted."""
        return sorted(path for path in self.folder.glob("?" * _KEY_DIGITS) if path.is_dir())

    def _entry(self, folder: Path) -> StoredFeatures | None:
        """Return the line of one key; None where no whole segment lies in its folder."""
        segments = []
        for path in folder.glob(f"*{SUFFIX}"):
            with suppress(Damaged, OSError):
                segments.append(Segment(path))
        stats = [found for segment in segments for found in _stat(segment.path)]
        if not stats:
            return None
        ids = np.concatenate([segment.ids_N32 for segment in segments])
        backbone, pixels = _label(folder / "meta.json")
        return StoredFeatures(
            key=folder.name,
            backbone=backbone,
            pixels=pixels,
            images=len(np.unique(ids.view(f"S{DIGEST}"))),
            blocks=tuple(sorted({name for segment in segments for name in segment.widths})),
            size_bytes=sum(size for _, size in stats),
            last_used_s=max(used_ns for used_ns, _ in stats) / 1e9,
        )


def size_in_bytes(size: int | str) -> int:
    """Return a size as bytes; GB are powers of 1000, GiB of 1024.

    Raises:
        OutOfRange: if it is no size.

    >>> size_in_bytes("10GB"), size_in_bytes("1.5 MiB"), size_in_bytes(0)
    (10000000000, 1572864, 0)
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?I?)B?", str(size).strip().upper())
    if match is None or match[2] not in _UNITS:
        raise OutOfRange("cache limit", size, "a size such as 10GB, 500MB or 0")
    return int(float(match[1]) * _UNITS[match[2]])


def _label(meta: Path) -> tuple[str, str]:
    """Return the backbone's name and its pixels in words, as far as ``meta.json`` says them."""
    try:
        facts = read_json(meta.read_bytes(), where=str(meta))
        cut = facts["pixels"]
        words = f"{cut['size_px']} px, {cut['shape']} {cut['crop']:g}, {cut['interpolation']}"
        return str(facts["backbone"]), words
    except (OSError, FovealError, KeyError, TypeError, ValueError):
        return "unknown", "unknown"


def _stat(path: Path) -> list[tuple[int, int]]:
    """Return [(last used, bytes)], or nothing where another process has removed the file."""
    with suppress(OSError):
        stat = path.stat()
        return [(stat.st_mtime_ns, stat.st_size)]
    return []


def _nearest(folder: Path) -> Path:
    """Return the nearest folder that exists: the one whose disk will be written."""
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())

"""The cached rows of one backbone and one way of cutting pixels: found, added, merged.

A shelf is a folder of segments that only ever grows by whole new files, so any number of
processes may read and add at once: at worst two add the same rows, and the first segment wins
(the bits are the same). Small segments are merged and duplicates dropped while this process
has not mapped them; two that merge the same segments at once write the same file.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from foveal.core.errors import Damaged, DiskFull
from foveal.core.listener import Listener
from foveal.model.feature_draft import sweep
from foveal.model.feature_index import Index, Places
from foveal.model.feature_segment import SUFFIX, Digests, Rows, Segment, write_segment

SMALL_BYTES = 64_000_000  # rows that wait are written at this size; what is below is merged
MANY = 8  # from this number of small segments on

MakeRoom = Callable[[int], None]  # bytes to be written; raises DiskFull where they cannot be


class FeatureShelf:
    """One folder of segments.

    Args:
        folder: made when the first rows are written.
        label: what a person calls it, for the sentences: ``resnet18``.
        make_room: asked before every write.
        listener: hears of damage.
        flush_after_s: rows wait in memory for at most this long, in seconds, before they are
            written: what a kill -9 can cost.
    """

    def __init__(
        self,
        folder: Path,
        label: str,
        *,
        make_room: MakeRoom,
        listener: Listener,
        flush_after_s: float,
    ) -> None:
        self.folder, self.label = folder, label
        self._make_room, self._listener, self._flush_after_s = make_room, listener, flush_after_s
        self._open: dict[str, Segment] = {}  # file name -> segment, oldest first
        self._written: set[str] = set()  # names of files whose rows this process has added
        self._dropped: set[str] = set()  # names of damaged files, should they resist removal
        self._index = Index(())
        self._waiting = _Waiting()
        sweep(folder)
        self._merge()

    def find(self, block: str, ids_N32: Digests) -> Places:
        """Say where the rows of a block lie; every segment they lie in has been verified.

        A damaged segment is removed and said: its rows are then missing.
        """
        while True:
            segments = tuple(one for one in self._segments() if block in one.widths)
            if self._index.segments != segments:
                self._index = Index(segments)
            places = self._index.find(block, ids_N32)
            unusable = [one for one in places.used if not self._verified(one, [block])]
            if not unusable:
                break
        for segment in places.used:
            with suppress(OSError):  # a cache that may only be read
                os.utime(segment.path)  # "last used", for whoever looks for room
        return places

    def add(self, ids_N32: Digests, blocks: Mapping[str, Rows]) -> None:
        """Take rows that will be written soon; the caller leaves the arrays alone from here on.

        Raises:
            DiskFull: when there is no room. The rows that waited are let go.
        """
        if self._waiting.blocks.keys() != blocks.keys():
            self.flush()
        self._waiting.take(ids_N32, blocks)
        waited_s = time.monotonic() - self._waiting.since_s
        if waited_s >= self._flush_after_s or self._waiting.size_bytes >= SMALL_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write the rows that wait.

        Raises:
            DiskFull: when there is no room. They are let go: nothing is tried twice.
        """
        waiting, self._waiting = self._waiting, _Waiting()
        if waiting.ids:
            self._make_room(waiting.size_bytes)
            path = write_segment(self.folder, waiting.ids, waiting.blocks)
            self._written.add(path.name)
            self._merge()

    def in_use(self) -> set[Path]:
        """Return the files that this process has read rows of or added rows to."""
        mapped = {name for name, segment in self._open.items() if segment.mapped}
        return {self.folder / name for name in mapped | self._written}

    def _segments(self) -> list[Segment]:
        """Return the segments that are there now, oldest first, after opening what is new."""
        known, self._open = self._open, {}
        for path in sorted(self.folder.glob(f"[0-9]*{SUFFIX}")):
            if path.name in self._dropped:
                continue
            try:
                self._open[path.name] = known.get(path.name) or Segment(path)
            except (FileNotFoundError, PermissionError):
                continue  # evicted or merged since the listing, or not ours to read
            except Damaged:
                self._drop(path)
        return list(self._open.values())

    def _verified(self, segment: Segment, blocks: Sequence[str]) -> bool:
        """Map these blocks; where they are damaged, drop the segment."""
        try:
            for block in blocks:
                segment.block(block)
        except FileNotFoundError:
            self._open.pop(segment.path.name, None)
            return False
        except Damaged:
            segment.release()
            self._drop(segment.path)
            return False
        return True

    def _drop(self, path: Path) -> None:
        self._open.pop(path.name, None)
        self._dropped.add(path.name)
        with suppress(OSError):
            path.unlink()
        self._listener.say(
            f"A part of the feature cache of {self.label} was damaged ({path}): "
            "it is left out, and its images are embedded again."
        )

    def _merge(self) -> None:
        """Join small segments with the same blocks once there are many of them."""
        groups: dict[tuple[str, ...], list[Segment]] = {}
        for segment in self._segments():
            if segment.size_bytes < SMALL_BYTES and not segment.mapped:
                groups.setdefault(tuple(sorted(segment.widths)), []).append(segment)
        for blocks, group in groups.items():
            if len(group) < MANY:
                continue
            with suppress(DiskFull, OSError):  # many small files are slower, not wrong
                self._join(blocks, [one for one in group if self._verified(one, blocks)])
            for segment in group:
                segment.release()

    def _join(self, blocks: Sequence[str], group: Sequence[Segment]) -> None:
        """Write the rows of a verified group as one segment, each id once; remove the group."""
        if not group:
            return
        index = Index(tuple(group))
        keep = []
        for number, segment in enumerate(group):
            places = index.find(blocks[0], segment.ids_N32)
            first_N = (places.segment_N == number) & (places.row_N == np.arange(len(segment)))
            keep.append(slice(None) if first_N.all() else first_N)
        pairs = list(zip(group, keep, strict=True))
        used_ns = max(segment.path.stat().st_mtime_ns for segment in group)
        path = write_segment(
            self.folder,
            [segment.ids_N32[rows] for segment, rows in pairs],
            {name: [segment.block(name)[rows] for segment, rows in pairs] for name in blocks},
            order=group[0].order,
        )
        os.utime(path, ns=(used_ns, used_ns))  # merging is not using
        if any(segment.path.name in self._written for segment in group):
            self._written.add(path.name)
        for segment in group:
            segment.release()
            if segment.path != path:  # the first had all rows: the merge has written it again
                segment.path.unlink(missing_ok=True)


@dataclass(slots=True)
class _Waiting:
    """Rows that are in memory and not yet on the disk."""

    ids: list[Digests] = field(default_factory=list)
    blocks: dict[str, list[Rows]] = field(default_factory=dict)
    size_bytes: int = 0
    since_s: float = field(default_factory=time.monotonic)

    def take(self, ids_N32: Digests, blocks: Mapping[str, Rows]) -> None:
        self.ids.append(ids_N32)
        self.size_bytes += ids_N32.nbytes
        for name, rows_ND in blocks.items():
            self.blocks.setdefault(name, []).append(rows_ND)
            self.size_bytes += rows_ND.nbytes

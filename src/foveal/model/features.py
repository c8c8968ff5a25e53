"""Features of pictures: what is stored is read, and only what is missing is decoded and embedded.

Several backbones may read the same pixels (a host network, and ``classical`` built for the
host's size): every picture is decoded at most once, and a backbone runs only on the
pictures, and for the blocks, that its own shelf in the store does not have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from foveal.backbone.spec import Backbone
from foveal.core.errors import DiskFull, OutOfRange, UnknownName
from foveal.core.listener import SILENT, Listener
from foveal.image.preprocess import Preprocess
from foveal.image.stream import Batch
from foveal.model.feature_index import Places
from foveal.model.feature_segment import Digests, Rows, digests
from foveal.model.feature_store import FeatureStore

BatchSource = Callable[[Sequence[Path], Preprocess], Iterable[Batch]]
"""Files and how to cut them -> batches; ``image.stream.stream`` is one."""


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A backbone and which of its blocks are wanted, under the names they get in ``Features``.

    ``Source(host, {"last": "last"})`` and ``Source(small, {"classical": "last"})`` together give
    the blocks ``last`` and ``classical``.
    """

    backbone: Backbone
    blocks: Mapping[str, str]  # name in Features -> block of the backbone

    def __post_init__(self) -> None:
        """Refuse blocks that the backbone does not give."""
        spec = self.backbone.spec
        for block in self.blocks.values():
            if block not in spec.widths():
                raise UnknownName(f"block of {spec.name}", block, spec.widths())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Features:
    """Named blocks of N pictures, read-only; a block may be a map of a file on disk."""

    blocks: Mapping[str, Rows]  # name -> (N, D)
    ids: tuple[str, ...]  # N, SHA-256 of each file's bytes
    rows: NDArray[np.int64]  # (N,) rising: which of the files that were asked for

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.ids)

    def joined(self, names: Sequence[str]) -> Rows:
        """Return these blocks side by side (N, sum of their D), in this order; read-only.

        Raises:
            UnknownName: for a block that was not embedded.
        """
        for name in names:
            if name not in self.blocks:
                raise UnknownName("block", name, self.blocks)
        if len(names) == 1:
            return self.blocks[names[0]]
        return _frozen(np.concatenate([self.blocks[name] for name in names], axis=1))


Broken = tuple[tuple[int, str], ...]  # (row, reason), rising


def features(
    sources: Sequence[Source],
    files: Sequence[Path],
    ids: Sequence[str],
    *,
    batches: BatchSource,
    store: FeatureStore | None = None,
    listener: Listener = SILENT,
) -> tuple[Features, Broken]:
    """Return the wanted blocks of ``files``, embedding only what ``store`` does not have.

    The result does not depend on what was stored or on how files fall into batches: neither the
    order nor a bit. Files with the same id are embedded once. New rows are stored while the
    rest is embedded, and also when an error or Ctrl-C ends it early: the next call goes on
    from there. A store that cannot be written is said once and costs only that.

    Args:
        sources: who embeds, and what; the first one's ``preprocess`` cuts the pixels for all.
        files: N files.
        ids: N times the SHA-256 of a file's bytes, as 64 hexadecimal digits. They are believed:
            a file that changes between being hashed and being read is stored under its old id.
        batches: makes pixels of files, best beside the network: ``image.stream.stream``.
        store: where rows are kept; None: nowhere.
        listener: hears the stage ``embedding``, in pictures that something is missing of.

    Returns:
        The features of all files but the broken ones; and the broken ones as (row, reason).
        A broken file is found only when it is decoded, so none of them is stored.

    Raises:
        OutOfRange: if sources, files and ids do not fit together.
    """
    preprocess = _checked(sources, files, ids)
    number = {id_: place for place, id_ in enumerate(dict.fromkeys(ids))}  # of the U different ids
    unique_N = np.fromiter((number[id_] for id_ in ids), np.int64, len(ids))
    first_U = np.unique(unique_N, return_index=True)[1]
    digests_U32 = digests(number)
    parts = [_Part(source, preprocess, digests_U32, store, listener) for source in sources]
    reasons = _embed(parts, [files[row] for row in first_U.tolist()], batches, preprocess, listener)
    whole_U = np.ones(len(number), dtype=bool)
    whole_U[list(reasons)] = False
    rows_n = np.flatnonzero(whole_U[unique_N])
    every = len(ids) == len(number) == len(rows_n)  # nothing twice, nothing broken: no copy
    blocks = {
        name: _frozen(rows_UD if every else rows_UD[unique_N[rows_n]])
        for part in parts
        for name, rows_UD in part.named()
    }
    broken = [(int(row), reasons[unique_N[row]]) for row in np.flatnonzero(~whole_U[unique_N])]
    kept = tuple(ids) if every else tuple(ids[row] for row in rows_n.tolist())
    return Features(blocks=blocks, ids=kept, rows=rows_n), tuple(broken)


class _Part:
    """What one source has to do with U different pictures, and what it has so far."""

    def __init__(
        self,
        source: Source,
        preprocess: Preprocess,
        ids_U32: Digests,
        store: FeatureStore | None,
        listener: Listener,
    ) -> None:
        spec = source.backbone.spec
        self._source, self._ids_U32, self._listener = source, ids_U32, listener
        self._shelf = store.shelf(spec, preprocess) if store else None
        self.missing: dict[str, NDArray[np.bool_]] = {}  # block -> which pictures (U,)
        self._rows: dict[str, Rows] = {}  # block -> (U, D)
        for block in dict.fromkeys(source.blocks.values()):
            shape = (len(ids_U32), spec.widths()[block])
            if self._shelf is None:
                self.missing[block] = np.ones(len(ids_U32), dtype=bool)
                self._rows[block] = np.empty(shape, np.float32)
            else:
                places = self._shelf.find(block, ids_U32)
                self.missing[block] = places.missing_N
                self._rows[block] = _read(places, shape)

    def embed(
        self, pixels: NDArray[np.uint8], rows_n: NDArray[np.int64], blocks: Sequence[str]
    ) -> None:
        """Embed a batch whose pictures have the numbers ``rows_n``, and hand it to the shelf."""
        found = self._source.backbone.embed(pixels, blocks)
        for block in blocks:
            self._rows[block][rows_n] = found[block]
        if self._shelf is not None:
            with self._or_unstored():
                self._shelf.add(self._ids_U32[rows_n], {name: found[name] for name in blocks})

    def flush(self) -> None:
        """Store what waits."""
        if self._shelf is not None:
            with self._or_unstored():
                self._shelf.flush()

    def named(self) -> Iterator[tuple[str, Rows]]:
        """Yield each wanted block under its name in ``Features``."""
        for name, block in self._source.blocks.items():
            yield name, self._rows[block]

    @contextmanager
    def _or_unstored(self) -> Iterator[None]:
        """Go on without the shelf where it cannot be written, and say so."""
        try:
            yield
        except (DiskFull, OSError) as error:
            self._shelf = None
            self._listener.say(
                f"{error} The features of {self._source.backbone.spec.name} that are not yet "
                "stored are used in this run and not kept."
            )


def _embed(
    parts: Sequence[_Part],
    files: Sequence[Path],
    batches: BatchSource,
    preprocess: Preprocess,
    listener: Listener,
) -> dict[int, str]:
    """Embed what the parts miss of U files; return which of these were broken, and why.

    Files that miss the same blocks go through together, so that each is decoded once and no
    backbone computes a block for a picture that has it.
    """
    groups = _groups(parts, len(files))
    total, done = sum(len(rows_G) for rows_G, _ in groups), 0
    if total:
        listener.progress("embedding", done, total)
    reasons: dict[int, str] = {}
    try:
        for rows_G, wanted in groups:
            for batch in batches([files[row] for row in rows_G.tolist()], preprocess):
                for row, reason in batch.broken:
                    reasons[int(rows_G[row])] = reason
                if len(batch.rows):
                    for part, blocks in wanted.items():
                        part.embed(batch.pixels, rows_G[batch.rows], blocks)
                done += len(batch.rows) + len(batch.broken)
                listener.progress("embedding", done, total)
    finally:
        for part in parts:
            part.flush()
    return reasons


def _groups(
    parts: Sequence[_Part], count: int
) -> list[tuple[NDArray[np.int64], dict[_Part, list[str]]]]:
    """Return the rows that miss something, those that miss the same together, and what it is."""
    jobs = [(part, block) for part in parts for block in part.missing]
    pattern_U = np.zeros(count, dtype=np.int64)  # bit j: job j is to be done
    for bit, (part, block) in enumerate(jobs):
        pattern_U |= part.missing[block].astype(np.int64) << bit
    groups = []
    for pattern in np.unique(pattern_U[pattern_U > 0]).tolist():
        wanted: dict[_Part, list[str]] = {}
        for bit, (part, block) in enumerate(jobs):
            if pattern >> bit & 1:
                wanted.setdefault(part, []).append(block)
        groups.append((np.flatnonzero(pattern_U == pattern), wanted))
    return groups


def _checked(sources: Sequence[Source], files: Sequence[Path], ids: Sequence[str]) -> Preprocess:
    """Return how the pixels are cut, once everything fits together."""
    names = [name for source in sources for name in source.blocks]
    if not 1 <= len(names) <= 60 or len(set(names)) < len(names):  # one bit of a number each
        raise OutOfRange("sources", names, "1 to 60 blocks, each name once")
    preprocess = sources[0].backbone.spec.preprocess
    for source in sources:
        spec = source.backbone.spec
        if spec.preprocess.size_px != preprocess.size_px:
            raise OutOfRange(
                f"size_px of {spec.name}",
                spec.preprocess.size_px,
                f"{preprocess.size_px} pixels, as {sources[0].backbone.spec.name} reads",
            )
    if len(ids) != len(files):
        raise OutOfRange("ids", len(ids), f"{len(files)}, one for each file")
    return preprocess


def _read(places: Places, shape: tuple[int, int]) -> Rows:
    """Return rows (U, D) with what is stored filled in: the map itself where that is all."""
    if (view_UD := places.view()) is not None:
        return view_UD
    out_UD = np.empty(shape, np.float32)
    places.fill(out_UD)
    return out_UD


def _frozen(rows_ND: Rows) -> Rows:
    view_ND = rows_ND.view()
    view_ND.flags.writeable = False
    return view_ND

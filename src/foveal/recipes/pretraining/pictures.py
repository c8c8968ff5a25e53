"""`Pictures`: what pretraining learns from, be it tar shards or anything that `fit` reads."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from foveal.core.errors import BadData, OutOfRange
from foveal.core.listener import Listener
from foveal.data.manifest import Manifest
from foveal.data.reading import ReadSettings
from foveal.data.scan import scan
from foveal.data.shards import Shards, is_shard, read_shards
from foveal.data.split import split
from foveal.recipes.holding import with_val_split
from foveal.train.network.pictures.order import epoch_order

if TYPE_CHECKING:
    from foveal.train.network.pictures.canvas import Sources


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pictures:
    """N labelled pictures, not decoded yet."""

    sources: Sources
    labels_N: NDArray[np.int64]
    names: Sequence[str]  # for people
    digest: str  # SHA-256 that stands for their content and order

    @property
    def fact(self) -> str:
        """What a run remembers of them: another number tells more than another hash."""
        return f"{len(self.sources):,} pictures, {self.digest}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Schoolbook:
    """What is learnt from and what judges, with the same classes."""

    train: Pictures
    val: Pictures
    classes: tuple[str, ...]
    how: str  # where val comes from, in words


def schoolbook(
    data: Sequence[Path],
    val: Sequence[Path],
    reading: ReadSettings,
    *,
    val_share: float,
    seed: int,
    listener: Listener,
) -> Schoolbook:
    """Read what pretraining learns from.

    Args:
        data: tar shards, folders of them, or one path that ``foveal.read`` takes.
        val: shards or one path likewise; none: the val part that ``data`` names, else a share of
            every class is held out.
        reading: how what is no shard is read.
        val_share: held out where there is no val part.
        seed: of what is held out.
        listener: hears what was left out.

    Raises:
        BadData: where there is nothing to learn from or to judge by.
        OutOfRange: for shards and other data mixed.
    """
    if _are_shards(data):
        return _of_shards(data, val, val_share, seed, listener)
    return _of_manifest(data, val, reading, (val_share, seed), listener)


def _of_shards(
    data: Sequence[Path], val: Sequence[Path], val_share: float, seed: int, listener: Listener
) -> Schoolbook:
    found = read_shards(_files(data))
    for sentence in found.findings():
        listener.say(sentence)
    labels = found.labels
    if val:
        judging = read_shards(_files(val), classes=found.classes)
        for sentence in judging.findings():
            listener.say(sentence)
        learnt, how = found, "of the val part that was given"
    else:
        rows = held_out(labels, share=val_share, seed=seed)
        judging = found.rows(rows.tolist())
        learnt = found.rows(np.setdiff1d(np.arange(len(labels)), rows).tolist())
        how = f"{val_share:.0%} of every class, held out"
    return Schoolbook(
        train=_pictures(learnt), val=_pictures(judging), classes=found.classes, how=how
    )


def _pictures(shards: Shards) -> Pictures:
    return Pictures(
        sources=shards, labels_N=shards.labels, names=shards.names, digest=shards.digest()
    )


def _of_manifest(
    data: Sequence[Path],
    val: Sequence[Path],
    reading: ReadSettings,
    held: tuple[float, int],
    listener: Listener,
) -> Schoolbook:
    from foveal.data.readers import read

    if len(data) != 1 or len(val) > 1:
        raise OutOfRange("data", [str(path) for path in data], "tar shards, or one folder or table")
    manifest = scan(read(data[0], settings=reading), listener=listener)
    if val:
        judging = scan(read(val[0], settings=reading), listener=listener)
        if odd := sorted(set(judging.classes) - set(manifest.classes)):
            raise BadData(
                f"The val part has classes that are not among the others: {odd[0]}.",
                hint="Give train and val the same classes.",
            )
        pair, how = (manifest, judging), "of the val part that was given"
    else:
        share, seed = held
        labels = manifest.table["labels"].to_list()
        manifest = manifest.rows([row for row, names in enumerate(labels) if len(names) == 1])
        parts, how = split(manifest, test_share=0, seed=seed), "of the val part"
        if not len(parts.val):
            parts = with_val_split(manifest, parts, share=share, seed=seed)
            how = f"{100 * share:.0f} % of what there is to train on, held out"
        pair = (manifest.rows(parts.train), manifest.rows(parts.val))
    if not len(pair[1]):
        raise BadData(
            "No picture is left to judge by.", hint="Give a val part, or a larger --val-share."
        )
    index = {name: number for number, name in enumerate(manifest.classes)}
    return Schoolbook(
        train=_of(pair[0], index), val=_of(pair[1], index), classes=manifest.classes, how=how
    )


def _of(manifest: Manifest, index: dict[str, int]) -> Pictures:
    labels = manifest.table["labels"].to_list()
    single = [row for row, names in enumerate(labels) if len(names) == 1]
    manifest = manifest.rows(single)
    hashes = "\n".join(manifest.table["sha256"].to_list())
    return Pictures(
        sources=[manifest.file(path) for path in manifest.paths],
        labels_N=np.array([index[labels[row][0]] for row in single], np.int64),
        names=manifest.paths,
        digest=hashlib.sha256(hashes.encode()).hexdigest(),
    )


def held_out(labels_N: NDArray[np.int64], *, share: float, seed: int) -> NDArray[np.int64]:
    """Return the rows of a share of every class, at least one of each that has two: rising.

    >>> labels = np.array([0, 0, 0, 0, 1, 1, 1, 1, 2])
    >>> np.bincount(labels[held_out(labels, share=0.25, seed=0)]).tolist()
    [1, 1]
    """
    rows: list[NDArray[np.int64]] = []
    for label in np.unique(labels_N):
        members = np.flatnonzero(labels_N == label)
        count = min(max(1, round(share * len(members))), len(members) - 1)
        rows.append(members[epoch_order(len(members), seed=seed, epoch=int(label))[:count]])
    return np.sort(np.concatenate(rows))


def _are_shards(paths: Sequence[Path]) -> bool:
    return bool(paths) and all(is_shard(p) or (p.is_dir() and _inside(p)) for p in paths)


def _files(paths: Sequence[Path]) -> list[Path]:
    return [file for path in paths for file in (_inside(path) if path.is_dir() else [path])]


def _inside(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if is_shard(path))

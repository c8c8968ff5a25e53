"""`Units`: what a split or a fold must never tear: groups, and pictures of the same bytes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foveal.core.errors import FovealError
from foveal.data.manifest import Manifest


@dataclass(frozen=True, slots=True, eq=False)
class Units:
    """N images as U units, each to be assigned as a whole.

    ``ids`` name a unit by what is in it (the least SHA-256 of its images), not by where it
    stands: neither the order of rows nor the names of files can change what follows from them.
    """

    of_N: NDArray[np.int64]  # the unit of every image, in [0, U)
    ids: tuple[str, ...]  # U

    def __len__(self) -> int:
        """Return the number of units."""
        return len(self.ids)


def units_of(manifest: Manifest, *, by_group: bool = True) -> Units:
    """Return the units of a scanned manifest: images joined by group or by content.

    Joining is transitive: where two groups share one picture, both are one unit.

    Args:
        manifest: scanned, since its hashes are what units are named by.
        by_group: False joins pictures of the same bytes alone.

    Raises:
        FovealError: if a row has no hash yet.
    """
    hashes: list[str | None] = manifest.table["sha256"].to_list()
    if None in hashes:
        raise FovealError(
            f"{manifest.paths[hashes.index(None)]} has no hash yet.",
            hint="Scan the manifest before it is split.",
        )
    ids = [digest for digest in hashes if digest is not None]
    groups = manifest.table["group"].to_list() if by_group else [None] * len(ids)
    return join(ids, groups)


def join(hashes: Sequence[str], groups: Sequence[str | None]) -> Units:
    """Return N images as units, joined where they have the same hash or the same group.

    >>> units = join(["b", "a", "c", "a"], ["x", "x", None, None])
    >>> units.of_N.tolist(), units.ids
    ([0, 0, 1, 0], ('a', 'c'))
    """
    above = list(range(len(hashes)))  # a forest: row -> row nearer to its root

    def root(row: int) -> int:
        while above[row] != row:
            above[row] = above[above[row]]
            row = above[row]
        return row

    def tie(names: Iterable[str | None]) -> None:
        first: dict[str, int] = {}
        for row, name in enumerate(names):
            if name is not None and (other := first.setdefault(name, row)) != row:
                above[root(row)] = root(other)

    tie(hashes)
    tie(groups)
    roots = [root(row) for row in range(len(hashes))]
    least: dict[int, str] = {}
    for digest, top in zip(hashes, roots, strict=True):
        least[top] = min(least.get(top, digest), digest)
    number = {top: unit for unit, top in enumerate(sorted(least, key=least.__getitem__))}
    of_N = np.array([number[top] for top in roots], dtype=np.int64)
    return Units(of_N, tuple(sorted(least.values())))

"""Which row of which segment has an image: a million ids are looked up at once, without a loop."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foveal.model.feature_segment import DIGEST, Digests, Rows, Segment


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Where the rows of one block lie, for N ids that were looked up."""

    block: str
    segments: tuple[Segment, ...]
    segment_N: NDArray[np.int64]  # which of them; -1: none of them has it
    row_N: NDArray[np.int64]  # which row of it

    @property
    def missing_N(self) -> NDArray[np.bool_]:
        """Which of the N rows no segment has."""
        return self.segment_N < 0

    @property
    def used(self) -> list[Segment]:
        """The segments that have any of the rows."""
        return [self.segments[number] for number in np.unique(self.segment_N) if number >= 0]

    def fill(self, out_ND: Rows) -> None:
        """Copy the rows that are there into their rows of ``out_ND``; leave the others."""
        for number, segment in enumerate(self.segments):
            mine_n = np.flatnonzero(self.segment_N == number)
            if not len(mine_n):
                continue
            block, row_n = segment.block(self.block), self.row_N[mine_n]
            first, last = int(mine_n[0]), int(mine_n[-1]) + 1
            if last - first == len(mine_n):  # the usual case, at half the cost
                np.take(block, row_n, axis=0, out=out_ND[first:last], mode="clip")
            else:
                out_ND[mine_n] = block[row_n]

    def view(self) -> Rows | None:
        """Return the rows as they lie in the map, if they follow each other in one segment."""
        if not len(self.row_N) or self.segment_N[0] < 0:
            return None
        first, last = int(self.row_N[0]), int(self.row_N[0]) + len(self.row_N)
        together = np.all(self.segment_N == self.segment_N[0])
        if not together or np.any(self.row_N != np.arange(first, last)):
            return None
        rows: Rows = self.segments[self.segment_N[0]].block(self.block)[first:last]
        return rows


class Index:
    """The ids of some segments, sorted by their first eight bytes.

    Where several have the same id, the first of them is found. Two different ids that agree
    in all of the first 64 bits are told apart, but only the first is found: the other
    image is embedded again each time.
    """

    def __init__(self, segments: tuple[Segment, ...]) -> None:
        self.segments = segments
        self._ids_M32 = np.concatenate(
            [np.empty((0, DIGEST), np.uint8), *(segment.ids_N32 for segment in segments)]
        )
        self._start_S = np.cumsum([0, *map(len, segments)])  # first row of each among all M
        prefix_M = _prefix(self._ids_M32)
        self._order_M = np.argsort(prefix_M, kind="stable")
        self._prefix_M = prefix_M[self._order_M]

    def find(self, block: str, ids_N32: Digests) -> Places:
        """Say where the rows of these ids lie."""
        if not len(self._ids_M32):
            nowhere_N = np.full(len(ids_N32), -1)
            return Places(block, self.segments, nowhere_N, nowhere_N)
        at_N = np.searchsorted(self._prefix_M, _prefix(ids_N32))
        row_N = self._order_M[np.minimum(at_N, len(self._order_M) - 1)]
        there_N = (self._ids_M32[row_N] == ids_N32).all(axis=1)
        segment_N = np.searchsorted(self._start_S, row_N, side="right") - 1
        row_N = row_N - self._start_S[segment_N]
        return Places(block, self.segments, np.where(there_N, segment_N, -1), row_N)


def _prefix(ids_N32: Digests) -> NDArray[np.uint64]:
    """Return the first eight bytes of each id as one number (N,), in any fixed order."""
    return np.ascontiguousarray(ids_N32[:, :8]).view(np.uint64).ravel()

"""The index: a million ids at once give what a dict would give."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from foveal.model.feature_index import Index
from foveal.model.feature_segment import Segment, write_segment


class Stored(Segment):
    """A segment in memory: row r of its only block is (seed, r)."""

    def __init__(self, ids_N32: np.ndarray, seed: int) -> None:
        self.ids_N32, self._seed = ids_N32, seed

    def block(self, name: str) -> np.ndarray:
        assert name == "last"
        return np.array([(self._seed, row) for row in range(len(self))], np.float32).reshape(-1, 2)


def ids_of(numbers: list[int]) -> np.ndarray:
    """Return ids that differ in one of their first eight bytes only."""
    ids_N32 = np.zeros((len(numbers), 32), np.uint8)
    ids_N32[:, 3] = numbers
    return ids_N32


NUMBERS = st.lists(st.integers(0, 30), max_size=12)


@given(st.lists(NUMBERS, max_size=5), NUMBERS)
def test_it_finds_what_a_dict_finds_and_the_first_segment_wins(
    segments: list[list[int]], wanted: list[int]
) -> None:
    model: dict[int, tuple[int, int]] = {}
    for seed, numbers in enumerate(segments):
        for row, number in enumerate(numbers):
            model.setdefault(number, (seed, row))
    stored = tuple(Stored(ids_of(numbers), seed) for seed, numbers in enumerate(segments))
    places = Index(stored).find("last", ids_of(wanted))
    assert places.missing_N.tolist() == [number not in model for number in wanted]
    out = np.full((len(wanted), 2), -1, np.float32)
    places.fill(out)
    assert [tuple(row) for row in out] == [model.get(number, (-1, -1)) for number in wanted]
    if (view := places.view()) is not None:
        np.testing.assert_array_equal(view, out)


def test_two_ids_that_share_64_bits_are_told_apart() -> None:
    ids = ids_of([1, 1])
    ids[1, 31] = 1
    index = Index((Stored(ids, 0),))
    assert index.find("last", ids).missing_N.tolist() == [False, True]  # missing, never mistaken


def test_rows_that_follow_each_other_are_a_view_and_others_are_not() -> None:
    index = Index((Stored(ids_of([5, 6, 7, 8]), 0), Stored(ids_of([9]), 1)))
    view = index.find("last", ids_of([6, 7])).view()
    assert view is not None
    assert view.tolist() == [[0, 1], [0, 2]]
    for numbers in ([7, 6], [5, 7], [8, 9], [8, 1], [1, 5], []):
        assert index.find("last", ids_of(numbers)).view() is None


def test_a_view_is_the_map_itself(tmp_path: Path) -> None:
    ids = ids_of([1, 2, 3])
    segment = Segment(write_segment(tmp_path, [ids], {"last": [np.eye(3, dtype=np.float32)]}))
    view = Index((segment,)).find("last", ids[1:]).view()
    assert view is not None
    assert np.shares_memory(view, segment.block("last"))

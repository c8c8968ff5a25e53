"""The shelf: rows come back, whatever was flushed, merged, damaged or added by others."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foveal.core.errors import DiskFull
from foveal.model import feature_shelf
from foveal.model.feature_segment import Segment
from foveal.model.feature_shelf import MANY, FeatureShelf

BLOCKS = ("last", "stage1/mean")


class Ear:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, sentence: str) -> None:
        self.said.append(sentence)

    def progress(self, stage: str, done: int, total: int, unit: str = "images") -> None:
        pass


def shelf_at(folder: Path, ear: Ear | None = None, **settings_: object) -> FeatureShelf:
    known: dict[str, object] = {"make_room": lambda _bytes: None, "flush_after_s": 3600.0}
    return FeatureShelf(folder, "tiny", listener=ear or Ear(), **(known | settings_))  # type: ignore[arg-type]  # plain keywords


def ids_of(numbers: list[int]) -> np.ndarray:
    return np.array([[n] * 32 for n in numbers], np.uint8).reshape(-1, 32)


def row_of(number: int, block: str) -> list[float]:
    return [number, BLOCKS.index(block), number / 3]


def rows_of(numbers: list[int], *blocks: str) -> dict[str, np.ndarray]:
    return {b: np.array([row_of(n, b) for n in numbers], np.float32) for b in blocks}


def read(shelf: FeatureShelf, block: str, numbers: list[int]) -> tuple[list[bool], np.ndarray]:
    places = shelf.find(block, ids_of(numbers))
    out = np.full((len(numbers), 3), np.nan, np.float32)
    places.fill(out)
    return (~places.missing_N).tolist(), out


def store_each(folder: Path, numbers: list[int], block: str = "last") -> None:
    """Write one segment for each number."""
    shelf = shelf_at(folder, flush_after_s=0.0)
    for number in numbers:
        shelf.add(ids_of([number]), rows_of([number], block))


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("add"),
            st.lists(st.integers(0, 40), min_size=1, max_size=6),
            st.sampled_from([("last",), ("stage1/mean",), BLOCKS]),
        ),
        st.tuples(st.sampled_from(["flush", "reopen", "kill"]), st.none(), st.none()),
    ),
    max_size=25,
)


@settings(max_examples=40, deadline=None)
@given(STEPS)
def test_it_holds_what_a_dict_of_the_same_history_holds(steps: list[tuple]) -> None:
    with tempfile.TemporaryDirectory() as name, mock.patch.object(feature_shelf, "MANY", 3):
        shelf = shelf_at(Path(name))
        stored: set[tuple[int, str]] = set()
        waiting: set[tuple[int, str]] = set()
        kind: tuple[str, ...] | None = None  # which blocks wait
        for what, numbers, blocks in steps:
            if what == "add":
                if blocks != kind:
                    stored |= waiting
                    waiting = set()
                shelf.add(ids_of(numbers), rows_of(numbers, *blocks))
                waiting |= {(n, b) for n in numbers for b in blocks}
                kind = blocks
            elif what == "flush":
                shelf.flush()
                stored, waiting = stored | waiting, set()
            elif what == "reopen":
                shelf.flush()
                stored, waiting = stored | waiting, set()
                shelf = shelf_at(Path(name))
            else:  # what waited dies with the process
                waiting = set()
                shelf = shelf_at(Path(name))
            for block in BLOCKS:
                there, out = read(shelf, block, list(range(41)))
                assert there == [(n, block) in stored for n in range(41)]
                expected = [row_of(n, block) for n in range(41) if there[n]]
                assert out[there].tolist() == np.array(expected, np.float32).tolist()


def test_rows_wait_no_longer_than_told_and_never_beyond_the_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_shelf, "SMALL_BYTES", 200)
    shelf = shelf_at(tmp_path)
    shelf.add(ids_of([1, 2]), rows_of([1, 2], "last"))
    assert files(tmp_path) == []
    shelf.add(ids_of([3, 4, 5]), rows_of([3, 4, 5], "last"))  # 220 bytes now
    assert len(files(tmp_path)) == 1
    prompt = shelf_at(tmp_path, flush_after_s=0.0)
    prompt.add(ids_of([6]), rows_of([6], "last"))
    assert len(files(tmp_path)) == 2


def test_many_small_segments_become_one_with_each_id_once_in_the_order_of_writing(
    tmp_path: Path,
) -> None:
    numbers = [9, 3, 9, 1, 3, 7, 2]
    store_each(tmp_path, numbers)
    assert len(files(tmp_path)) == len(numbers) == MANY - 1
    first = Segment(files(tmp_path)[0]).order
    store_each(tmp_path, [8])
    assert [Segment(path).order for path in files(tmp_path)] == [first]
    places = shelf_at(tmp_path).find("last", ids_of([9, 3, 1, 7, 2, 8]))
    view = places.view()
    assert view is not None  # in a row, each once
    np.testing.assert_array_equal(view, rows_of([9, 3, 1, 7, 2, 8], "last")["last"])


def test_merging_many_times_the_same_rows_keeps_one_of_each(tmp_path: Path) -> None:
    store_each(tmp_path, [5] * MANY)
    assert len(files(tmp_path)) == 1
    assert read(shelf_at(tmp_path), "last", [5])[0] == [True]


def test_large_segments_and_those_with_other_blocks_are_not_merged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_each(tmp_path, list(range(MANY - 1)))
    store_each(tmp_path, [50, 51], "stage1/mean")
    assert len(files(tmp_path)) == MANY + 1
    monkeypatch.setattr(feature_shelf, "SMALL_BYTES", 10)
    store_each(tmp_path, [60])
    assert len(files(tmp_path)) == MANY + 2


def test_merging_leaves_what_this_process_has_mapped_and_keeps_its_rows(tmp_path: Path) -> None:
    store_each(tmp_path, list(range(MANY - 1)))
    shelf = shelf_at(tmp_path, flush_after_s=0.0)
    before = shelf.find("last", ids_of([0]))
    for number in (20, 21, 22):
        shelf.add(ids_of([number]), rows_of([number], "last"))
    assert len(files(tmp_path)) < MANY
    np.testing.assert_array_equal(before.view(), rows_of([0], "last")["last"])
    assert before.used[0].path.exists()
    assert all(read(shelf_at(tmp_path), "last", [*range(MANY - 1), 20, 21, 22])[0])


def test_merging_is_not_using_and_finding_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_shelf, "MANY", 100)
    store_each(tmp_path, list(range(MANY)))
    monkeypatch.setattr(feature_shelf, "MANY", MANY)
    for second, path in enumerate(files(tmp_path)):
        os.utime(path, (second, second))
    shelf = shelf_at(tmp_path)  # merges on opening
    assert [path.stat().st_mtime for path in files(tmp_path)] == [MANY - 1]
    shelf.find("last", ids_of([99]))
    assert files(tmp_path)[0].stat().st_mtime == MANY - 1
    shelf.find("last", ids_of([3]))
    assert files(tmp_path)[0].stat().st_mtime > MANY - 1


def test_a_damaged_block_is_said_and_missing_and_the_rest_stays(tmp_path: Path) -> None:
    store_each(tmp_path, [1, 2])
    bad = files(tmp_path)[0]
    content = bytearray(bad.read_bytes())
    content[-40] ^= 4  # in the float32 rows: the last 32 bytes are the id
    bad.write_bytes(content)
    ear = Ear()
    shelf = shelf_at(tmp_path, ear)
    there, out = read(shelf, "last", [1, 2])
    assert there == [False, True]
    assert out[1].tolist() == rows_of([2], "last")["last"][0].tolist()
    assert len(ear.said) == 1
    assert "damaged" in ear.said[0]
    assert str(bad) in ear.said[0]
    assert not bad.exists()


def test_a_damaged_segment_never_enters_a_merge(tmp_path: Path) -> None:
    store_each(tmp_path, list(range(MANY - 1)))
    bad = files(tmp_path)[2]
    content = bytearray(bad.read_bytes())
    content[-40] ^= 4
    bad.write_bytes(content)
    ear = Ear()
    shelf = shelf_at(tmp_path, ear, flush_after_s=0.0)
    shelf.add(ids_of([30]), rows_of([30], "last"))
    there, _ = read(shelf, "last", [*range(MANY - 1), 30])
    assert there == [number != 2 for number in [*range(MANY - 1), 30]]
    assert len(ear.said) == 1


def test_a_damaged_segment_that_cannot_be_removed_is_left_out_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_each(tmp_path, [1])
    files(tmp_path)[0].write_bytes(b"half")

    def forbidden(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "unlink", forbidden)
    ear = Ear()
    shelf = shelf_at(tmp_path, ear)
    for _ in range(3):
        assert read(shelf, "last", [1])[0] == [False]
    assert len(ear.said) == 1


def test_opening_sweeps_the_drafts_of_the_dead(tmp_path: Path) -> None:
    (tmp_path / ".1-a.safetensors.0.draft").write_bytes(b"half")
    shelf_at(tmp_path)
    assert files(tmp_path) == []


def test_what_another_process_adds_and_removes_is_seen_at_the_next_look(tmp_path: Path) -> None:
    shelf = shelf_at(tmp_path)
    assert read(shelf, "last", [1])[0] == [False]
    store_each(tmp_path, [1])
    assert read(shelf, "last", [1])[0] == [True]
    files(tmp_path)[0].unlink()
    assert read(shelf, "last", [1])[0] == [False]


def test_a_segment_removed_between_listing_and_reading_is_missing(tmp_path: Path) -> None:
    store_each(tmp_path, [1])
    shelf = shelf_at(tmp_path)  # has opened it, not yet mapped
    known = shelf._segments()
    files(tmp_path)[0].unlink()
    assert not shelf._verified(known[0], ["last"])
    assert read(shelf, "last", [1])[0] == [False]


def test_rows_that_found_no_room_are_let_go(tmp_path: Path) -> None:
    def no_room(_bytes: int) -> None:
        raise DiskFull("No space.")

    shelf = shelf_at(tmp_path, make_room=no_room)
    shelf.add(ids_of([1]), rows_of([1], "last"))
    with pytest.raises(DiskFull):
        shelf.flush()
    shelf.flush()
    assert files(tmp_path) == []


def test_a_merge_without_room_is_put_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store_each(tmp_path, list(range(MANY - 1)))
    real = feature_shelf.write_segment

    def full_for_merges(*args: object, **options: object) -> Path:
        if options:
            raise DiskFull("No space.")
        return real(*args)  # type: ignore[arg-type]  # passed on as it came

    monkeypatch.setattr(feature_shelf, "write_segment", full_for_merges)
    store_each(tmp_path, [30])
    assert len(files(tmp_path)) == MANY
    assert all(read(shelf_at(tmp_path), "last", [*range(MANY - 1), 30])[0])


def test_in_use_is_what_was_read_or_added_here(tmp_path: Path) -> None:
    store_each(tmp_path, [1, 2])
    shelf = shelf_at(tmp_path)
    assert shelf.in_use() == set()
    shelf.find("last", ids_of([2]))
    assert shelf.in_use() == {files(tmp_path)[1]}
    shelf.add(ids_of([3]), rows_of([3], "last"))
    shelf.flush()
    assert shelf.in_use() == set(files(tmp_path)[1:])


def test_what_rows_added_here_were_merged_into_is_in_use(tmp_path: Path) -> None:
    store_each(tmp_path, list(range(MANY - 1)))
    shelf = shelf_at(tmp_path)
    shelf.add(ids_of([30]), rows_of([30], "last"))
    shelf.flush()
    (merged,) = files(tmp_path)
    assert merged in shelf.in_use()

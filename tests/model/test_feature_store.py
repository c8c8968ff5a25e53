"""The store: shelves by fingerprint and pixels, under a limit, least recently used first out."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from foveal.backbone.spec import BackboneSpec
from foveal.core.errors import DiskFull, OutOfRange, UnknownName
from foveal.image.preprocess import Preprocess
from foveal.model import feature_store
from foveal.model.feature_store import FeatureStore, size_in_bytes

PREPROCESS = Preprocess(size_px=32)
SPEC = BackboneSpec(
    name="tiny",
    preprocess=PREPROCESS,
    features=250,
    last_grid=None,
    last_is_mean=False,
    stages=(),
    fingerprint="f" * 64,
    weights="made here",
)
ROW = 1000 + 32  # bytes of one stored row


def ids_of(*numbers: int) -> np.ndarray:
    return np.array([[n] * 32 for n in numbers], np.uint8)


def put(store: FeatureStore, spec: BackboneSpec, *numbers: int) -> None:
    """Add one segment."""
    shelf = store.shelf(spec, PREPROCESS)
    shelf.add(ids_of(*numbers), {"last": np.zeros((len(numbers), 250), np.float32)})
    shelf.flush()


def there(spec: BackboneSpec, *numbers: int) -> list[bool]:
    places = FeatureStore().shelf(spec, PREPROCESS).find("last", ids_of(*numbers))
    return (~places.missing_N).tolist()


def segments(store: FeatureStore) -> list[Path]:
    return sorted(store.folder.glob("*/*.safetensors"), key=lambda path: path.name)


def test_it_lies_in_the_cache_folder_and_the_next_process_finds_it(own_cache: Path) -> None:
    put(FeatureStore(), SPEC, 1, 2)
    assert there(SPEC, 1, 2, 3) == [True, True, False]
    assert {path.parts[len(own_cache.parts)] for path in own_cache.rglob("*")} == {"features"}


def test_another_fingerprint_or_cut_of_pixels_is_another_shelf_mean_and_deviation_are_not() -> None:
    store = FeatureStore()
    shelf = store.shelf(SPEC, PREPROCESS)
    assert store.shelf(replace(SPEC, fingerprint="0" * 64), PREPROCESS) is not shelf
    for change in (
        {"size_px": 64},
        {"crop": 1.0},
        {"shape": "squash"},
        {"interpolation": "bilinear"},
    ):
        assert store.shelf(SPEC, replace(PREPROCESS, **change)) is not shelf
    inside_the_graph = replace(PREPROCESS, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    assert store.shelf(replace(SPEC, name="other"), inside_the_graph) is shelf


def test_the_least_recently_used_make_room() -> None:
    for number in range(3):
        put(FeatureStore(), SPEC, number)
    limit = sum(path.stat().st_size for path in segments(FeatureStore()))
    for second, path in enumerate(segments(FeatureStore())):
        os.utime(path, (second, second))
    FeatureStore().shelf(SPEC, PREPROCESS).find("last", ids_of(0))  # used now
    put(FeatureStore(limit=limit), SPEC, 7)
    assert there(SPEC, 0, 1, 2, 7) == [True, False, True, True]
    assert sum(path.stat().st_size for path in segments(FeatureStore())) <= limit


def test_other_backbones_rows_make_room_too() -> None:
    other = replace(SPEC, fingerprint="0" * 64)
    put(FeatureStore(), other, 1)
    put(FeatureStore(limit=ROW + 600), SPEC, 1)
    assert there(other, 1) == [False]
    assert there(SPEC, 1) == [True]


def test_what_this_run_has_read_or_added_never_makes_room() -> None:
    put(FeatureStore(), SPEC, 1)
    os.utime(segments(FeatureStore())[0], (1, 1))
    store = FeatureStore(limit=2 * (ROW + 600))
    store.shelf(SPEC, PREPROCESS).find("last", ids_of(1))
    put(store, SPEC, 2)
    with pytest.raises(DiskFull, match="FOVEAL_CACHE_LIMIT"):
        put(store, SPEC, 3)
    assert there(SPEC, 1, 2, 3) == [True, True, False]


def test_nothing_is_removed_for_rows_that_would_not_fit_anyway() -> None:
    put(FeatureStore(), SPEC, 1)
    with pytest.raises(DiskFull, match="fills the feature cache"):
        put(FeatureStore(limit=2 * ROW), SPEC, *range(10, 30))
    assert there(SPEC, 1) == [True]


def test_a_nearly_full_disk_is_left_some_room(monkeypatch: pytest.MonkeyPatch) -> None:
    put(FeatureStore(), SPEC, 1)
    free = SimpleNamespace(free=feature_store.SPARE_BYTES)
    monkeypatch.setattr(feature_store.shutil, "disk_usage", lambda _path: free)
    put(FeatureStore(), SPEC, 2)  # in the place of the old row
    assert there(SPEC, 1, 2) == [False, True]
    free.free = 0
    with pytest.raises(DiskFull, match="No space is left on the disk"):
        put(FeatureStore(), SPEC, 3)
    assert there(SPEC, 2) == [True]


def test_the_limit_comes_from_the_environment_or_the_argument(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert FeatureStore().limit_bytes == 10**10
    monkeypatch.setenv("FOVEAL_CACHE_LIMIT", "2 GiB")
    assert FeatureStore().limit_bytes == 2 * 1024**3
    assert FeatureStore(limit="5MB").limit_bytes == 5_000_000
    assert FeatureStore(limit=0).limit_bytes == 0


@pytest.mark.parametrize(
    ("size", "expected"),
    [("7", 7), ("1kb", 1000), ("1KiB", 1024), ("0.5 T", 5 * 10**11), (" 3M ", 3_000_000)],
)
def test_sizes_are_read_as_people_write_them(size: str, expected: int) -> None:
    assert size_in_bytes(size) == expected


@pytest.mark.parametrize("size", ["", "much", "-1", -1, "10 PB", "1.2.3GB", "I", "10iB", "inf"])
def test_what_is_no_size_is_refused(size: int | str) -> None:
    with pytest.raises(OutOfRange, match="such as 10GB"):
        FeatureStore(limit=size)


def test_usage_says_what_is_kept_last_used_first() -> None:
    assert FeatureStore().usage() == []
    other = replace(SPEC, name="other", fingerprint="0" * 64)
    put(FeatureStore(), other, 9)
    os.utime(segments(FeatureStore())[0], (1000, 1000))
    put(FeatureStore(), SPEC, 1, 2)
    put(FeatureStore(), SPEC, 2, 3)
    first, second = FeatureStore().usage()
    assert (first.backbone, first.images, first.blocks) == ("tiny", 3, ("last",))
    assert first.pixels == "32 px, crop 0.875, bicubic"
    assert 4 * ROW < first.size_bytes < 4 * ROW + 1200
    assert (second.backbone, second.images, second.last_used_s) == ("other", 1, 1000)


def test_usage_lists_rows_without_a_label_and_leaves_out_damaged_ones() -> None:
    put(FeatureStore(), SPEC, 1)
    put(FeatureStore(), SPEC, 2)
    folder = segments(FeatureStore())[0].parent
    (folder / "meta.json").write_text("{")
    segments(FeatureStore())[0].write_bytes(b"half")
    (entry,) = FeatureStore().usage()
    assert (entry.backbone, entry.images) == ("unknown", 1)


def test_clearing_removes_one_or_all_and_says_how_much() -> None:
    other = replace(SPEC, fingerprint="0" * 64)
    put(FeatureStore(), SPEC, 1)
    put(FeatureStore(), other, 1)
    store = FeatureStore()
    (store.folder / store.usage()[0].key / ".1-a.safetensors.0.draft").write_bytes(b"half")
    keys = [entry.key for entry in store.usage()]
    assert store.clear(keys[:1]) > ROW
    assert [entry.key for entry in store.usage()] == keys[1:]
    with pytest.raises(UnknownName):
        store.clear([keys[1], "none"])
    assert len(store.usage()) == 1
    assert store.clear() > ROW
    assert list(store.folder.iterdir()) == []
    assert store.clear() == 0


def test_a_cleared_store_can_be_used_again_by_who_had_it_open() -> None:
    store = FeatureStore()
    put(store, SPEC, 1)
    FeatureStore().clear()
    assert store.shelf(SPEC, PREPROCESS).find("last", ids_of(1)).missing_N.all()
    put(store, SPEC, 2)
    assert there(SPEC, 2) == [True]

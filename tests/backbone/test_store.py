"""Backbone folders: whole or absent, verified, found again by what was asked for."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from foveal.backbone import store
from foveal.backbone.classical import classical
from foveal.backbone.settings import BackboneSettings
from foveal.backbone.torch_load import load_timm
from foveal.core.errors import Damaged, DiskFull, FovealError, NotThere


def save_classical(folder: Path) -> None:
    backbone = classical()
    spec = replace(backbone.spec, name="fixed")
    store.save(folder, spec, backbone.graph(["last", "last/map"]), b"weights")


def test_what_was_saved_is_what_is_loaded(cached: Path, tiny: BackboneSettings) -> None:
    loaded = load_timm(tiny)
    backbone = store.load(cached)
    assert backbone.spec.preprocess == loaded.preprocess
    assert backbone.spec.assumed == loaded.assumed
    assert backbone.spec.weights == loaded.weights
    weights = backbone.network_weights()
    assert weights is not None
    state = loaded.network.state_dict()
    assert weights.keys() == state.keys()
    for name, array in weights.items():
        np.testing.assert_array_equal(array, state[name].numpy())


@pytest.mark.parametrize("name", [store.SPEC, store.GRAPH, store.WEIGHTS])
def test_a_flipped_bit_anywhere_is_found(cached: Path, name: str) -> None:
    content = bytearray((cached / name).read_bytes())
    rng = np.random.default_rng(0)
    places = [int(at) for at in rng.integers(0, len(content), 12)]
    for at in [0, len(content) // 2, len(content) - 1, *places]:
        content[at] ^= 4
        (cached / name).write_bytes(content)
        with pytest.raises(FovealError) as caught:
            store.load(cached).network_weights()
        if name != store.SPEC:  # a flip in the record may be no JSON, another format, another hash
            assert isinstance(caught.value, Damaged)
            assert name in str(caught.value)
        content[at] ^= 4
    (cached / name).write_bytes(content)
    store.load(cached).network_weights()


def test_a_changed_record_is_damage_even_if_it_is_good_json(cached: Path) -> None:
    facts = json.loads((cached / store.SPEC).read_bytes())
    facts["spec"]["preprocess"]["crop"] = 0.9
    (cached / store.SPEC).write_text(json.dumps(facts))
    with pytest.raises(Damaged, match=r"backbone\.json is not what was saved.*Remove the folder"):
        store.load(cached)


def test_a_missing_file_is_damage_and_a_missing_folder_is_said(cached: Path) -> None:
    (cached / store.WEIGHTS).unlink()
    backbone = store.load(cached)  # whoever needs no weights is not disturbed
    with pytest.raises(Damaged, match="safetensors"):
        backbone.network_weights()
    (cached / store.GRAPH).unlink()
    with pytest.raises(Damaged):
        store.load(cached)
    with pytest.raises(NotThere, match="is no backbone folder"):
        store.load(cached / "none")


def test_a_folder_of_another_format_is_refused(cached: Path) -> None:
    facts = json.loads((cached / store.SPEC).read_bytes())
    (cached / store.SPEC).write_text(json.dumps({**facts, "format": "foveal-backbone/9"}))
    with pytest.raises(FovealError, match="is of format 'foveal-backbone/9'"):
        store.load(cached)


def test_the_place_in_the_cache_follows_from_all_that_was_asked(
    tiny: BackboneSettings, tmp_path: Path
) -> None:
    assert tiny.weights is not None
    moved = tmp_path / "elsewhere.safetensors"
    moved.write_bytes(tiny.weights.read_bytes())
    changed = tmp_path / "changed.safetensors"
    changed.write_bytes(tiny.weights.read_bytes()[:-1] + b"x")
    place = store.cached_folder(tiny)
    assert store.cached_folder(replace(tiny, weights=moved)) == place  # content counts, not path
    others = [
        replace(tiny, weights=changed),
        replace(tiny, weights=None),
        replace(tiny, size_px=96),
        replace(tiny, mean=None),
        replace(tiny, shape="squash"),
        replace(tiny, model_args={"pad_type": "same"}),
        replace(tiny, backbone="test_resnet.r160_in1k"),
    ]
    assert len({place, *map(store.cached_folder, others)}) == len(others) + 1


def test_a_name_with_slashes_stays_inside_the_cache(own_cache: Path) -> None:
    place = store.cached_folder(BackboneSettings(backbone="../../etc:x"))
    assert place.parent == own_cache / "backbones"


def test_many_writers_at_once_leave_one_whole_folder(own_cache: Path) -> None:
    folder = own_cache / "backbones" / "fixed"
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(save_classical, [folder] * 6))
    assert store.load(folder).spec.name == "fixed"
    assert sorted(path.name for path in folder.parent.iterdir()) == [store.DRAFTS, "fixed"]
    assert list((folder.parent / store.DRAFTS).iterdir()) == []


def _save_for_ever(folder: Path, ready: object) -> None:
    ready.set()  # type: ignore[attr-defined]  # a multiprocessing event
    for number in range(10**6):
        save_classical(folder / f"fixed{number}")


def test_a_killed_writer_leaves_nothing_half_written_that_is_used(own_cache: Path) -> None:
    context = multiprocessing.get_context("fork")
    folder = own_cache / "backbones"
    for seed in range(4):
        ready = context.Event()
        process = context.Process(target=_save_for_ever, args=(folder / str(seed), ready))
        process.start()
        ready.wait()
        time.sleep(0.05 + 0.03 * seed)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    whole = [path for path in folder.glob("*/*") if path.parent.name != store.DRAFTS]
    folders = [path for path in whole if path.name != store.DRAFTS]
    for path in folders:
        assert store.load(path).network_weights is not None
        assert len(list(path.iterdir())) == 3


def test_drafts_of_killed_writers_are_removed_after_a_day(own_cache: Path) -> None:
    folder = own_cache / "backbones" / "fixed"
    old, young = (folder.parent / store.DRAFTS / name for name in ("old", "young"))
    for draft in (old, young):
        draft.mkdir(parents=True)
    os.utime(old, (0, 0))
    save_classical(folder)
    assert not old.exists()
    assert young.exists()


def test_no_space_leaves_nothing_behind(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_path: Path, _content: bytes) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        with pytest.raises(DiskFull):
            save_classical(own_cache / "backbones" / "fixed")
    assert [path for path in own_cache.rglob("*") if path.is_file()] == []


def test_the_cache_is_listed_and_emptied(cached: Path, own_cache: Path) -> None:
    save_classical(own_cache / "backbones" / "fixed")
    (cached / store.SPEC).write_bytes(b"{")
    entries = {entry.folder.name: entry for entry in store.kept()}
    assert entries["fixed"].name == "fixed"
    assert entries["fixed"].size_bytes > 10_000
    assert entries[cached.name].weights == "damaged"
    assert store.clear() >= sum(entry.size_bytes for entry in entries.values())
    assert store.kept() == []
    assert store.clear() == 0


def test_reading_a_folder_counts_as_using_it(cached: Path) -> None:
    os.utime(cached / store.SPEC, (1, 1))
    store.load(cached)
    assert store.kept()[0].last_used_s > time.time() - 60

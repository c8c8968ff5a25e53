from __future__ import annotations

import json
from dataclasses import replace

import pytest

from foveal.core.errors import DiskFull
from foveal.core.files import cache_folder
from foveal.data import memory
from foveal.data.memory import remember, remembered, split_key
from foveal.data.readers import read
from foveal.data.reading import ReadSettings
from foveal.data.scan import scan
from foveal.data.split import parts_by_prefix, prefixes, split


class Heard:
    """A listener that keeps the sentences."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, sentence: str) -> None:
        self.said.append(sentence)

    def progress(self, stage: str, done: int, total: int, unit: str = "images") -> None:
        raise AssertionError(stage)


PARTS = {"0a" * 8: "train", "1b" * 8: "test", "2c" * 8: "val"}


def ledger_file(key: str):
    return cache_folder() / "parts" / f"{key}.json"


def test_what_was_remembered_is_remembered():
    assert remembered("k") == {}
    remember("k", PARTS)
    assert remembered("k") == PARTS
    assert remembered("other") == {}


def test_what_is_added_joins_what_stands_there_and_the_new_part_holds():
    remember("k", PARTS)
    remember("k", {"3d" * 8: "test", "1b" * 8: "train"})
    assert remembered("k") == {**PARTS, "3d" * 8: "test", "1b" * 8: "train"}


def test_the_same_ledger_has_the_same_bytes_in_whatever_order_it_was_written():
    remember("one", PARTS)
    for name, part in reversed(PARTS.items()):
        remember("two", {name: part})
    assert ledger_file("one").read_bytes() == ledger_file("two").read_bytes()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        json.dumps({"format": 2, "parts": {}}).encode(),
        json.dumps({"format": 1, "parts": {"train": []}}).encode(),
        json.dumps({"format": 1, "parts": {"train": ["zz"], "val": [], "test": []}}).encode(),
        json.dumps({"format": 1, "parts": {"train": ["0a"], "val": [], "test": ["0a"]}}).encode(),
        json.dumps({"format": 1, "parts": {"train": 3, "val": [], "test": []}}).encode(),
    ],
)
def test_a_damaged_ledger_is_said_ignored_and_written_anew(content):
    ledger_file("k").parent.mkdir(parents=True)
    ledger_file("k").write_bytes(content)
    heard = Heard()
    assert remembered("k", listener=heard) == {}
    (sentence,) = heard.said
    assert str(ledger_file("k")) in sentence
    assert "ignored" in sentence
    remember("k", PARTS)
    assert remembered("k", listener=heard) == PARTS
    assert len(heard.said) == 1


def test_a_full_disk_leaves_the_ledger_as_it_was(monkeypatch):
    remember("k", PARTS)

    def full(path, content):
        raise DiskFull("No space.")

    monkeypatch.setattr(memory, "write_file", full)
    with pytest.raises(DiskFull):
        remember("k", {"3d" * 8: "test"})
    assert remembered("k") == PARTS


def test_each_way_of_splitting_a_folder_has_a_ledger_of_its_own(put, monkeypatch):
    root = put({"a/1_1.png": 1, "b/2_1.png": 2})
    plain = read(root)
    keys = {
        split_key(plain, test_share=0.2, seed=0),
        split_key(plain, test_share=0.3, seed=0),
        split_key(plain, test_share=0.2, seed=1),
        split_key(replace(plain, root=root / "a"), test_share=0.2, seed=0),
        split_key(
            read(root, settings=ReadSettings(group_pattern=r"(\d)_")), test_share=0.2, seed=0
        ),
    }
    assert len(keys) == 5
    monkeypatch.chdir(root.parent)
    assert split_key(read("photos"), test_share=0.2, seed=0) in keys


def test_pictures_added_to_a_folder_leave_the_part_of_the_others_alone(put):
    def fitted(files):
        manifest = scan(read(put(files)))
        key = split_key(manifest, test_share=0.2, seed=0)
        parts = split(manifest, kept=remembered(key))
        remember(key, parts_by_prefix(manifest, parts))
        return parts_by_prefix(manifest, parts), len(parts.test), manifest

    first, held, _ = fitted({f"{'ab'[n % 2]}/{n}.png": n for n in range(40)})
    assert held == 8
    second, held, manifest = fitted({f"b/more{n}.png": n for n in range(40, 100)})
    assert held == 20
    assert all(second[name] == part for name, part in first.items())
    assert set(second) == set(prefixes(manifest)) > set(first)

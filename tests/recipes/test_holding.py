"""A val part for strategies that choose while they learn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import foveal
from foveal.core.errors import BadData
from foveal.core.listener import SILENT, Silent
from foveal.recipes.holding import with_val
from foveal.recipes.orders import PrepareSettings
from foveal.recipes.prepare import Prepared, prepare


def prepared(path: Path, **read: object) -> Prepared:
    return prepare(foveal.read(path, **read), PrepareSettings(), SILENT)


def names(one: Prepared, rows: object) -> list[str]:
    return one.manifest.table["path"].gather(rows).to_list()


def test_a_fifth_of_each_class_is_held_out_of_train_and_the_test_part_stays(photos: Path) -> None:
    before = prepared(photos)
    after = with_val(before, share=0.2, seed=0)
    assert names(after, after.split.test) == names(before, before.split.test)
    assert sorted([*after.split.train, *after.split.val]) == before.split.train.tolist()
    share = len(after.split.val) / len(before.split.train)
    assert 0.1 < share < 0.3
    assert {name.split("/")[0] for name in names(after, after.split.val)} == set(
        before.manifest.classes
    )
    assert sorted(after.parts.values()).count("val") == len(after.split.val)


def test_the_same_seed_holds_the_same_out_and_another_seed_others(photos: Path) -> None:
    before = prepared(photos)
    one, two, other = (with_val(before, share=0.2, seed=seed) for seed in (0, 0, 1))
    assert one.split.val.tolist() == two.split.val.tolist() != other.split.val.tolist()


class Heard(Silent):
    """What was said."""

    def __init__(self) -> None:
        self.sentences: list[str] = []

    def say(self, sentence: str) -> None:
        self.sentences.append(sentence)


def test_how_many_are_held_out_is_said_once(photos: Path) -> None:
    heard, before = Heard(), prepared(photos)
    after = with_val(before, share=0.2, seed=0, listener=heard)
    (said,) = heard.sentences
    assert f"Of {len(before.split.train)} pictures to learn from, {len(after.split.val)} " in said
    with_val(after, share=0.2, seed=0, listener=heard)
    assert heard.sentences == [said]


def test_a_val_part_that_was_given_stays(make_photos: Callable, tmp_path: Path) -> None:
    make_photos(tmp_path / "set" / "train", count=6)
    make_photos(tmp_path / "set" / "val", seed=1, count=2)
    before = prepared(tmp_path / "set")
    assert with_val(before, share=0.5, seed=3) is before


def test_groups_are_held_out_whole(photos: Path) -> None:
    one = with_val(prepared(photos, group_pattern=r"^(\d)"), share=0.3, seed=0)
    groups = one.manifest.table["group"]
    val = set(groups.gather(one.split.val).to_list())
    assert val
    assert not val & set(groups.gather(one.split.train).to_list())


def test_one_group_alone_cannot_be_held_out_of(photos: Path) -> None:
    data = foveal.read(photos, group_pattern=r"\.(.)", group_scope="all")  # of "p.png": "p"
    everything = prepare(data, PrepareSettings(test_share=0), SILENT)
    with pytest.raises(BadData, match="one group"):
        with_val(everything, share=0.2, seed=0)

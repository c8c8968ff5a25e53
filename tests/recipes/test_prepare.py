"""Preparing: what is found is said, a file is never left out in silence, and parts are kept."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import foveal
from foveal.core.errors import BadData
from foveal.data.memory import remembered, split_key
from foveal.recipes.orders import PrepareSettings
from foveal.recipes.prepare import TOLD, prepare


@pytest.fixture
def copy(photos: Path, tmp_path: Path) -> Path:
    """`photos`, to be changed."""
    return Path(shutil.copytree(photos, tmp_path / "photos"))


def test_a_broken_file_is_named_with_its_reason(copy: Path, heard: Callable) -> None:
    (copy / "grid" / "04.png").write_bytes(b"")
    listener = heard()
    done = prepare(foveal.read(copy), PrepareSettings(), listener)
    assert "grid/04.png is left out: empty file" in listener.sentences
    assert len(done.manifest) == 59


def table_of(photos: Path, label: Callable[[int, str], str]) -> Path:
    files = sorted(photos.glob("*/*.png"))
    rows = [f"{f.relative_to(photos)},{label(n, f.parent.name)}" for n, f in enumerate(files)]
    (photos / "labels.csv").write_text("\n".join(["path,label", *rows]))
    return photos / "labels.csv"


def test_pictures_without_a_label_are_counted_left_out_of_fit_and_test(
    copy: Path, saved: Path, heard: Callable
) -> None:
    data = foveal.read(table_of(copy, lambda n, name: "NaN" if n % 10 == 0 else name))
    listener = heard()
    done = prepare(data, PrepareSettings(), listener)
    assert len(done.manifest) == len(done.parts) == 54
    assert "6 of 60 pictures are left out: they have no label." in listener.sentences
    listener = heard()
    judged = foveal.load(saved).test(data, listener=listener)
    assert "6 of 60 pictures are left out: they have no label." in listener.sentences
    assert judged.judgement.images <= 12


def test_a_table_without_any_label_is_refused(copy: Path, heard: Callable) -> None:
    data = foveal.read(table_of(copy, lambda _number, _name: ""))
    with pytest.raises(BadData, match=r"Not one picture of .* has a label\. Is another column"):
        prepare(data, PrepareSettings(), heard())


def test_findings_of_one_kind_are_told_a_few_times_and_counted(copy: Path, heard: Callable) -> None:
    for number in range(TOLD + 3):
        shutil.copy(copy / "dots" / f"{number:02}.png", copy / "dots" / f"again{number}.png")
    listener = heard()
    prepare(foveal.read(copy), PrepareSettings(), listener)
    told = [said for said in listener.sentences if said.startswith("The same picture 2 times")]
    assert len(told) == TOLD
    assert "… and 3 more of the kind 'duplicate'." in listener.sentences


def test_pictures_keep_their_part_when_others_are_added(
    copy: Path, make_photos: Callable, tmp_path: Path, heard: Callable
) -> None:
    first = prepare(foveal.read(copy), PrepareSettings(), heard())
    more = make_photos(tmp_path / "more", seed=8, count=7)
    for path in more.glob("*/*.png"):
        shutil.copy(path, copy / path.parent.name / f"new{path.name}")
    second = prepare(foveal.read(copy), PrepareSettings(), heard())
    assert len(second.parts) == 81
    assert {prefix: second.parts[prefix] for prefix in first.parts} == first.parts
    assert list(second.parts.values()).count("test") == round(0.2 * 81)


def test_a_ledger_that_cannot_be_written_costs_only_the_ledger(
    photos: Path, heard: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("foveal.recipes.prepare.remember", full)
    listener = heard()
    data = foveal.read(photos)
    done = prepare(data, PrepareSettings(), listener)
    assert len(done.split.test) == 12
    assert any("is not remembered on this machine" in said for said in listener.sentences)
    assert remembered(split_key(data, test_share=0.2, seed=0)) == {}


def test_a_class_that_only_the_test_part_has_is_not_learnt(
    make_photos: Callable, tmp_path: Path, heard: Callable
) -> None:
    make_photos(tmp_path / "set" / "train", count=4)
    make_photos(tmp_path / "set" / "test", seed=1, count=4)
    (tmp_path / "set" / "test" / "waves").rename(tmp_path / "set" / "test" / "zebras")
    listener = heard()
    done = prepare(foveal.read(tmp_path / "set"), PrepareSettings(), listener)
    assert done.manifest.classes == ("dots", "grid", "waves")
    assert any("zebras" in said for said in listener.sentences)


@pytest.mark.parametrize(
    ("keep", "sentence"),
    [
        ({"dots": 20}, "has pictures of one class only, 'dots'"),
        ({"dots": 20, "grid": 1}, "Class 'grid' has one picture"),
        (
            {"dots": 20, "grid": 1, "waves": 1},
            "2 classes have one picture to train on, such as 'grid'",
        ),
    ],
)
def test_what_cannot_be_learnt_is_refused(
    copy: Path, heard: Callable, keep: dict[str, int], sentence: str
) -> None:
    for folder in copy.iterdir():
        for path in sorted(folder.iterdir())[keep.get(folder.name, 0) :]:
            path.unlink()
    with pytest.raises(BadData, match=sentence):
        prepare(foveal.read(copy), PrepareSettings(test_share=0), heard())


def test_a_fit_that_is_refused_remembers_nothing(
    photos: Path, make_photos: Callable, tmp_path: Path, heard: Callable
) -> None:
    """Else a folder that was once called `test` would never be trained on again."""
    root = tmp_path / "set"
    shutil.copytree(photos, root / "test")
    with pytest.raises(BadData, match="no picture to train on"):
        prepare(foveal.read(root), PrepareSettings(), heard())
    for folder in (root / "test").iterdir():
        folder.rename(root / folder.name)
    (root / "test").rmdir()
    assert len(prepare(foveal.read(root), PrepareSettings(), heard()).split.train) == 48


def test_where_holding_out_took_the_pictures_the_way_out_is_said(
    make_photos: Callable, tmp_path: Path, heard: Callable
) -> None:
    root = make_photos(tmp_path / "few", count=2)
    with pytest.raises(BadData, match=r"one picture to train on.*hold none of them out"):
        prepare(foveal.read(root), PrepareSettings(test_share=0.5), heard())


def test_a_class_that_only_the_val_part_has_judges_nothing(
    make_photos: Callable, tmp_path: Path, heard: Callable
) -> None:
    make_photos(tmp_path / "set" / "train", count=4)
    make_photos(tmp_path / "set" / "val", seed=1, count=4)
    (tmp_path / "set" / "val" / "waves").rename(tmp_path / "set" / "val" / "zebras")
    listener = heard()
    done = prepare(foveal.read(tmp_path / "set"), PrepareSettings(), listener)
    judging = done.manifest.rows(done.split.val)
    assert {path.split("/")[-2] for path in judging.paths} == {"dots", "grid"}
    assert any("zebras" in said for said in listener.sentences)

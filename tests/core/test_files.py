"""Writing: whole or not at all, and never in another writer's place."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import nullcontext
from pathlib import Path

import pytest

from foveal.core import files
from foveal.core.errors import AlreadyThere, NotThere, OutOfRange
from foveal.core.files import check_file, write_file, write_folder


def write(path: Path, text: str, *, overwrite: bool = False) -> None:
    with write_folder(path, overwrite=overwrite) as draft:
        (draft / "a").write_text(text)


def test_a_folder_is_there_whole_with_missing_parents_and_nothing_beside_it(tmp_path: Path) -> None:
    write(tmp_path / "new" / "m", "1")
    assert (tmp_path / "new" / "m" / "a").read_text() == "1"
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["m"]


def test_a_block_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), write_folder(tmp_path / "m"):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_the_second_of_two_writers_is_refused_and_the_first_stands(tmp_path: Path) -> None:
    def late() -> None:
        with write_folder(tmp_path / "m") as draft:
            (draft / "a").write_text("late")
            write(tmp_path / "m", "early")

    with pytest.raises(AlreadyThere):
        late()
    assert (tmp_path / "m" / "a").read_text() == "early"
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_a_replaced_folder_is_gone_and_one_that_cannot_be_replaced_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "m", "old")
    rename = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if ".draft" in self.name:
            raise PermissionError(self)
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", failing)
        with pytest.raises(PermissionError):
            write(tmp_path / "m", "new", overwrite=True)
    assert (tmp_path / "m" / "a").read_text() == "old"
    write(tmp_path / "m", "new", overwrite=True)
    assert (tmp_path / "m" / "a").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_drafts_of_the_dead_are_swept_and_those_of_the_living_and_of_others_are_not(
    tmp_path: Path,
) -> None:
    for name in (".m.0000.draft", ".other.0000.draft"):
        (tmp_path / name).mkdir()
    with write_folder(tmp_path / "m") as living:
        write(tmp_path / "m", "1")
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
            [".other.0000.draft", living.name, "m"]
        )
        (living / "a").write_text("2")
        (tmp_path / "m" / "a").unlink()
    assert (tmp_path / "m" / "a").read_text() == "2"  # an emptied folder is free again


def test_a_file_keeps_what_it_held_when_writing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "deep" / "numbers.json"
    write_file(target, b"old")

    def failing(_descriptor: int) -> None:
        raise OSError("the disk is gone")

    monkeypatch.setattr(files.os, "fsync", failing)
    with pytest.raises(OSError, match="the disk is gone"):
        write_file(target, b"new")
    assert target.read_bytes() == b"old"
    assert [path.name for path in target.parent.iterdir()] == ["numbers.json"]


def test_a_file_and_its_new_name_are_synced_in_this_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = []
    sync, replace = os.fsync, Path.replace

    def syncing(descriptor: int) -> None:
        done.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "content")
        sync(descriptor)

    def replacing(self: Path, target: Path) -> Path:
        done.append("name")
        return replace(self, target)

    monkeypatch.setattr(files.os, "fsync", syncing)
    monkeypatch.setattr(Path, "replace", replacing)
    write_file(tmp_path / "numbers.json", b"new")
    assert done == ["content", "name", "folder"]


@pytest.mark.parametrize(("number", "refused"), [(errno.EINVAL, False), (errno.EIO, True)])
def test_a_disk_that_cannot_sync_folders_is_used_and_one_that_fails_at_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, refused: bool
) -> None:
    sync = os.fsync

    def syncing(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        sync(descriptor)

    monkeypatch.setattr(files.os, "fsync", syncing)
    with pytest.raises(OSError, match="error") if refused else nullcontext():
        write_file(tmp_path / "numbers.json", b"new")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"new"]


@pytest.mark.parametrize(
    ("name", "kind", "sentence"),
    [
        ("lr.png", OutOfRange, "Expected a file name that ends in .svg."),
        ("file/new/lr.svg", NotThere, "file is a file, not a folder."),
        ("folder.svg", AlreadyThere, "folder.svg is a folder. Name a file."),
        ("mine.svg", AlreadyThere, "mine.svg already exists. Choose another name"),
    ],
)
def test_a_file_that_cannot_be_written_is_refused_beforehand(
    tmp_path: Path, name: str, kind: type[Exception], sentence: str
) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "mine.svg").write_text("mine")
    (tmp_path / "folder.svg").mkdir()
    with pytest.raises(kind) as refused:
        check_file(tmp_path / name, ending=".svg")
    assert sentence in str(refused.value)
    check_file(tmp_path / "mine.svg", ending=".svg", overwrite=True)
    check_file(tmp_path / "new" / "LR.SVG", ending=".svg")

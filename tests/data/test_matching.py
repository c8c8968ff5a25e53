"""A glob finds what Python's own would, once each, and comes to an end."""

from __future__ import annotations

import glob
import os
from pathlib import Path

import pytest

from foveal.data.matching import matching

FILES = ("1.png", "a/1.png", "a/b/2.png", "a/b/notes.txt", "c/b/3.jpg", "[d]/4.png", "a/.h/5.png")


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in FILES:
        (tmp_path / "new" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "new" / name).write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "new"


@pytest.mark.parametrize(
    "pattern",
    [
        "new/*.png",
        "new/**/*.png",
        "new/**/**/*.png",
        "**/*.png",
        "n*/**/b/*",
        "new/**/b/**/*.png",
        "new/a/**/?.png",
        "new/**/[!1].*",
        "new/**/no.png",
        "nowhere/**/*.png",
        "new/[[]d]/**/*.png",
        "{here}/new/**/*.png",
    ],
)
def test_without_links_it_finds_the_files_that_pythons_glob_finds(tree: Path, pattern: str) -> None:
    pattern = pattern.format(here=tree.parent)
    plain = set(glob.glob(pattern, recursive=True))  # noqa: PTH207 — the oracle
    expected = sorted(path for path in plain if Path(path).is_file())
    assert sorted(matching(pattern)) == expected


def test_a_folder_that_fits_stands_for_the_pictures_in_it(tree: Path) -> None:
    assert list(matching("new/**/b")) == ["new/a/b/2.png", "new/c/b/3.jpg"]


@pytest.mark.parametrize("pattern", ["new/**/*.png", "new/**/*", "new/**"])
def test_links_in_circles_come_to_an_end_and_give_each_file_once(tree: Path, pattern: str) -> None:
    before = list(matching(pattern))
    for name in ("up", "again", "a/up", "a/b/top", "c/other"):
        (tree / name).symlink_to(tree if name != "c/other" else tree / "a")
    found = list(matching(pattern))
    assert len(found) == len(before)
    assert {os.path.realpath(path) for path in found} == set(map(os.path.realpath, before))


def test_a_picture_with_two_names_of_its_own_is_found_under_both(tree: Path) -> None:
    (tree / "c" / "b" / "same.png").symlink_to(tree / "1.png")
    assert list(matching("new/c/**/*.png")) == ["new/c/b/same.png"]
    assert len(list(matching("new/**/*.png"))) == 5

from __future__ import annotations

import os
import shutil
import sys

import pytest

from foveal.core.errors import BadData, OutOfRange
from foveal.data.readers import read
from foveal.data.readers.folders import read as read_folders
from foveal.data.reading import ReadSettings


def test_the_folder_below_the_root_is_the_class_at_any_depth(put, told):
    root = put({"bee/1.png": 1, "ant/2.jpg": 2, "ant/old/deep/3.PNG": 3})
    manifest = read(root)
    assert manifest.classes == ("ant", "bee")
    assert manifest.paths == ["ant/2.jpg", "ant/old/deep/3.PNG", "bee/1.png"]
    assert manifest.table["labels"].to_list() == [["ant"], ["ant"], ["bee"]]
    assert manifest.table["part"].null_count() == 3
    assert "'ant' holds old" in told(manifest, "nested")
    assert manifest.source == f"class folders {root}"


def test_class_names_are_taken_as_they_are_written(put):
    names = ["with space", "naïve", "日本", 'it\'s "quoted"', "a,b;c", "10", "9", "<b>"]
    manifest = read(put({f"{name}/1.png": n for n, name in enumerate(names)}))
    assert manifest.classes == tuple(sorted(names))
    assert [[path.split("/")[0]] for path in manifest.paths] == manifest.table["labels"].to_list()


def test_an_empty_folder_is_a_class_and_told(put, told):
    # pytorch-image-models#957
    manifest = read(put({"ant/1.png": 1, "bee": None, "wasp/2.png": 2}))
    assert manifest.classes == ("ant", "bee", "wasp")
    assert manifest.label_indices.tolist() == [0, 2]
    assert "'bee' has no picture" in told(manifest, "empty-class")


def test_a_hidden_folder_is_no_class(put, told):
    # mmpretrain#507
    manifest = read(put({".ipynb_checkpoints/1.png": 1, "a/1.png": 1, "b/2.png": 2}))
    assert manifest.classes == ("a", "b")
    assert ".ipynb_checkpoints" in told(manifest, "hidden")


def test_a_folder_of_other_files_is_no_class(put, told):
    manifest = read(put({"a/1.png": 1, "notes/x.txt": b"", "b/2.png": 2}))
    assert manifest.classes == ("a", "b")
    assert "notes holds files but no picture" in told(manifest, "not-a-class")
    assert ".txt ×1" in told(manifest, "not-pictures")


@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes on Linux alone")
def test_a_class_folder_whose_name_is_not_utf8_is_named(put, told):
    bad = os.fsdecode(b"fen\xeatre")
    root = put({"a/1.png": 1, f"{bad}/1.png": 2})
    manifest = read(root)
    assert manifest.classes == ("a",)
    assert r"fen\xeatre/. Rename" in told(manifest, "bad-folder-name")
    shutil.rmtree(root / "a")
    with pytest.raises(BadData, match=r"names that are not UTF-8: fen\\xeatre/\. Rename"):
        read(root)


def test_a_folder_of_pipes_is_no_class(put, told):
    root = put({"a/1.png": 1, "b/1.png": 2, "pipes": None})
    os.mkfifo(root / "pipes" / "1.jpg")
    manifest = read(root)
    assert manifest.classes == ("a", "b")
    assert "pipes holds files but no picture" in told(manifest, "not-a-class")


def test_pictures_beside_the_class_folders_are_left_out_and_told(put, told):
    manifest = read(put({"a/1.png": 1, "loose.png": 2}))
    assert manifest.paths == ["a/1.png"]
    assert "1 picture left out" in told(manifest, "loose")
    assert "loose.png" in told(manifest, "loose")


def test_two_spellings_of_one_name_stay_two_classes_and_are_told(put, told):
    manifest = read(put({"Cat/1.png": 1, "cat/2.png": 2}))
    assert manifest.classes == ("Cat", "cat")
    assert "'Cat' and 'cat' differ only in case" in told(manifest, "spelling")


def test_groups_come_from_the_file_names(put):
    settings = ReadSettings(group_pattern=r"^(\d+)_")
    manifest = read(put({"a/1_1.png": 1, "a/1_2.png": 2, "b/1_1.png": 3}), settings=settings)
    assert manifest.table["group"].to_list() == ["a/1", "a/1", "b/1"]
    assert manifest.grouping == settings.grouping


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "holds no picture. Expected class folders"),
        ({"a": None, "b": None}, "holds no picture"),
        ({"a/x.txt": b""}, "holds 1 file but no picture"),
        ({"1.png": 1, "2.png": 2}, "holds 2 pictures but no class folders. Sort them"),
        ({"1.png": 1, "labels.csv": b"path,label"}, "Is .*labels.csv the table of their labels"),
    ],
)
def test_a_folder_without_classes_says_what_is_missing(put, files, said):
    with pytest.raises(BadData, match=said):
        read(put(files))


def test_settings_for_tables_are_refused_and_not_ignored(put):
    root = put({"a/1.png": 1})
    with pytest.raises(OutOfRange, match=r"label_column = 'class'.*class folders"):
        read(root, settings=ReadSettings(label_column="class"))


def test_a_file_is_no_folder_of_classes(put):
    with pytest.raises(OutOfRange, match="a folder of class folders"):
        read_folders(put({"a/1.png": 1}) / "a" / "1.png", ReadSettings())

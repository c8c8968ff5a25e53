from __future__ import annotations

import pytest

from foveal.core.errors import BadData, OutOfRange
from foveal.data.readers import read
from foveal.data.readers.split_folders import read as read_parts
from foveal.data.readers.split_folders import sniff
from foveal.data.reading import ReadSettings


def test_parts_are_read_and_classes_are_one_list_over_them(put):
    root = put(
        {"train/bee/1.png": 1, "train/ant/2.png": 2, "val/bee/3.png": 3, "test/ant/4.png": 4}
    )
    manifest = read(root)
    assert manifest.classes == ("ant", "bee")
    rows = dict(zip(manifest.paths, manifest.table["part"].to_list(), strict=True))
    assert rows == {
        "train/ant/2.png": "train",
        "train/bee/1.png": "train",
        "val/bee/3.png": "val",
        "test/ant/4.png": "test",
    }
    assert manifest.source == f"part folders {root}/{{train,val,test}}"


@pytest.mark.parametrize(
    ("folder", "part"),
    [("training", "train"), ("Valid", "val"), ("validation", "val"), ("TESTING", "test")],
)
def test_other_spellings_of_a_part_are_understood_and_told(put, told, folder, part):
    manifest = read(put({f"{folder}/a/1.png": 1, f"{folder}/b/2.png": 2}))
    assert set(manifest.table["part"]) == {part}
    assert f"{folder!r} was read as the part {part}" in told(manifest, "part-spelling")


def test_two_folders_of_one_part_are_refused(put):
    with pytest.raises(BadData, match="two folders for val: 'val' and 'valid'"):
        read(put({"train/a/1.png": 1, "val/a/2.png": 2, "valid/a/3.png": 3}))


def test_a_class_that_a_part_lacks_keeps_the_numbers_of_the_others(put, told):
    # ultralytics#13936
    files = {f"train/{name}/1.png": n for n, name in enumerate(["0", "180", "270", "90"])}
    manifest = read(put(files | {"test/0/5.png": 5, "test/270/6.png": 6, "test/90/7.png": 7}))
    assert manifest.label_indices.tolist() == [0, 1, 2, 3, 0, 2, 3]
    assert "1 class without a picture in test: '180'" in told(manifest, "missing-class")


def test_a_class_folder_that_is_empty_in_one_part_is_no_other_class(put, told):
    # pytorch-image-models#957
    manifest = read(put({"train/a/1.png": 1, "train/b/2.png": 2, "val/a": None, "val/b/3.png": 3}))
    assert manifest.label_indices.tolist() == [0, 1, 1]
    assert "'a'" in told(manifest, "missing-class")
    assert told(manifest, "empty-class") == ""


def test_a_class_that_is_never_trained_is_told(put, told):
    manifest = read(put({"train/a/1.png": 1, "test/a/2.png": 2, "test/b/3.png": 3}))
    assert "never answered" in told(manifest, "untrained-class")
    assert "'b'" in told(manifest, "untrained-class")


def test_parts_that_share_no_class_are_refused(put):
    with pytest.raises(BadData, match=r"Not one class of val \('images'\) is a class of train"):
        read(put({"train/a/1.png": 1, "train/b/2.png": 2, "val/images/3.png": 3}))


@pytest.mark.parametrize("other", ["Cat", "cat ", "ｃａｔ"])
def test_a_class_spelled_otherwise_in_another_part_would_score_wrong(put, other):
    files = {"train/cat/1.png": 1, "train/dog/2.png": 2, "test/dog/3.png": 3}
    with pytest.raises(BadData, match=f"'{other}' stands in test alone and 'cat' in train"):
        read(put({**files, f"test/{other}/4.png": 4}))


def test_two_spellings_that_are_both_trained_are_told_and_kept(put, told):
    manifest = read(put({"train/cat/1.png": 1, "train/Cat/2.png": 2, "test/cat/3.png": 3}))
    assert manifest.classes == ("Cat", "cat")
    assert told(manifest, "spelling")


def test_what_lies_beside_the_parts_is_left_out_and_told(put, told):
    files = {"train/a/1.png": 1, "annotations/1.xml": b"", "extra/b/9.png": 9}
    manifest = read(put({**files, "train/loose.png": 2}))
    assert manifest.paths == ["train/a/1.png"]
    assert "train, not in a class folder (loose.png)" in told(manifest, "loose")
    beside = [f.message for f in manifest.findings if f.kind == "beside-parts"]
    assert "'annotations'" in beside[0]
    assert "1 picture in it" in beside[1]


def test_a_group_that_the_source_tore_apart_is_told(put, told):
    settings = ReadSettings(group_pattern=r"^(\w)_")
    files = {"train/a/x_1.png": 1, "train/a/y_1.png": 2, "test/a/x_2.png": 3}
    manifest = read(put(files), settings=settings)
    assert "1 group of 2 stand in more than one" in told(manifest, "group-straddles")


def test_a_class_called_train_is_no_part(put):
    root = put({"train/1.png": 1, "plane/2.png": 2})
    assert not sniff(root)
    assert read(root).classes == ("plane", "train")


def test_one_part_alone_is_enough(put):
    manifest = read(put({"test/a/1.png": 1, "test/b/2.png": 2}))
    assert set(manifest.table["part"]) == {"test"}


def test_parts_asked_for_but_not_there_are_refused(put):
    with pytest.raises(BadData, match="no folder named train, val or test"):
        read(put({"a/1.png": 1}), reader="split_folders")
    with pytest.raises(BadData, match="2 pictures but no class folders"):
        read(put({"train/1.png": 1, "a/b/2.txt": b""}), reader="split_folders")
    with pytest.raises(OutOfRange, match="part folders"):
        read(put({"train/a/1.png": 1}), settings=ReadSettings(path_column="x"))
    with pytest.raises(OutOfRange, match="a folder with train"):
        read_parts(put({"x.png": 1}) / "x.png", ReadSettings())

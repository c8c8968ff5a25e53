"""`read` itself: which reader takes what, and real datasets."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from foveal.core.errors import NotThere, OutOfRange, UnknownName
from foveal.data.readers import READERS, read
from foveal.data.reading import ReadSettings


def test_a_path_that_is_not_there_names_the_nearest_that_is(tmp_path):
    with pytest.raises(NotThere, match=f"no dataset at .*nothing. {tmp_path} is the nearest"):
        read(tmp_path / "no" / "nothing")


def test_a_file_that_no_reader_knows_is_refused(put):
    with pytest.raises(OutOfRange, match=r"a folder of class folders, or a table: .csv"):
        read(put({"x.zip": b"PK"}) / "x.zip")


def test_a_reader_can_be_named_and_a_wrong_name_is_mended(put):
    root = put({"train/a/1.png": 1, "val/a/2.png": 2})
    assert read(root).classes == ("a",)
    assert read(root, reader="folders").classes == ("train", "val")
    assert read(root, settings=ReadSettings(reader="folders")).classes == ("train", "val")
    with pytest.raises(UnknownName, match="Did you mean 'folders'"):
        read(root, reader="folder")


def test_the_home_folder_may_be_written_short(put, monkeypatch):
    root = put({"a/1.png": 1})
    monkeypatch.setenv("HOME", str(root.parent))
    assert read("~/photos").root == root


def test_the_shipped_readers_are_asked_in_this_order():
    assert READERS.names() == ["saved", "tabular", "split_folders", "folders"]


@pytest.mark.parametrize(
    ("name", "train", "val", "classes"),
    [
        ("hymenoptera", 243, 153, 2),
        ("gtsrb", 1548, 430, 43),
        ("neu_surface", 360, 90, 6),
        ("mednist", 700, 210, 7),
        ("chest_xray", 600, 200, 2),
    ],
)
def test_real_datasets_have_the_counts_of_their_description(
    shared: Path, name: str, train: int, val: int, classes: int
):
    folder = shared / "domains" / name
    manifest = read(folder)
    counts = dict(manifest.table["part"].value_counts().iter_rows())
    assert counts == {"train": train, "val": val}
    assert len(manifest.classes) == classes
    assert not {f.kind for f in manifest.findings} - {"not-pictures", "beside-parts"}
    alone = read(folder / "train")
    assert len(alone) == train
    assert alone.classes == manifest.classes


def test_the_tracks_of_gtsrb_count_anew_in_every_class(shared: Path):
    settings = ReadSettings(group_pattern=r"^(\d+)_")
    manifest = read(shared / "domains" / "gtsrb", settings=settings)
    on_disk = {
        (path.parent.name, path.name.split("_")[0])
        for path in (shared / "domains" / "gtsrb").rglob("*.png")
    }
    assert manifest.table["group"].n_unique() == len(on_disk)
    assert "group-straddles" not in {finding.kind for finding in manifest.findings}
    assert "group-scope" in {finding.kind for finding in manifest.findings}


def test_imagenet_samples_have_a_picture_in_each_of_a_thousand_classes(shared: Path):
    manifest = read(shared / "imagenet_samples")
    assert (len(manifest), len(manifest.classes)) == (1000, 1000)
    assert manifest.findings == ()


@pytest.mark.slow
def test_a_hundred_thousand_files_are_read_in_seconds(tmp_path: Path):
    for folder in range(100):
        (tmp_path / f"{folder:03d}").mkdir()
        for number in range(1000):
            (tmp_path / f"{folder:03d}" / f"{number}.jpg").touch()
    start = time.process_time()
    assert len(read(tmp_path)) == 100_000
    assert time.process_time() - start < 2.5

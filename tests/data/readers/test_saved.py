from __future__ import annotations

import json
import string
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foveal.core.errors import BadData, NotThere, OutOfRange
from foveal.data.finding import Finding
from foveal.data.manifest import Manifest
from foveal.data.readers import read, saved
from foveal.data.readers.saved import save
from foveal.data.reading import ReadSettings
from foveal.data.scan import scan


def test_a_saved_manifest_opens_to_an_equal_one(put, tmp_path):
    manifest = scan(read(put({"a/1.png": 1, "b/2.png": 2, "b/3.png": 2, "c": None})))
    assert manifest.findings
    save(manifest, tmp_path / "manifest.parquet")
    assert read(tmp_path / "manifest.parquet") == manifest


TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "path": TEXT,
            "labels": st.lists(TEXT, max_size=3),
            "group": st.none() | TEXT,
            "part": st.sampled_from([None, "train", "val", "test"]),
            "sha256": st.none() | st.text(string.hexdigits, min_size=64, max_size=64),
            "width": st.none() | st.integers(1, 2**31 - 1),
            "height": st.none() | st.integers(1, 2**31 - 1),
        }
    ),
    max_size=6,
)
SCHEMA = {
    "path": pl.String,
    "labels": pl.List(pl.String),
    "group": pl.String,
    "part": pl.String,
    "sha256": pl.String,
    "width": pl.Int32,
    "height": pl.Int32,
}


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rows=ROWS, classes=st.sets(TEXT, max_size=4), message=TEXT, numbers=st.tuples(st.integers(0, 9))
)
def test_whatever_a_manifest_holds_comes_back(tmp_path, rows, classes, message, numbers):
    manifest = Manifest(
        root=tmp_path,
        classes=tuple(sorted(classes)),
        table=pl.DataFrame(rows, schema=SCHEMA),
        findings=(Finding(kind="x", message=message, rows=numbers, path=message),),
        grouping=message,
        source=message,
    )
    save(manifest, tmp_path / "manifest.parquet")
    assert read(tmp_path / "manifest.parquet") == manifest


def test_a_folder_may_be_moved_together_with_its_manifest(put, tmp_path):
    root = put({"a/1.png": 1})
    save(read(root), root / "manifest.parquet")
    moved = root.rename(tmp_path / "elsewhere")
    manifest = read(moved / "manifest.parquet")
    assert manifest.root == moved
    assert manifest.file("a/1.png").is_file()


def test_a_manifest_may_be_moved_away_from_its_pictures(put, tmp_path):
    root = put({"a/1.png": 1})
    save(read(root), tmp_path / "runs" / "deep" / "manifest.parquet")
    (tmp_path / "runs" / "deep" / "manifest.parquet").rename(tmp_path / "m.parquet")
    assert read(tmp_path / "m.parquet").root == root


def test_pictures_that_are_gone_are_asked_for(put, tmp_path):
    root = put({"a/1.png": 1})
    save(read(root), tmp_path / "m.parquet")
    root.rename(tmp_path / "new")
    with pytest.raises(NotThere, match=r"pictures of .*m.parquet are not at .*photos. Say where"):
        read(tmp_path / "m.parquet")
    again = read(tmp_path / "m.parquet", settings=ReadSettings(root=tmp_path / "new"))
    assert again.root == tmp_path / "new"


def test_groups_can_be_made_anew_on_opening(put, tmp_path):
    root = put({"a/1_1.png": 1, "a/1_2.png": 2, "b/1_1.png": 3})
    save(read(root, settings=ReadSettings(group_pattern=r"_(\d)")), tmp_path / "m.parquet")
    by_track = ReadSettings(group_pattern=r"^(\d)_")
    again = read(tmp_path / "m.parquet", settings=by_track)
    assert again == read(root, settings=by_track)


def test_another_parquet_file_is_no_saved_manifest(tmp_path):
    path = tmp_path / "t.parquet"
    pl.DataFrame({"path": ["x"], "label": ["a"]}).write_parquet(path)
    assert not saved.sniff(path)
    with pytest.raises(BadData, match="not one that Foveal saved"):
        read(path, reader="saved")


def test_a_damaged_file_says_so(put, tmp_path):
    save(read(put({"a/1.png": 1})), tmp_path / "m.parquet")
    (tmp_path / "m.parquet").write_bytes((tmp_path / "m.parquet").read_bytes()[:-20])
    with pytest.raises(BadData, match="is no Parquet file"):
        read(tmp_path / "m.parquet", reader="saved")


def test_a_format_of_tomorrow_says_to_update(put, tmp_path, monkeypatch):
    monkeypatch.setattr(saved, "FORMAT", 2)
    save(read(put({"a/1.png": 1})), tmp_path / "m.parquet")
    monkeypatch.setattr(saved, "FORMAT", 1)
    with pytest.raises(BadData, match=r"newer Foveal .format 2; this one reads 1"):
        read(tmp_path / "m.parquet")


def test_columns_are_not_for_saved_manifests(put, tmp_path):
    save(read(put({"a/1.png": 1})), tmp_path / "m.parquet")
    with pytest.raises(OutOfRange, match="a saved manifest"):
        read(tmp_path / "m.parquet", settings=ReadSettings(label_column="x"))


def test_the_same_manifest_gives_the_same_bytes_wherever_it_is(make_manifest, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        manifest = replace(make_manifest(["a", "b"]), root=tmp_path / name / "photos")
        save(manifest, tmp_path / name / "m.parquet")
    one, two = (tmp_path / name / "m.parquet" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    about = json.loads(pl.read_parquet_metadata(one)[saved.KEY])
    assert not Path(about["root"]).is_absolute()

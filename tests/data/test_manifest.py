from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from foveal.core.errors import BadData, UnknownName
from foveal.data.finding import Finding


def test_label_indices_follow_the_class_list_and_not_the_order_of_rows(make_manifest):
    manifest = make_manifest(["bee", "ant", "bee"])
    assert manifest.classes == ("ant", "bee")
    assert manifest.label_indices.tolist() == [1, 0, 1]
    assert manifest.label_indices.dtype == "int64"


@pytest.mark.parametrize(
    ("labels", "said"), [([], "1.png has no labels"), (["a", "b"], "2 labels")]
)
def test_a_row_without_exactly_one_label_is_named(make_manifest, labels, said):
    manifest = make_manifest(["a", "b"])
    several = manifest.table.with_columns(pl.Series("labels", [["a"], labels]))
    with pytest.raises(BadData, match=said):
        _ = manifest.with_table(several).label_indices


def test_a_label_that_is_no_class_is_named(make_manifest):
    manifest = replace(make_manifest(["ant", "bee"]), classes=("ant", "beet"))
    with pytest.raises(UnknownName, match=r"'bee'.*'beet'"):
        _ = manifest.label_indices


def test_rows_are_taken_in_the_order_asked_and_leave_findings_behind(make_manifest):
    manifest = make_manifest(["a", "b", "c"])
    manifest = manifest.with_table(manifest.table, Finding(kind="x", message="y"))
    assert manifest.rows([2, 0]).paths == ["2.png", "0.png"]
    assert manifest.rows([2, 0]).findings == ()
    assert len(manifest.findings) == 1


def test_manifests_are_equal_when_they_say_the_same(make_manifest, monkeypatch, tmp_path):
    one = make_manifest(["a", "b"])
    assert one == make_manifest(["a", "b"])
    assert one != make_manifest(["a", "a"])
    assert one != replace(one, grouping="by hand")
    assert one != "a manifest"
    monkeypatch.chdir(tmp_path)
    assert replace(one, root=Path("x")) == replace(one, root=tmp_path / "x")

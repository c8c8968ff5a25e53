from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from foveal.core.errors import BadData, NotThere, OutOfRange
from foveal.data.readers import read
from foveal.data.reading import ReadSettings

PICTURES = {"img/1.png": 1, "img/2.png": 2, "img/3.png": 3}


def table(root: Path, text: str, name: str = "labels.csv") -> Path:
    (root / name).write_text(text)
    return root / name


def parquet(root: Path, **columns: object) -> Path:
    pl.DataFrame(columns).write_parquet(root / "labels.parquet")
    return root / "labels.parquet"


def labels(manifest) -> list[list[str]]:
    return manifest.table["labels"].to_list()


@pytest.mark.parametrize(
    "header", ["path,label", "File Name,CLASS", "image,target", "img-path,tag"]
)
def test_columns_are_guessed_by_name_and_told(put, told, header):
    root = put(PICTURES)
    manifest = read(table(root, f"{header}\nimg/1.png,a\nimg/2.png,b\n"))
    assert manifest.root == root
    assert manifest.paths == ["img/1.png", "img/2.png"]
    assert labels(manifest) == [["a"], ["b"]]
    path, label = header.split(",")
    assert told(manifest, "guessed-columns") == (
        f"Columns taken: {path!r} for the path, {label!r} for the label."
    )
    assert manifest.source.endswith(f"labels.csv: path column {path!r}, label column {label!r}")


def test_columns_that_are_named_are_taken_whatever_is_there(put, told):
    text = "path,label,where,what\nx,wrong,img/1.png,a\nx,wrong,img/2.png,b\n"
    settings = ReadSettings(path_column="where", label_column="what")
    manifest = read(table(put(PICTURES), text), settings=settings)
    assert manifest.paths == ["img/1.png", "img/2.png"]
    assert manifest.classes == ("a", "b")
    assert told(manifest, "guessed-columns") == ""


def test_a_column_passed_over_by_the_guess_is_told(put, told):
    manifest = read(table(put(PICTURES), "path,class,label\nimg/1.png,x,a\n"))
    assert manifest.classes == ("a",)
    assert "'label' for the label (not class)" in told(manifest, "guessed-columns")


def test_the_root_may_be_elsewhere(put, tmp_path):
    root = put(PICTURES)
    manifest = read(
        table(tmp_path, "path,label\n1.png,a\n"), settings=ReadSettings(root=root / "img")
    )
    assert manifest.file(manifest.paths[0]) == root / "img" / "1.png"


def test_groups_and_parts_come_along(put):
    text = (
        "path,label,patient,split\nimg/1.png,a,p1,Training\nimg/2.png,a,p2,valid\nimg/3.png,a,,\n"
    )
    manifest = read(table(put(PICTURES), text))
    assert manifest.table["group"].to_list() == ["p1", "p2", None]
    assert manifest.table["part"].to_list() == ["train", "val", None]
    assert manifest.grouping == "group_column='patient'"
    assert [f.rows for f in manifest.findings if f.kind == "no-part"] == [(2,)]


def test_a_guessed_group_or_part_can_be_switched_off(put):
    settings = ReadSettings(group_column="", part_column="")
    text = "path,label,group,split\nimg/1.png,a,p1,nonsense\nimg/2.png,a,p2,7\n"
    manifest = read(table(put(PICTURES), text), settings=settings)
    assert manifest.table["group"].null_count() == 2
    assert manifest.table["part"].null_count() == 2
    assert manifest.grouping == ""


def test_a_pattern_stands_before_a_guessed_group_column(put):
    settings = ReadSettings(group_pattern=r"(\d)")
    manifest = read(table(put(PICTURES), "path,label,group\nimg/1.png,a,x\n"), settings=settings)
    assert manifest.table["group"].to_list() == ["a/1"]


def test_numbers_stay_the_text_of_the_file(put):
    manifest = read(table(put(PICTURES), "path,label\nimg/1.png,01\nimg/2.png,1\nimg/3.png,1.50\n"))
    assert manifest.classes == ("01", "1", "1.50")


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        ([3, 10, 3], ("10", "3")),
        ([3.0, 10.0, None], ("10", "3")),
        ([0.5, 1.0, 2.0], ("0.5", "1.0", "2.0")),
        ([True, False, True], ("false", "true")),
        (pl.Series(["x", "y", "x"], dtype=pl.Categorical), ("x", "y")),
    ],
)
def test_labels_of_other_types_become_their_text(put, values, classes):
    manifest = read(parquet(put(PICTURES), path=[*PICTURES], label=values))
    assert manifest.classes == classes


def test_a_list_in_the_label_column_is_several_labels(put, told):
    values = [["a", "b"], [], None]
    manifest = read(parquet(put(PICTURES), path=[*PICTURES], label=pl.Series(values)))
    assert labels(manifest) == [["a", "b"], [], []]
    assert manifest.classes == ("a", "b")
    assert "2 images without a label" in told(manifest, "unlabelled")


def test_an_empty_label_is_no_class(put, told):
    manifest = read(table(put(PICTURES), 'path,label\nimg/1.png,\nimg/2.png,""\nimg/3.png,a\n'))
    assert labels(manifest) == [[], [], ["a"]]
    assert "2 images without a label: img/1.png, img/2.png" in told(manifest, "unlabelled")


@pytest.mark.parametrize("nothing", ["NaN", "nan", " ", "<NA>"])
def test_a_label_that_is_not_a_number_is_missing_and_counted(put, told, nothing):
    text = f"path,label,group\nimg/1.png,{nothing},{nothing}\nimg/2.png,1,p\nimg/3.png,2,p\n"
    manifest = read(table(put(PICTURES), text))
    assert labels(manifest) == [[], ["1"], ["2"]]
    assert manifest.table["group"].to_list() == [None, "p", "p"]
    assert told(manifest, "unlabelled") == "1 image without a label: img/1.png."


def test_nan_in_a_column_of_numbers_is_missing_too(put, told):
    root = put(PICTURES)
    manifest = read(parquet(root, path=[*PICTURES], label=[1.0, float("nan"), 2.0]))
    assert labels(manifest) == [["1"], [], ["2"]]
    listed = pl.Series([["a", "nan"], ["NaN"], ["b"]])
    manifest = read(parquet(root, path=[*PICTURES], label=listed))
    assert labels(manifest) == [["a"], [], ["b"]]


def test_one_number_written_in_two_ways_is_told(put, told):
    text = "path,label\nimg/1.png,1\nimg/2.png,1.0\nimg/3.png,10\n"
    manifest = read(table(put(PICTURES), text))
    assert manifest.classes == ("1", "1.0", "10")
    assert told(manifest, "spelling") == (
        "'1' and '1.0' differ only in how the number is written and are read as 2 classes; if "
        "they are one, give them the same name."
    )


def test_a_label_that_may_mean_nothing_is_a_class_and_told(put, told):
    text = "path,label\nimg/1.png,None\nimg/2.png,crack\nimg/3.png,None\n"
    manifest = read(table(put(PICTURES), text))
    assert manifest.classes == ("None", "crack")
    assert told(manifest, "doubtful-label").startswith("2 rows with the label 'None', taken for a")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_a_table_saved_as_unicode_text_is_read(put, encoding):
    root = put({"bild/größe.png": 1})
    (root / "t.tsv").write_bytes("path\tlabel\nbild/größe.png\tä\n".encode(encoding))
    manifest = read(root / "t.tsv")
    assert (manifest.paths, manifest.classes) == (["bild/größe.png"], ("ä",))


@pytest.mark.parametrize(("name", "sep"), [("t.tsv", "\t"), ("t.csv", ";"), ("t.csv", "\t")])
def test_other_separators_are_understood_and_told(put, told, name, sep):
    text = f"path{sep}label\nimg/1.png{sep}a,b\n"
    manifest = read(table(put(PICTURES), text, name))
    assert labels(manifest) == [["a,b"]]
    assert bool(told(manifest, "separator")) == (name == "t.csv")


def test_windows_files_are_understood(put):
    content = "\ufeffpath,label\r\nimg\\1.png,a\r\n./img/../img/2.png,b\r\n"
    manifest = read(table(put(PICTURES), content))
    assert manifest.paths == ["img/1.png", "img/2.png"]
    assert labels(manifest) == [["a"], ["b"]]


def test_a_missing_column_names_those_there_are(put):
    csv = table(put(PICTURES), "path,klass\nimg/1.png,a\n")
    with pytest.raises(NotThere, match=r"no column that looks like the label. It has: path, klass"):
        read(csv)
    with pytest.raises(NotThere, match=r"no column 'klas'. Did you mean 'klass'\? It has: path"):
        read(csv, settings=ReadSettings(label_column="klas"))


def test_files_that_are_not_there_are_counted_and_named(put):
    rows = "".join(f"no/{n}.png,a\n" for n in range(9))
    with pytest.raises(
        BadData, match=r"9 of 10 files .*: no/0.png, .* and 4 more. Paths count from"
    ):
        read(table(put(PICTURES), f"path,label\nimg/1.png,a\n{rows}"))


def test_one_file_with_two_labels_is_an_error_that_names_both(put):
    text = "path,label\nimg/1.png,a\n./img/1.png,b\nimg/2.png,a\n"
    with pytest.raises(
        BadData, match=r"contradicts itself on 1 file: img/1.png has the label 'a' and 'b'"
    ):
        read(table(put(PICTURES), text))


def test_one_file_in_two_parts_is_an_error(put):
    text = "path,label,part\nimg/1.png,a,train\nimg/1.png,a,test\n"
    with pytest.raises(BadData, match="the part 'train' and 'test'"):
        read(table(put(PICTURES), text))


def test_the_same_row_twice_counts_once_and_is_told(put, told):
    text = "path,label\nimg/2.png,a\nimg/1.png,b\nimg/2.png,a\n"
    manifest = read(table(put(PICTURES), text))
    assert manifest.paths == ["img/2.png", "img/1.png"]
    assert "1 row repeated" in told(manifest, "repeated-rows")


def test_an_unknown_part_is_an_error(put):
    text = "path,label,split\nimg/1.png,a,train\nimg/2.png,a,holdout\n"
    with pytest.raises(
        BadData, match=r"parts that are none: 'holdout'. Expected train, val or test"
    ):
        read(table(put(PICTURES), text))


def test_parts_of_a_table_are_checked_like_folders(put):
    text = "path,label,split\nimg/1.png,cat,train\nimg/2.png,Cat,test\n"
    with pytest.raises(BadData, match="'Cat' stands in test alone and 'cat' in train"):
        read(table(put(PICTURES), text))


def test_files_outside_the_root_are_read_and_told(put, told, tmp_path):
    root = put(PICTURES)
    (root / "tables").mkdir()
    csv = table(root / "tables", f"path,label\n../img/1.png,a\n{root}/img/2.png,b\n")
    manifest = read(csv)
    assert all(manifest.file(path).is_file() for path in manifest.paths)
    assert "2 files lie outside" in told(manifest, "outside")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"path,label\n", r"t\.csv has column names but no rows"),
        ("path,label\nimg/1.png,a\n".encode("utf-16-le"), "Save it as CSV in UTF-8"),
        (b"\xff\xfepath,label\n", "Save it as CSV in UTF-8"),
        (b"path,label\nimg/1.png,a,b\n", "cannot be read as a table"),
        (b"path,label\n\xff\xfe,a\n", "Save it as UTF-8"),
        (b"path,label\n,a\n", "Row 1 of .* has no file"),
        (b"path,label,label\nimg/1.png,a,b\n", "two columns 'label'"),
    ],
)
def test_a_table_that_cannot_be_used_says_why(put, content, said):
    root = put(PICTURES)
    (root / "t.csv").write_bytes(content)
    with pytest.raises(BadData, match=said):
        read(root / "t.csv")


def test_a_parquet_file_that_is_none_says_so(put):
    root = put({"t.parquet": b"PAR1 not really"})
    with pytest.raises(BadData, match="cannot be read as a table"):
        read(root / "t.parquet")


def test_a_column_of_bytes_is_no_path(put):
    with pytest.raises(BadData, match=r"'path' .* holds Binary"):
        read(parquet(put(PICTURES), path=[b"x"], label=["a"]))


def test_a_folder_is_no_table(put):
    with pytest.raises(OutOfRange, match=r"a file: .csv"):
        read(put(PICTURES), reader="tabular")

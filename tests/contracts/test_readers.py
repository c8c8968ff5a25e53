"""What every reader promises, shipped or plugged in."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from PIL import Image

from foveal.core.errors import FovealError
from foveal.data.manifest import COLUMNS, PARTS
from foveal.data.readers import READERS, read
from foveal.data.readers.saved import save
from foveal.data.reading import ReadSettings


def picture(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    out = io.BytesIO()
    Image.new("RGB", (4, 3), (number, 99, 0)).save(out, "PNG")
    path.write_bytes(out.getvalue())


def class_folders(folder: Path) -> Path:
    for number, name in enumerate(["zebra/1.png", "ant/b 2.png", "ant/é/3.png", "bee/4.PNG"]):
        picture(folder / "photos" / name, number)
    return folder / "photos"


def part_folders(folder: Path) -> Path:
    for number, name in enumerate(["train/zebra/1.png", "train/ant/2.png", "valid/ant/3.png"]):
        picture(folder / "photos" / name, number)
    return folder / "photos"


def a_table(folder: Path) -> Path:
    class_folders(folder)
    rows = [
        "file,class,split,patient",
        "photos/bee/4.PNG,b,test,p1",
        "photos/zebra/1.png,z,train,",
        "photos/ant/é/3.png,b,train,p2",
    ]
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return folder / "labels.csv"


def a_saved_manifest(folder: Path) -> Path:
    save(read(part_folders(folder)), folder / "manifest.parquet")
    return folder / "manifest.parquet"


SAMPLES: dict[str, Callable[[Path], Path]] = {
    "folders": class_folders,
    "split_folders": part_folders,
    "tabular": a_table,
    "saved": a_saved_manifest,
}


@pytest.fixture
def sample(name: str, tmp_path: Path) -> Path:
    assert name in SAMPLES, f"add a sample of what the reader {name!r} reads"
    return SAMPLES[name](tmp_path)


@pytest.mark.parametrize("name", READERS.names())
class TestEveryReader:
    def test_knows_its_own_and_is_the_one_that_takes_it(self, name: str, sample: Path) -> None:
        assert READERS.pick(name).sniff(sample)
        assert read(sample) == READERS.pick(name).read(sample, ReadSettings())

    def test_sniffs_at_anything_without_complaint(self, name: str, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        (tmp_path / "loop").symlink_to("loop")
        for file in ("x.csv", "x.parquet", "x.jpg", "x"):
            (tmp_path / file).write_bytes(b"\xff\0")
        for path in [*tmp_path.iterdir(), tmp_path / "gone", Path("/dev/null")]:
            assert READERS.pick(name).sniff(path) in (True, False)

    def test_gives_a_manifest_of_the_promised_form(self, name: str, sample: Path) -> None:
        manifest = READERS.pick(name).read(sample, ReadSettings())
        text, number = pl.String, pl.Int32
        types = [text, pl.List(text), text, text, text, number, number]
        assert dict(manifest.table.schema) == dict(zip(COLUMNS, types, strict=True))
        assert list(manifest.table.schema) == list(COLUMNS)
        assert len(manifest) > 1
        assert manifest.source

    def test_names_files_that_are_there_once_and_portably(self, name: str, sample: Path) -> None:
        manifest = READERS.pick(name).read(sample, ReadSettings())
        for path in manifest.paths:
            assert manifest.file(path).is_file()
            assert "\\" not in path
            assert not path.startswith(("/", "./"))
        assert len(set(manifest.paths)) == len(manifest)

    def test_sorts_the_classes_and_labels_by_them(self, name: str, sample: Path) -> None:
        manifest = READERS.pick(name).read(sample, ReadSettings())
        assert list(manifest.classes) == sorted(set(manifest.classes))
        assert {*manifest.table["labels"].explode()} <= set(manifest.classes)
        assert {*manifest.table["part"]} <= {None, *PARTS}

    def test_reads_the_same_twice_and_changes_nothing(self, name: str, sample: Path) -> None:
        folder = sample.parent
        before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
        one = READERS.pick(name).read(sample, ReadSettings())
        assert one == READERS.pick(name).read(sample, ReadSettings())
        assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("*")}

    def test_can_be_saved_and_opened_again(self, name: str, sample: Path, tmp_path: Path) -> None:
        manifest = READERS.pick(name).read(sample, ReadSettings())
        save(manifest, tmp_path / "again.parquet")
        assert read(tmp_path / "again.parquet") == manifest

    def test_groups_by_the_name_of_the_file(self, name: str, sample: Path) -> None:
        settings = ReadSettings(group_pattern=r"(\d)\.", group_scope="all")
        manifest = READERS.pick(name).read(sample, settings)
        digits = [path[-5] for path in manifest.paths]
        assert manifest.table["group"].to_list() == digits
        assert manifest.grouping == settings.grouping

    def test_complains_in_a_sentence_about_what_is_not_its_own(
        self, name: str, tmp_path: Path
    ) -> None:
        (tmp_path / "empty").mkdir()
        (tmp_path / "text.txt").write_text("nothing of use\n")
        for path in (tmp_path / "empty", tmp_path / "text.txt"):
            with pytest.raises(FovealError) as error:
                READERS.pick(name).read(path, ReadSettings())
            assert str(path) in str(error.value)

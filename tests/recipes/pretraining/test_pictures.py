"""What pretraining learns from: shards or folders, the val part given, named or held out."""

from __future__ import annotations

import io
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest

from foveal.core.errors import BadData, OutOfRange
from foveal.core.listener import SILENT
from foveal.data.reading import ReadSettings
from foveal.image.preprocess import Preprocess
from foveal.image.stream import stream
from foveal.recipes.pretraining.pictures import Schoolbook, schoolbook

CLASSES = ("dots", "grid", "waves")


def read(*data: Path, val: tuple[Path, ...] = (), share: float = 0.2, seed: int = 0) -> Schoolbook:
    return schoolbook(data, val, ReadSettings(), val_share=share, seed=seed, listener=SILENT)


def pack(photos: Path, path: Path) -> Path:
    with tarfile.open(path, "w") as tar:
        for file in sorted(photos.rglob("*.png")):
            entry = tarfile.TarInfo(file.relative_to(photos).as_posix())
            entry.size = file.stat().st_size
            tar.addfile(entry, io.BytesIO(file.read_bytes()))
    return path


def test_shards_and_folders_show_the_same_pictures(photos: Path, tmp_path: Path) -> None:
    pack(photos, tmp_path / "a.tar")
    for book in (read(photos), read(tmp_path / "a.tar"), read(tmp_path)):
        assert book.classes == CLASSES
        assert np.bincount(book.train.labels_N).tolist() == [16] * 3
        assert np.bincount(book.val.labels_N).tolist() == [4] * 3
        assert not set(book.train.names) & set(book.val.names)
        shown = next(iter(stream(book.val.sources, Preprocess(size_px=16))))
        assert len(shown.rows) == len(book.val.sources) == len(book.val.names) == 12


def test_what_is_held_out_of_shards_is_a_function_of_the_seed(photos: Path, tmp_path: Path) -> None:
    path = pack(photos, tmp_path / "a.tar")
    assert list(read(path).val.names) == list(read(path).val.names)
    assert list(read(path).val.names) != list(read(path, seed=1).val.names)


def test_a_val_part_that_is_given_is_used_whole(photos: Path, tmp_path: Path) -> None:
    path = pack(photos, tmp_path / "a.tar")
    for book in (read(path, val=(path,)), read(photos, val=(photos,))):
        assert len(book.train.sources) == len(book.val.sources) == 60
        assert book.how == "of the val part that was given"


def test_a_val_part_that_the_data_names_is_used(photos: Path, tmp_path: Path) -> None:
    shutil.copytree(photos, tmp_path / "set" / "train")
    for name in CLASSES:
        (tmp_path / "set" / "val" / name).mkdir(parents=True)
        file = tmp_path / "set" / "train" / name / "07.png"
        file.rename(tmp_path / "set" / "val" / name / "07.png")
    book = read(tmp_path / "set")
    assert sorted(book.val.names) == [f"val/{name}/07.png" for name in CLASSES]
    assert book.how == "of the val part"


def test_a_test_part_never_judges(photos: Path, tmp_path: Path) -> None:
    shutil.copytree(photos, tmp_path / "set" / "train")
    shutil.copytree(photos, tmp_path / "set" / "test")
    for file in (tmp_path / "set" / "test").rglob("*.png"):
        file.write_bytes(file.read_bytes() + b"another file")
    book = read(tmp_path / "set")
    assert {name.split("/")[0] for name in (*book.train.names, *book.val.names)} == {"train"}
    assert not set(book.train.names) & set(book.val.names)
    assert len(book.train.names) + len(book.val.names) == 60
    assert book.how == "20 % of what there is to train on, held out"


def test_the_digest_tells_other_pictures_and_other_shares_of_them(
    photos: Path, tmp_path: Path
) -> None:
    path = pack(photos, tmp_path / "a.tar")
    assert read(photos).train.digest == read(photos).train.digest
    assert read(photos).train.digest != read(photos, share=0.4).train.digest
    assert read(path).train.digest != read(path, share=0.4).train.digest


def test_a_val_part_of_other_classes_is_refused(photos: Path, tmp_path: Path) -> None:
    shutil.copytree(photos / "dots", tmp_path / "other" / "stripes")
    shutil.copytree(photos / "dots", tmp_path / "other" / "dots")
    with pytest.raises(BadData, match="not among the others: stripes"):
        read(photos, val=(tmp_path / "other",))


def test_folders_are_given_one_at_a_time(photos: Path) -> None:
    with pytest.raises(OutOfRange, match="tar shards, or one folder or table"):
        read(photos, photos)

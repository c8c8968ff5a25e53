"""The sheet of a policy: which pictures are on it, and what becomes of those that cannot be."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from foveal.core.errors import BadData, OutOfRange, UnknownName
from foveal.recipes.sheet import SheetSettings, write_sheet

SMALL = {"pictures": 4, "variants": 3, "size_px": 32}


def settings(**more: object) -> SheetSettings:
    return SheetSettings(**{**SMALL, **more})


def size(file: Path) -> tuple[int, int]:
    with Image.open(file) as picture:
        assert picture.format == "PNG"
        picture.load()
        return picture.size


def test_pictures_are_spread_over_the_classes(photos: Path, tmp_path: Path) -> None:
    done = write_sheet(photos, tmp_path / "s.png", settings(pictures=3))
    assert [label for _, label in done.shown] == ["dots", "grid", "waves"]
    assert all(Path(path).parent.name == label for path, label in done.shown)
    more = write_sheet(photos, tmp_path / "m.png", settings(pictures=7))
    labels = [label for _, label in more.shown]
    assert sorted(labels) == labels
    assert {labels.count(label) for label in labels} == {2, 3}
    assert len({path for path, _ in more.shown}) == 7


def test_every_row_and_column_takes_its_room(photos: Path, tmp_path: Path) -> None:
    width, height = size(write_sheet(photos, tmp_path / "a.png", settings(size_px=100)).file)
    wider, _ = size(write_sheet(photos, tmp_path / "b.png", settings(size_px=100, variants=5)).file)
    _, higher = size(
        write_sheet(photos, tmp_path / "c.png", settings(size_px=100, pictures=6)).file
    )
    assert 200 < wider - width < 250
    assert 200 < higher - height < 300


def test_the_same_settings_give_the_same_bytes_and_another_seed_others(
    photos: Path, tmp_path: Path
) -> None:
    files = [tmp_path / f"{number}.png" for number in range(3)]
    for file, seed in zip(files, (1, 1, 2), strict=True):
        write_sheet(photos, file, settings(seed=seed))
    one, same, other = (file.read_bytes() for file in files)
    assert one == same != other


def test_without_augmentation_all_columns_are_the_original(photos: Path, tmp_path: Path) -> None:
    file = write_sheet(photos, tmp_path / "s.png", settings(policy="none", pictures=1)).file
    with Image.open(file) as picture:
        values = np.asarray(picture)[-28 - 38 : -28 - 6]  # the one row of pictures
    columns = [values[:, 28 + 32 + 22 + 38 * n :][:, :32] for n in range(3)]
    assert columns[0].std() > 5
    assert (columns[0] == columns[1]).all()
    assert (columns[0] == columns[2]).all()
    close = np.abs(values[:, 28 : 28 + 32].astype(int) - columns[0])
    assert close.mean() < 6  # resized by Pillow and by torch


def test_a_policy_that_mixes_shows_it_in_a_row_of_its_own(photos: Path, tmp_path: Path) -> None:
    (_, plain), (_, mixing) = (
        size(write_sheet(photos, tmp_path / f"{name}.png", settings(policy=name)).file)
        for name in ("standard", "strong")
    )
    assert mixing - plain == 2 * 15 + 32 + 6


def test_pictures_to_train_on_are_shown_where_the_data_names_its_parts(
    photos: Path, tmp_path: Path
) -> None:
    for part in ("train", "test"):
        shutil.copytree(photos, tmp_path / "data" / part)
    for file in sorted((tmp_path / "data" / "train").rglob("*.png"))[2:]:
        if file.stem != "00":
            file.unlink()
    done = write_sheet(tmp_path / "data", tmp_path / "s.png", settings(pictures=20))
    assert {Path(path).parts[0] for path, _ in done.shown} == {"train"}


def test_a_broken_picture_is_left_out_with_a_line_and_another_takes_its_place(
    photos: Path, tmp_path: Path
) -> None:
    shutil.copytree(photos, tmp_path / "data")
    for file in sorted((tmp_path / "data" / "grid").iterdir())[:-1]:
        file.write_bytes(file.read_bytes()[:200])
    heard: list[str] = []

    class Ears:
        def say(self, sentence: str) -> None:
            heard.append(sentence)

        def progress(self, stage: str, done: int, total: int, unit: str = "images") -> None: ...

    done = write_sheet(tmp_path / "data", tmp_path / "s.png", settings(pictures=9), listener=Ears())
    assert len(done.shown) == 9
    assert done.left_out
    assert heard == [f"{path} is left out: {reason}" for path, reason in done.left_out]
    assert all("truncated" in line for line in heard)


def test_fewer_pictures_than_asked_for_are_all_shown(
    make_photos: Callable[..., Path], tmp_path: Path
) -> None:
    make_photos(tmp_path / "data", count=1)
    assert len(write_sheet(tmp_path / "data", tmp_path / "s.png", settings()).shown) == 3


def test_data_of_broken_pictures_alone_is_refused_soon_and_nothing_is_written(
    tmp_path: Path,
) -> None:
    for number in range(60):
        file = tmp_path / "data" / "ab"[number % 2] / f"{number}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"no picture")
    with pytest.raises(BadData, match=r"None of the 24 pictures tried .* can be read\. The first"):
        write_sheet(tmp_path / "data", tmp_path / "s.png", settings())
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


@pytest.mark.parametrize(
    ("name", "value"),
    [("pictures", 0), ("variants", 0), ("size_px", 15), ("size_px", 1025), ("seed", -1)],
)
def test_a_setting_that_cannot_work_is_refused(name: str, value: int) -> None:
    with pytest.raises(OutOfRange, match=name):
        settings(**{name: value})


def test_a_sheet_that_no_viewer_opens_is_refused() -> None:
    with pytest.raises(OutOfRange, match="at most 100 megapixels"):
        settings(pictures=100, variants=100, size_px=160)


def test_a_policy_with_a_typo_is_told_the_nearest() -> None:
    with pytest.raises(UnknownName, match=r"No policy is called 'standart'.*'standard'"):
        settings(policy="standart")

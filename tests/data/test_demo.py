"""The demo set is what its key says: counted, reproducible, with real faults."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from foveal.core.errors import AlreadyThere, BrokenImage, OutOfRange
from foveal.data.demo import PHOTOS, DemoKey, write_demo
from foveal.data.surface import CLEAN, DEFECTS
from foveal.image.pixels import pixels_of_file
from foveal.image.preprocess import Preprocess

SMALL = 5  # parts per class


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> DemoKey:
    return write_demo(tmp_path_factory.mktemp("demo") / "set", per_class=SMALL)


def files_of(folder: Path) -> dict[str, bytes]:
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def part_of(path: str, key: DemoKey) -> str:
    match = re.search(key.group_pattern, Path(path).name)
    assert match
    return match[1]


class TestTheFolder:
    def test_every_class_is_there_with_two_pictures_of_every_part(self, demo: DemoKey) -> None:
        extra = {*demo.duplicates, *demo.broken}
        shown = Counter(
            demo.wrong_labels.get(path, path.split("/")[0])
            for path in files_of(demo.photos)
            if path not in extra
        )
        assert demo.classes == tuple(sorted({CLEAN, *DEFECTS}))
        assert shown == {**dict.fromkeys(DEFECTS, 2 * SMALL), CLEAN: 4 * SMALL}

    def test_only_class_folders_lie_beside_the_readme(self, demo: DemoKey) -> None:
        assert {path.name for path in demo.photos.parent.iterdir()} == {PHOTOS, "README.txt"}
        assert {path.name for path in demo.photos.iterdir()} == set(demo.classes)

    def test_every_picture_but_the_broken_one_is_read(self, demo: DemoKey) -> None:
        preprocess = Preprocess(size_px=96, crop=1.0)
        good = [path for path in files_of(demo.photos) if path not in demo.broken]
        assert len(good) == demo.images
        for path in good:
            out = pixels_of_file(demo.photos / path, preprocess)
            assert out.std() > 2, f"{path} is empty"

    def test_pictures_of_a_part_lie_in_one_box_and_parts_differ(self, demo: DemoKey) -> None:
        boxes: dict[str, set[str]] = {}
        for path in files_of(demo.photos):
            boxes.setdefault(part_of(path, demo), set()).add(path.split("/")[0])
        assert len(boxes) == 7 * SMALL
        assert all(len(box) == 1 for box in boxes.values())


class TestThePlantedFaults:
    def test_duplicates_are_equal_bytes_and_there_are_no_others(self, demo: DemoKey) -> None:
        files = files_of(demo.photos)
        for copy, original in demo.duplicates.items():
            assert files[copy] == files[original]
        digests = Counter(hashlib.sha256(content).digest() for content in files.values())
        assert len(demo.duplicates) == 5
        assert sum(count - 1 for count in digests.values()) == 5

    def test_the_broken_file_is_broken(self, demo: DemoKey) -> None:
        (path,) = demo.broken
        with pytest.raises(BrokenImage):
            pixels_of_file(demo.photos / path, Preprocess(size_px=96))

    def test_wrong_labels_are_whole_parts_in_a_box_that_is_not_theirs(self, demo: DemoKey) -> None:
        assert len(demo.wrong_labels) == 6
        assert len({part_of(path, demo) for path in demo.wrong_labels}) == 3
        for path, kind in demo.wrong_labels.items():
            assert (demo.photos / path).is_file()
            assert kind in demo.classes
            assert path.split("/")[0] != kind

    def test_no_picture_has_two_faults(self, demo: DemoKey) -> None:
        faulty = [*demo.wrong_labels, *demo.duplicates, *demo.broken]
        parts = {part_of(path, demo) for path in faulty}
        assert len(parts) == 3 + 5 + 1

    def test_the_readme_names_every_fault(self, demo: DemoKey) -> None:
        text = (demo.photos.parent / "README.txt").read_text(encoding="utf-8")
        for path in [*demo.wrong_labels, *demo.duplicates, *demo.broken]:
            assert path in text
        assert str(demo.images) in text
        assert demo.group_pattern in text


class TestReproducing:
    def test_the_same_seed_gives_the_same_bytes(self, demo: DemoKey, tmp_path: Path) -> None:
        again = write_demo(tmp_path / "again", per_class=SMALL)
        assert files_of(tmp_path / "again") == files_of(demo.photos.parent)
        assert again.wrong_labels == demo.wrong_labels

    def test_another_seed_gives_other_pictures_and_faults(
        self, demo: DemoKey, tmp_path: Path
    ) -> None:
        other = write_demo(tmp_path / "other", seed=1, per_class=SMALL)
        assert other.wrong_labels != demo.wrong_labels
        ours = set(files_of(demo.photos).values())
        assert not ours & set(files_of(other.photos).values())

    def test_pictures_of_one_part_differ_by_light_and_place(self, demo: DemoKey) -> None:
        first = next(path for path in files_of(demo.photos) if path.endswith("_1.jpg"))
        one, two = (
            np.asarray(Image.open(demo.photos / name), dtype=float)
            for name in (first, first.replace("_1.jpg", "_2.jpg"))
        )
        assert one.shape == two.shape == (144, 144, 3)
        assert np.abs(one - two).mean() > 2


class TestBadInput:
    def test_a_folder_in_use_is_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / "mine.txt").write_text("mine")
        with pytest.raises(AlreadyThere, match="already exists"):
            write_demo(tmp_path, per_class=SMALL)
        assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]

    @pytest.mark.parametrize("values", [{"seed": -1}, {"per_class": 4}])
    def test_nonsense_is_refused_before_anything_is_written(
        self, values: dict[str, int], tmp_path: Path
    ) -> None:
        with pytest.raises(OutOfRange, match=next(iter(values))):
            write_demo(tmp_path / "set", **values)
        assert not list(tmp_path.iterdir())

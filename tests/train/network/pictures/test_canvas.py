"""Canvases: decoded once, the same in memory and in a file, and nothing left of a killed run."""

from __future__ import annotations

import copy
import gc
import pickle
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from foveal.core.errors import BrokenImage, DiskFull
from foveal.image.pixels import pixels_of_file
from foveal.image.preprocess import Preprocess
from foveal.train.network.pictures import canvas
from foveal.train.network.pictures.canvas import Canvases, canvas_side, canvases

NETWORK = Preprocess(size_px=32, crop=0.8, shape="pad", interpolation="bilinear")
SIDE = 37


class Ears:
    """Remembers what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.done: list[tuple[str, int, int]] = []

    def say(self, sentence: str) -> None:
        self.said.append(sentence)

    def progress(self, stage: str, done: int, total: int, unit: str = "images") -> None:
        self.done.append((stage, done, total))


@pytest.fixture
def files(photos: Path, tmp_path: Path) -> list[Path]:
    """Real files of 12 pictures, and among them one that is none and one that is not there."""
    (tmp_path / "page.jpg").write_text("<html>")
    good = sorted(photos.rglob("*.png"))[::5]
    return [good[0], tmp_path / "page.jpg", *good[1:7], tmp_path / "gone.png", *good[7:]]


@pytest.fixture
def on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that hardly any memory is free."""
    monkeypatch.setattr(canvas, "free_memory", lambda: 1000)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder for files of canvases, in which none is left by a test that ends well."""
    yield tmp_path / "kept"
    gc.collect()
    assert _left(tmp_path / "kept") == []


def _left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_a_canvas_is_the_whole_picture_at_its_side_as_the_network_sees_other_aspects(
    files: list[Path],
) -> None:
    ears = Ears()
    made = canvases(files, NETWORK, side_px=SIDE, listener=ears)
    seen = Preprocess(size_px=SIDE, crop=1.0, shape="pad", interpolation="bilinear")
    assert made.pixels.shape == (12, SIDE, SIDE, 3)
    assert made.pixels.dtype == np.uint8
    for row, one in zip(made.rows.tolist(), made.pixels, strict=True):
        np.testing.assert_array_equal(one, pixels_of_file(files[row], seen))
    assert ears.done[0] == ("decoding", 0, 14)
    assert ears.done[-1] == ("decoding", 14, 14)


def test_broken_files_are_named_with_their_reason_and_left_out(files: list[Path]) -> None:
    made = canvases(files, NETWORK, side_px=SIDE)
    assert made.rows.tolist() == [0, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13]
    assert len(made) == 12
    with pytest.raises(BrokenImage) as refused:
        pixels_of_file(files[1], NETWORK)
    assert made.broken == ((1, refused.value.what), (8, "the file is not there"))


def test_what_fits_in_a_quarter_of_the_free_memory_is_held_there_and_said(
    files: list[Path], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need, ears = len(files) * SIDE * SIDE * 3, Ears()
    monkeypatch.setattr(canvas, "free_memory", lambda: 4 * need)
    assert canvases(files, NETWORK, side_px=SIDE, listener=ears, folder=folder).file is None
    assert "held in memory" in ears.said[0]
    monkeypatch.setattr(canvas, "free_memory", lambda: 4 * need - 1)
    made = canvases(files, NETWORK, side_px=SIDE, listener=ears, folder=folder)
    assert made.file is not None
    assert str(folder) in ears.said[1]
    assert "more than 25% of the free memory" in ears.said[1]
    made.close()


def test_a_file_holds_the_same_as_memory(
    files: list[Path], folder: Path, request: pytest.FixtureRequest
) -> None:
    in_memory = canvases(files, NETWORK, side_px=SIDE)
    request.getfixturevalue("on_disk")
    with canvases(files, NETWORK, side_px=SIDE, folder=folder) as in_file:
        assert isinstance(in_file.pixels.base, np.memmap)
        np.testing.assert_array_equal(in_file.pixels, in_memory.pixels)
        np.testing.assert_array_equal(in_file.rows, in_memory.rows)
        assert in_file.broken == in_memory.broken
        assert len(_left(folder)) == 1


@pytest.mark.usefixtures("on_disk")
def test_files_go_to_the_cache_and_are_gone_when_nobody_needs_them(
    files: list[Path], own_cache: Path
) -> None:
    made = canvases(files, NETWORK, side_px=SIDE)
    assert len(_left(own_cache / "canvases")) == 1
    del made
    gc.collect()
    assert _left(own_cache / "canvases") == []


@pytest.mark.usefixtures("on_disk")
def test_an_error_while_decoding_leaves_no_file(
    files: list[Path], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> Iterator[object]:
        assert len(_left(folder)) == 1
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(canvas, "stream", interrupted)
    with pytest.raises((KeyboardInterrupt, AssertionError)) as ended:
        canvases(files, NETWORK, side_px=SIDE, folder=folder)
    assert ended.type is KeyboardInterrupt


@pytest.mark.usefixtures("on_disk")
def test_a_disk_that_is_too_small_is_said_before_anything_is_written(
    files: list[Path], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(folder.parent)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=5000))
    with pytest.raises(DiskFull, match=r"need 0\.1 MB and the disk of .* has 0\.0 MB left"):
        canvases(files, NETWORK, side_px=SIDE, folder=folder)


def test_canvases_cannot_be_written_to(files: list[Path]) -> None:
    made = canvases(files, NETWORK, side_px=SIDE)
    with pytest.raises(ValueError, match="read-only"):
        made.pixels[0] = 0


@pytest.mark.parametrize("where", ["memory", "file"])
def test_a_copy_for_another_process_is_the_same_and_removes_nothing(
    files: list[Path], folder: Path, where: str, request: pytest.FixtureRequest
) -> None:
    if where == "file":
        request.getfixturevalue("on_disk")
    with canvases(files, NETWORK, side_px=SIDE, folder=folder) as made:
        other: Canvases = pickle.loads(pickle.dumps(made)) if where == "file" else copy.copy(made)
        np.testing.assert_array_equal(other.pixels, made.pixels)
        np.testing.assert_array_equal(other.rows, made.rows)
        assert other.broken == made.broken
        other.close()
        assert len(_left(folder)) == (where == "file")


@pytest.mark.usefixtures("on_disk")
@pytest.mark.parametrize("names", [[], ["gone.png"]])
def test_no_picture_at_all_is_no_error_here(names: list[str], folder: Path) -> None:
    with canvases([Path(name) for name in names], NETWORK, side_px=SIDE, folder=folder) as made:
        assert made.pixels.shape == (0, SIDE, SIDE, 3)
        assert [row for row, _ in made.broken] == list(range(len(names)))


@pytest.mark.usefixtures("on_disk")
@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is POSIX")
def test_the_file_of_a_killed_run_is_swept_by_the_next_and_that_of_a_living_one_is_not(
    files: list[Path], folder: Path
) -> None:
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from foveal.image.preprocess import Preprocess\n"
        "from foveal.train.network.pictures import canvas\n"
        "canvas.free_memory = lambda: 0\n"
        "made = canvas.canvases([Path(sys.argv[1])], Preprocess(), side_px=256,"
        " folder=Path(sys.argv[2]))\n"
        "print(made.file.name, flush=True)\n"
        "time.sleep(100)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, files[0], folder], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        theirs = other.stdout.readline().strip()
        with canvases(files, NETWORK, side_px=SIDE, folder=folder) as beside:
            assert beside.file is not None
            assert _left(folder) == sorted([theirs, beside.file.name])
        other.send_signal(signal.SIGKILL)
    assert _left(folder) == [theirs]
    with canvases(files, NETWORK, side_px=SIDE, folder=folder) as after:
        assert after.file is not None
        assert _left(folder) == [after.file.name]


def test_the_side_leaves_an_eighth_around_the_network_s_square() -> None:
    for size_px in (32, 96, 128, 224, 384):
        assert canvas_side(size_px) * 7 / 8 == pytest.approx(size_px, abs=0.5)

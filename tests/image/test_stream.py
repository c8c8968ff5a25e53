"""The decode pool: in order, a few ahead, broken files named, no thread left behind."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from foveal.core.errors import OutOfRange
from foveal.image.pixels import pixels
from foveal.image.preprocess import Preprocess
from foveal.image.stream import AHEAD, Batch, stream

if TYPE_CHECKING:
    from tests.image.conftest import Encoded, Photo

RECORD = Preprocess(size_px=16)


@pytest.fixture(scope="module")
def pictures(photo: Photo, encoded: Encoded) -> list[bytes]:
    """Twelve pictures, large and small in turn so that they finish out of order."""
    return [encoded(photo(900 if i % 3 == 0 else 20, 20 + i, seed=i)) for i in range(12)]


def _threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if "foveal" in thread.name]


@pytest.mark.parametrize("workers", [1, 4])
def test_every_picture_comes_in_its_row_and_in_order(pictures: list[bytes], workers: int) -> None:
    batches = list(stream(pictures, RECORD, batch=5, workers=workers))
    assert [batch.rows.tolist() for batch in batches] == [
        [0, 1, 2, 3, 4],
        [5, 6, 7, 8, 9],
        [10, 11],
    ]
    for batch in batches:
        assert batch.pixels.shape == (len(batch.rows), 16, 16, 3)
        assert batch.pixels.dtype == np.uint8
        assert batch.rows.dtype == np.int64
        assert batch.broken == ()
        for row, one in zip(batch.rows, batch.pixels, strict=True):
            np.testing.assert_array_equal(one, pixels(pictures[row], RECORD))


def test_broken_files_are_named_with_their_row_and_left_out(
    pictures: list[bytes], tmp_path: Path
) -> None:
    (tmp_path / "good.png").write_bytes(pictures[1])
    sources = [b"", tmp_path / "good.png", tmp_path / "gone.png", pictures[2], tmp_path]
    (batch,) = stream(sources, RECORD)
    assert batch.rows.tolist() == [1, 3]
    assert batch.broken == (
        (0, "empty file"),
        (2, "the file is not there"),
        (4, "a folder, not a file"),
    )
    np.testing.assert_array_equal(batch.pixels[1], pixels(pictures[2], RECORD))


def test_a_batch_may_hold_no_picture_at_all(pictures: list[bytes]) -> None:
    first, second = stream([b"", b"", pictures[1]], RECORD, batch=2)
    assert first.pixels.shape == (0, 16, 16, 3)
    assert [row for row, _ in first.broken] == [0, 1]
    assert second.rows.tolist() == [2]


def test_no_sources_give_no_batches() -> None:
    assert list(stream([], RECORD)) == []


def test_batches_are_the_consumers_own(pictures: list[bytes]) -> None:
    batches: list[Batch] = []
    for batch in stream(pictures, RECORD, batch=4):
        before = batch.pixels.copy()
        batches.append(batch)
        batch.pixels[:] = 7
        assert before.max() > 7
    assert all((batch.pixels == 7).all() for batch in batches)


def test_an_endless_source_is_drawn_only_a_few_batches_ahead(pictures: list[bytes]) -> None:
    drawn = itertools.count()

    def endless() -> Iterator[bytes]:
        while True:
            next(drawn)
            yield pictures[1]

    batches = stream(endless(), RECORD, batch=4, workers=2)
    for taken in range(1, 6):
        next(batches)
        assert next(drawn) <= (taken + AHEAD) * 4 + taken  # this line counts one each time


def test_nothing_is_drawn_or_started_before_the_first_batch_is_asked_for() -> None:
    def never() -> Iterator[bytes]:
        raise AssertionError("drawn")
        yield b""

    stream(never(), RECORD)
    assert _threads() == []


def test_the_next_batches_are_decoded_while_the_consumer_works(
    pictures: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    from foveal.image import stream as module

    decoded: list[int] = []
    original = module.pixels

    def noted(data: bytes, preprocess: Preprocess) -> object:
        decoded.append(1)
        return original(data, preprocess)

    monkeypatch.setattr(module, "pixels", noted)
    batches = stream(pictures, RECORD, batch=2, workers=2)
    next(batches)
    deadline = time.monotonic() + 10
    while len(decoded) < (1 + AHEAD) * 2 and time.monotonic() < deadline:
        time.sleep(0.005)
    assert len(decoded) == (1 + AHEAD) * 2


def test_stopping_early_leaves_no_thread_behind(pictures: list[bytes]) -> None:
    for _ in stream(itertools.cycle(pictures), RECORD, batch=2, workers=3):
        assert _threads()
        break
    assert _threads() == []


def test_stopping_early_does_not_wait_for_what_has_not_begun(
    pictures: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[int] = []

    def slow(data: bytes, preprocess: Preprocess) -> object:
        decoded.append(1)
        time.sleep(0.002)
        return np.zeros((16, 16, 3), dtype=np.uint8)

    monkeypatch.setattr("foveal.image.stream.pixels", slow)
    for _ in stream(itertools.cycle(pictures), RECORD, batch=100, workers=1):
        break
    assert len(decoded) < 200  # of 300 that were handed out


def test_an_error_in_the_consumer_leaves_no_thread_behind(pictures: list[bytes]) -> None:
    def consume() -> None:
        for _ in stream(itertools.cycle(pictures), RECORD, batch=2, workers=3):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        consume()
    assert _threads() == []


def test_an_error_in_the_source_reaches_the_consumer(pictures: list[bytes]) -> None:
    def sources() -> Iterator[bytes]:
        yield from pictures
        raise OSError("the list of files broke off")

    with pytest.raises(OSError, match="broke off"):
        list(stream(sources(), RECORD, batch=2))
    assert _threads() == []


def test_a_bug_is_no_broken_image(pictures: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    def buggy(data: bytes, preprocess: Preprocess) -> object:
        raise ZeroDivisionError

    monkeypatch.setattr("foveal.image.stream.pixels", buggy)
    with pytest.raises(ZeroDivisionError):
        list(stream(pictures, RECORD))


def test_ctrl_c_ends_it_at_once() -> None:
    code = (
        "import itertools, io\n"
        "from PIL import Image\n"
        "from foveal.image.preprocess import Preprocess\n"
        "from foveal.image.stream import stream\n"
        "file = io.BytesIO(); Image.effect_noise((1500, 1500), 90).save(file, 'PNG')\n"
        "try:\n"
        "    for _ in stream(itertools.repeat(file.getvalue()), Preprocess(), batch=8):\n"
        "        print('batch', flush=True)\n"
        "except KeyboardInterrupt: print('stopped', flush=True)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "batch\n"
    child.send_signal(signal.SIGINT)
    out, _ = child.communicate(timeout=20)
    assert out.endswith("stopped\n")
    assert child.returncode == 0


@pytest.mark.parametrize(("name", "value"), [("batch", 0), ("workers", 0), ("workers", -1)])
def test_settings_that_cannot_work_are_refused_at_once(name: str, value: int) -> None:
    with pytest.raises(OutOfRange) as error:
        stream([], RECORD, **{name: value})
    assert error.value.field == name

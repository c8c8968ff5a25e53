"""The feed: a batch depends on its step alone, whoever makes it, wherever a run goes on."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from foveal.core.errors import FovealError, OutOfRange
from foveal.image.preprocess import Preprocess
from foveal.train.network.pictures import canvas
from foveal.train.network.pictures.canvas import Canvases, canvases
from foveal.train.network.pictures.feed import Batch, FeedSettings, Transform, feed
from foveal.train.network.pictures.order import balanced_order, batches_of, epoch_order

SIDE, SIZE = 146, 128
forked = pytest.mark.skipif(
    sys.platform != "linux", reason="functions of tests reach only forked workers"
)


class Ears:
    """Remembers what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, sentence: str) -> None:
        self.said.append(sentence)

    def progress(self, stage: str, done: int, total: int, unit: str = "images") -> None:
        raise AssertionError("a feed tells no progress")


def shifted(canvas: Tensor, /, *, seed: int, epoch: int, index: int) -> Tensor:
    """Cut a square at random, and write a sum into it whose last bit torch's threads change."""
    rng = np.random.Generator(np.random.PCG64([seed, epoch, index]))
    y, x = rng.integers(0, canvas.shape[-1] - SIZE + 1, 2).tolist()
    out = canvas[:, y : y + SIZE, x : x + SIZE].clone()
    total = (canvas.float() * 0.1).sum()
    out[0, 0, :4] = total.reshape(1).view(torch.uint8)
    return out


def traced(canvas: Tensor, /, *, seed: int, epoch: int, index: int) -> Tensor:
    """Say what it was called with: seed, epoch and index in three columns, the canvas's number."""
    out = torch.full((3, 16, 16), int(canvas[0, 0, 0]), dtype=torch.uint8)
    out[:, 0, 0] = torch.tensor([seed, epoch, index])
    return out


@pytest.fixture(scope="module")
def pictures() -> Canvases:
    """21 canvases of files 2, 4, …: noise, whose first pixel is the canvas's number."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (21, SIDE, SIDE, 3), dtype=np.uint8)
    pixels[:, 0, 0] = np.arange(21)[:, None]
    return Canvases(pixels, 2 * np.arange(1, 22))


LABELS = np.array([0] * 14 + [1] * 5 + [2] * 2)


def _feed(
    pictures: Canvases,
    *,
    transform: Transform = shifted,
    steps: int = 14,
    first_step: int = 0,
    ears: Ears | None = None,
    **settings: object,
) -> Iterator[Batch]:
    made = FeedSettings(**{"batch": 4, "seed": 5, **settings})  # type: ignore[arg-type]
    return feed(
        pictures, LABELS, transform, made, steps=steps, first_step=first_step,
        listener=ears or Ears(),
    )  # fmt: skip


def _assert_same(some: Iterable[Batch], others: Iterable[Batch]) -> None:
    for one, other in zip(some, others, strict=True):
        assert (one.step, one.epoch) == (other.step, other.epoch)
        assert torch.equal(one.rows, other.rows)
        assert torch.equal(one.labels, other.labels)
        assert torch.equal(one.pixels, other.pixels)


@pytest.fixture(scope="module")
def undisturbed(pictures: Canvases) -> list[Batch]:
    return list(_feed(pictures))


def test_a_batch_has_the_rows_labels_and_pictures_of_the_epochs_order(pictures: Canvases) -> None:
    batches = list(_feed(pictures, transform=traced, steps=13))
    assert [(batch.step, batch.epoch) for batch in batches] == [(s, s // 5) for s in range(13)]
    for batch in batches:
        order = epoch_order(21, seed=5, epoch=batch.epoch)
        numbers = batches_of(order, batch=4)[batch.step % 5]
        assert batch.rows.tolist() == (2 * (numbers + 1)).tolist()
        assert batch.labels.tolist() == LABELS[numbers].tolist()
        assert batch.pixels[:, 1, 1, 1].tolist() == numbers.tolist()
        assert (batch.rows.dtype, batch.labels.dtype) == (torch.int64, torch.int64)
        assert (batch.pixels.dtype, batch.pixels.shape) == (torch.uint8, (4, 3, 16, 16))
        places = [4 * (batch.step % 5) + place for place in range(4)]
        assert batch.pixels[:, :, 0, 0].tolist() == [[5, batch.epoch, p] for p in places]


def test_a_picture_that_is_shown_twice_in_an_epoch_is_changed_twice(pictures: Canvases) -> None:
    first, *_, last = _feed(pictures, transform=traced, steps=6, whole=True)
    assert last.epoch == 0
    assert last.rows[1:].tolist() == first.rows[:3].tolist()  # the last batch is filled up
    assert last.pixels[:, 2, 0, 0].tolist() == [20, 21, 22, 23]


def test_balanced_sampling_shows_every_class_as_often(pictures: Canvases) -> None:
    batches = list(_feed(pictures, steps=12, batch=7, sampling="balanced"))
    for epoch in range(4):
        shown = torch.cat([batch.labels for batch in batches if batch.epoch == epoch])
        assert torch.bincount(shown).tolist() == [7, 7, 7]
    order = balanced_order(LABELS, seed=5, epoch=1)
    assert batches[3].rows.tolist() == (2 * (order[:7] + 1)).tolist()


@forked
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_any_number_of_workers_gives_the_same_bits(
    pictures: Canvases, undisturbed: list[Batch], workers: int
) -> None:
    _assert_same(_feed(pictures, workers=workers), undisturbed)


def test_threads_of_torch_change_no_bit_and_are_left_as_they_were(
    pictures: Canvases, undisturbed: list[Batch]
) -> None:
    before = torch.get_num_threads()
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            for made, other in zip(_feed(pictures), undisturbed, strict=True):
                assert torch.equal(made.pixels, other.pixels)
                assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


@forked
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("first_step", [1, 5, 6, 13, 14])
def test_a_run_that_goes_on_has_the_batches_it_would_have_had(
    pictures: Canvases, undisturbed: list[Batch], first_step: int, workers: int
) -> None:
    _assert_same(_feed(pictures, first_step=first_step, workers=workers), undisturbed[first_step:])


@pytest.mark.parametrize("sampling", ["natural", "balanced"])
def test_ranks_side_by_side_have_the_batches_of_one_process(
    pictures: Canvases, sampling: str
) -> None:
    whole = list(_feed(pictures, sampling=sampling))
    ranks = [
        list(_feed(pictures, sampling=sampling, rank=rank, ranks=2, first_step=3))
        for rank in range(2)
    ]
    for one, left, right in zip(whole[3:], *ranks, strict=True):
        assert (left.step, left.epoch) == (one.step, one.epoch)
        assert torch.equal(torch.cat([left.rows, right.rows]), one.rows)
        assert torch.equal(torch.cat([left.labels, right.labels]), one.labels)
        assert torch.equal(torch.cat([left.pixels, right.pixels]), one.pixels)


@forked
@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGSTOP])
def test_a_dead_or_stopped_worker_changes_no_bit(
    pictures: Canvases, undisturbed: list[Batch], blow: signal.Signals
) -> None:
    def struck() -> Iterator[Batch]:
        for batch in _feed(pictures, workers=2, patience_s=1, ears=ears):
            if batch.step == 4:
                for child in multiprocessing.active_children():
                    os.kill(child.pid or 0, blow)
            yield batch

    ears = Ears()
    _assert_same(struck(), undisturbed)
    assert len(ears.said) == 1
    assert multiprocessing.active_children() == []


@forked
def test_a_batch_that_kills_workers_three_times_names_its_rows(pictures: Canvases) -> None:
    def deadly(canvas: Tensor, /, *, seed: int, epoch: int, index: int) -> Tensor:
        if index == 9:
            os.kill(os.getpid(), signal.SIGKILL)
        return canvas

    numbers = batches_of(epoch_order(21, seed=5, epoch=0), batch=4)[2]
    rows = ", ".join(str(2 * (number + 1)) for number in sorted(numbers))
    with pytest.raises(FovealError, match=rf"3 times in a row at step 2, the pictures {rows}\."):
        list(_feed(pictures, transform=deadly, workers=2))


@forked
def test_letting_go_of_a_feed_ends_its_workers(pictures: Canvases) -> None:
    for batch in _feed(pictures, workers=2, steps=1000):
        assert len(multiprocessing.active_children()) == 2
        if batch.step == 3:
            break
    assert multiprocessing.active_children() == []


def test_a_transform_cannot_change_a_canvas(pictures: Canvases) -> None:
    def blackened(canvas: Tensor, /, *, seed: int, epoch: int, index: int) -> Tensor:
        return canvas.zero_()

    before = pictures.pixels.copy()
    assert not any(batch.pixels.any() for batch in _feed(pictures, transform=blackened))
    np.testing.assert_array_equal(pictures.pixels, before)


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=forked)])
def test_canvases_in_a_file_give_the_same_batches_and_broken_pictures_are_left_out(
    photos: Path, tmp_path: Path, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [tmp_path / "gone.png", *sorted(photos.rglob("*.png"))[:20]]
    settings = FeedSettings(batch=8, workers=workers)

    def batches() -> list[Batch]:
        with canvases(files, Preprocess(), side_px=SIDE, folder=tmp_path / "kept") as made:
            return list(feed(made, np.zeros(20, np.int64), shifted, settings, steps=6))

    in_memory = batches()
    monkeypatch.setattr(canvas, "free_memory", lambda: 0)
    _assert_same(batches(), in_memory)
    shown = torch.cat([batch.rows for batch in in_memory])
    assert set(shown.tolist()) == set(range(1, 21))


SPAWNED = """
import sys
import numpy as np
from foveal.image.preprocess import Preprocess
from foveal.train.network.pictures import canvas, workers
from foveal.train.network.pictures.feed import FeedSettings, feed
from pathlib import Path

def cut(canvas, /, *, seed, epoch, index):
    return canvas[:, index : index + 16, 5:21].clone()

if __name__ == "__main__":
    workers.START = "spawn"
    for free in (10**10, 0):
        canvas.free_memory = lambda: free
        files = [Path(name) for name in sys.argv[2:]]
        with canvas.canvases(files, Preprocess(), side_px=40, folder=Path(sys.argv[1])) as made:
            both = [
                [
                    batch.pixels.numpy().tobytes()
                    for batch in feed(
                        made, np.zeros(len(made), int), cut,
                        FeedSettings(batch=4, workers=count), steps=6,
                    )
                ]
                for count in (0, 1)
            ]
        print(both[0] == both[1], len(set(both[0])), made.file is None)
"""


@pytest.mark.slow  # three interpreters import torch, one after the other
def test_new_interpreters_see_the_same_canvases_in_memory_and_in_a_file(
    photos: Path, tmp_path: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text(SPAWNED)
    files = sorted(photos.rglob("*.png"))[:12]
    done = subprocess.run(
        [sys.executable, "-W", "error", script, tmp_path / "kept", *files],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("True 6 True\nTrue 6 False\n", "")
    assert list((tmp_path / "kept").iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"batch": 0}, "batch"),
        ({"batch": 3, "ranks": 2}, "batch"),
        ({"rank": 1}, "rank"),
        ({"seed": -1}, "seed"),
        ({"workers": -1}, "workers"),
        ({"patience_s": 0}, "patience_s"),
        ({"patience_s": float("nan")}, "patience_s"),
        ({"sampling": "blanced"}, "sampling"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, object], field: str) -> None:
    with pytest.raises(OutOfRange, match=f"^{field} = "):
        FeedSettings(**settings)  # type: ignore[arg-type]


def test_what_does_not_fit_together_is_refused_at_once(pictures: Canvases) -> None:
    def floats(canvas: Tensor, /, *, seed: int, epoch: int, index: int) -> Tensor:
        return canvas / 255

    none = Canvases(np.empty((0, SIDE, SIDE, 3), np.uint8), np.empty(0, np.int64))
    with pytest.raises(OutOfRange, match=r"labels_n = 3 .* 21, one for each picture"):
        feed(pictures, LABELS[:3], shifted, FeedSettings(), steps=1)
    with pytest.raises(OutOfRange, match=r"first_step = 8 .* 0 to 7"):
        feed(pictures, LABELS, shifted, FeedSettings(), steps=7, first_step=8)
    with pytest.raises(OutOfRange, match=r"pictures = 0 .* at least one"):
        feed(none, LABELS[:0], shifted, FeedSettings(), steps=1)
    with pytest.raises(OutOfRange, match=r"torch.float32 \(3, 146, 146\)"):
        feed(pictures, LABELS, floats, FeedSettings(), steps=1)

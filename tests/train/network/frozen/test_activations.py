"""Activations: what the frozen part would answer, in the order in which it would be asked."""

from __future__ import annotations

import copy
import gc
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from foveal.core.errors import DiskFull, OutOfRange
from foveal.image.preprocess import Preprocess
from foveal.train.network.frozen import activations as module
from foveal.train.network.frozen.activations import (
    Activations,
    above_inputs,
    above_logits,
    activation_bytes,
    activation_feed,
    activations,
)
from foveal.train.network.frozen.freezing import freeze_until
from foveal.train.network.frozen.part import CannotSplit, Split, split
from foveal.train.network.inputs import Inputs
from foveal.train.network.loop import StepSettings, updates
from foveal.train.network.losses import LOSSES, LossSettings
from foveal.train.network.pictures.augment import POLICIES, augmented
from foveal.train.network.pictures.canvas import Canvases
from foveal.train.network.pictures.feed import Batch, FeedSettings, feed
from foveal.train.network.pictures.order import epoch_order, steps_per_epoch

SIDE, SIZE, N, CLASSES = 37, 32, 21, 3
LABELS = np.array([0] * 14 + [1] * 5 + [2] * 2)
SETTINGS = FeedSettings(batch=8, seed=5)
EPOCH = 3  # steps
INPUTS = Inputs(preprocess=Preprocess(size_px=SIZE), classes=CLASSES)
CHANGED = partial(augmented, POLICIES.pick("light").make(SIZE))


class Ears:
    """Remembers what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.done: list[tuple[str, int, int]] = []

    def say(self, sentence: str) -> None:
        self.said.append(sentence)

    def progress(self, stage: str, done: int, total: int, unit: str = "images") -> None:
        self.done.append((stage, done, total))


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """For small networks the faster, and where other programs are busy much the faster."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def canvases() -> Canvases:
    """21 coarse pictures, of files 2, 4, …"""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (N, 5, 5, 3), dtype=np.uint8)
    return Canvases(coarse.repeat(8, 1).repeat(8, 2)[:, :SIDE, :SIDE], 2 * np.arange(1, N + 1))


def built() -> nn.Sequential:
    """Two stages to be frozen, two that learn, with BatchNorm in each."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)

        def layer(before: int, after: int) -> nn.Sequential:
            conv = nn.Conv2d(before, after, 3, stride=2, padding=1)
            return nn.Sequential(conv, nn.BatchNorm2d(after), nn.ReLU(inplace=True))

        pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        return nn.Sequential(layer(3, 8), layer(8, 12), layer(12, 16), pool, nn.Linear(16, CLASSES))


def cut_network() -> Split:
    network = built()
    freeze_until(network, "stage2")
    return split(network, "stage2", size_px=SIZE)


@pytest.fixture(scope="module")
def cut() -> Split:
    return cut_network()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder for files of activations, in which none is left by a test that ends well."""
    yield tmp_path / "kept"
    gc.collect()
    assert _left(tmp_path / "kept") == []


@pytest.fixture
def on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that hardly any memory is free."""
    monkeypatch.setattr(module, "free_memory", lambda: 1000)


def _left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def kept_of(cut: Split, canvases: Canvases, **more: Any) -> Activations:
    said = {"inputs": INPUTS, "views": 2, "settings": SETTINGS, **more}
    settings = said.pop("settings")
    return activations(cut, canvases, LABELS, CHANGED, settings, **said)


def pixels_of(canvases: Canvases, settings: FeedSettings, steps: int) -> list[Batch]:
    return list(feed(canvases, LABELS, CHANGED, settings, steps=steps))


def test_each_view_of_a_picture_is_what_the_frozen_part_answers_to_that_epochs_picture(
    cut: Split, canvases: Canvases
) -> None:
    kept = kept_of(cut, canvases)
    assert (len(kept), kept.views, kept.file) == (N, 2, None)
    assert cut.shape == (12, 8, 8)
    seen: dict[tuple[int, int], Tensor] = {}
    for batch in pixels_of(canvases, SETTINGS, 2 * EPOCH):
        answered = cut.below(INPUTS.planes(batch.pixels)).half()
        for row, half in zip(batch.rows.tolist(), answered, strict=True):
            seen.setdefault((batch.epoch, row), half)  # what fills up the last batch comes again
    assert len(seen) == 2 * N
    for (view, row), half in seen.items():
        got = kept.of(np.array([row // 2 - 1]), view=view)
        assert got.dtype == np.float16
        np.testing.assert_array_equal(got[0], half.numpy())
    first, second = (kept.of(np.arange(N), view=view) for view in (0, 1))
    assert (first != second).any((1, 2, 3)).all()


def test_pictures_that_an_epoch_of_the_feed_leaves_out_are_kept_too(
    cut: Split, canvases: Canvases
) -> None:
    settings = replace(SETTINGS, batch=4)
    assert steps_per_epoch(N, batch=4) == N // 4  # one picture of 21 has no place in a batch
    kept = kept_of(cut, canvases, settings=settings)
    seen = {
        (batch.epoch, row): cut.below(INPUTS.planes(batch.pixels[place : place + 1])).half()[0]
        for batch in pixels_of(canvases, replace(settings, whole=True), 2 * (N // 4 + 1))
        for place, row in reversed([*enumerate(batch.rows.tolist())])
    }
    for view in (0, 1):
        order = epoch_order(N, seed=SETTINGS.seed, epoch=view)
        last = int(order[-1])
        got = kept.of(np.array([last]), view=view)[0]
        expected = seen[view, 2 * (last + 1)].numpy()
        np.testing.assert_allclose(got, expected, rtol=1e-2, atol=1e-3)


def test_the_first_epochs_are_those_of_pixels_and_later_ones_take_turns(
    cut: Split, canvases: Canvases
) -> None:
    kept = kept_of(cut, canvases)
    pixels = pixels_of(canvases, SETTINGS, 5 * EPOCH)
    got = list(activation_feed(kept, LABELS, SETTINGS, steps=5 * EPOCH))
    for one, other in zip(got, pixels, strict=True):
        assert (one.step, one.epoch) == (other.step, other.epoch)
        assert torch.equal(one.rows, other.rows)
        assert torch.equal(one.labels, other.labels)
        numbers = one.rows.numpy() // 2 - 1
        expected = torch.from_numpy(kept.of(numbers, view=one.epoch % 2))
        assert torch.equal(one.pixels, expected)
        if one.epoch < 2 and one.step % EPOCH < EPOCH - 1:  # else some are there to fill up
            assert torch.equal(one.pixels, cut.below(INPUTS.planes(other.pixels)).half())


@pytest.mark.parametrize(
    "more", [{"sampling": "balanced"}, {"rank": 1, "ranks": 2}, {"batch": 32, "seed": 6}]
)
def test_order_sampling_and_ranks_are_the_feeds(
    cut: Split, canvases: Canvases, more: dict[str, Any]
) -> None:
    settings = FeedSettings(**{"batch": 8, "seed": 5, **more})
    kept = kept_of(cut, canvases, settings=settings)
    alone = kept_of(cut, canvases, settings=FeedSettings(batch=settings.batch, seed=settings.seed))
    for view in (0, 1):  # all pictures, whichever are drawn later
        np.testing.assert_allclose(
            kept.of(np.arange(N), view=view), alone.of(np.arange(N), view=view), rtol=1e-2
        )
    got = activation_feed(kept, LABELS, settings, steps=7)
    for one, other in zip(got, pixels_of(canvases, settings, 7), strict=True):
        assert torch.equal(one.rows, other.rows)
        assert torch.equal(one.labels, other.labels)
        expected = kept.of(one.rows.numpy() // 2 - 1, view=one.epoch % 2)
        np.testing.assert_array_equal(one.pixels.numpy(), expected)


def test_a_run_that_goes_on_has_the_batches_it_would_have_had(
    cut: Split, canvases: Canvases
) -> None:
    first, again = kept_of(cut, canvases), kept_of(cut, canvases)
    whole = list(activation_feed(first, LABELS, SETTINGS, steps=10))
    rest = list(activation_feed(again, LABELS, SETTINGS, steps=10, first_step=4))
    assert [batch.step for batch in rest] == [4, 5, 6, 7, 8, 9]
    for one, other in zip(whole[4:], rest, strict=True):
        assert torch.equal(one.pixels, other.pixels)
        assert torch.equal(one.rows, other.rows)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere workers take seconds to start")
def test_workers_change_no_bit(cut: Split, canvases: Canvases) -> None:
    with_workers = kept_of(cut, canvases, settings=FeedSettings(batch=8, seed=5, workers=2))
    alone = kept_of(cut, canvases)
    for view in (0, 1):
        np.testing.assert_array_equal(
            alone.of(np.arange(N), view=view), with_workers.of(np.arange(N), view=view)
        )


def test_training_above_them_is_training_the_partly_frozen_network(canvases: Canvases) -> None:
    losses = {}
    for how in ("pixels", "activations"):
        cut = cut_network()
        kept = kept_of(cut, canvases)
        if how == "pixels":
            network = built()
            freeze_until(network, "stage2")
            batches = feed(canvases, LABELS, CHANGED, SETTINGS, steps=2 * EPOCH)
            prepare: Any = INPUTS
        else:
            network, prepare = cut.above, above_inputs
            batches = activation_feed(kept, LABELS, SETTINGS, steps=2 * EPOCH)
        learning = [p for p in network.parameters() if p.requires_grad]
        losses[how] = [
            update.loss
            for update in updates(
                network, batches, torch.optim.SGD(learning, lr=0.1), prepare=prepare,
                loss=LOSSES.pick("cross_entropy"), loss_settings=LossSettings(),
                rate=lambda _: 1.0, settings=StepSettings(),
            )
        ]  # fmt: skip
    assert losses["activations"][-1] < losses["activations"][0]
    np.testing.assert_allclose(losses["activations"], losses["pixels"], rtol=0.02)


def test_judging_takes_the_first_view_in_the_order_of_the_pictures(
    cut: Split, canvases: Canvases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BATCH", 4)
    kept = kept_of(cut, canvases)
    above = copy.deepcopy(cut.above).eval()
    got = above_logits(above, kept)
    assert (got.shape, got.dtype) == ((N, CLASSES), np.float32)
    with torch.no_grad():
        expected = above(torch.from_numpy(kept.of(np.arange(N), view=0)).float())
    np.testing.assert_allclose(got, expected.numpy(), atol=1e-5)


def test_maps_come_channels_last_as_float32() -> None:
    half = torch.zeros(2, 4, 3, 3, dtype=torch.float16)
    batch = Batch(0, 0, torch.zeros(2), half, torch.tensor([1, 0]))
    planes, labels = above_inputs(batch)
    assert planes.dtype == torch.float32
    assert planes.is_contiguous(memory_format=torch.channels_last)
    assert labels is batch.labels


def test_a_file_holds_the_same_as_memory_and_is_gone_when_it_is_closed(
    cut: Split, canvases: Canvases, folder: Path, request: pytest.FixtureRequest
) -> None:
    in_memory = kept_of(cut, canvases)
    request.getfixturevalue("on_disk")
    folder.mkdir()
    (folder / f"killed{module.ENDING}").touch()
    with kept_of(cut, canvases, folder=folder) as in_file:
        assert in_file.file is not None
        assert _left(folder) == [in_file.file.name]  # that of the killed run was swept
        assert in_file.file.stat().st_size == activation_bytes(cut, N, views=2)
        for view in (0, 1):
            np.testing.assert_array_equal(
                in_file.of(np.arange(N), view=view), in_memory.of(np.arange(N), view=view)
            )


@pytest.mark.usefixtures("on_disk")
def test_files_go_to_the_cache_and_are_gone_when_nobody_needs_them(
    cut: Split, canvases: Canvases, own_cache: Path
) -> None:
    kept = kept_of(cut, canvases)
    assert len(_left(own_cache / "activations")) == 1
    del kept
    gc.collect()
    assert _left(own_cache / "activations") == []


def test_the_size_is_said_before_anything_is_computed_and_how_far_it_is(
    cut: Split, canvases: Canvases, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need = activation_bytes(cut, N, views=2)
    assert need == 2 * 2 * N * 12 * 8 * 8
    ears = Ears()
    monkeypatch.setattr(module, "free_memory", lambda: 4 * need)
    assert kept_of(cut, canvases, listener=ears, folder=folder).file is None
    assert ears.said == [
        "The activations behind stage2 of 21 pictures, in 2 views each, are computed once and "
        "held in memory: 0.1 MB."
    ]
    assert ears.done[0] == ("frozen part", 0, 2 * N)
    assert ears.done[-1] == ("frozen part", 2 * N, 2 * N)
    monkeypatch.setattr(module, "free_memory", lambda: 4 * need - 1)
    kept_of(cut, canvases, listener=ears, folder=folder).close()
    assert str(folder) in ears.said[1]
    assert "more than 25% of the free memory" in ears.said[1]


@pytest.mark.usefixtures("on_disk")
def test_a_disk_that_is_too_small_is_said_before_anything_is_computed(
    cut: Split, canvases: Canvases, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(folder.parent)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=5000))
    ears = Ears()
    with pytest.raises(DiskFull, match=r"2 views each, need 0\.1 MB and the disk of .* has 0\.0"):
        kept_of(cut, canvases, folder=folder, listener=ears)
    assert ears.done == []


@pytest.mark.usefixtures("on_disk")
def test_what_half_precision_cannot_hold_is_refused_and_leaves_no_file(
    canvases: Canvases, folder: Path
) -> None:
    network = built()
    with torch.no_grad():
        network[1][1].weight.mul_(1e6)
    cut = split(network, "stage2", size_px=SIZE)
    with pytest.raises(CannotSplit, match="behind stage2: what it answers there is too large"):
        kept_of(cut, canvases, folder=folder)


def test_nonsense_is_refused(cut: Split, canvases: Canvases) -> None:
    with pytest.raises(OutOfRange, match="views = 0 cannot work"):
        kept_of(cut, canvases, views=0)
    kept = kept_of(cut, canvases, views=1)
    with pytest.raises(OutOfRange, match="labels_n = 20 cannot work"):
        activation_feed(kept, LABELS[:20], SETTINGS, steps=3)
    with pytest.raises(OutOfRange, match="first_step = 4 cannot work"):
        activation_feed(kept, LABELS, SETTINGS, steps=3, first_step=4)

"""`Activations`: what the frozen part of a network answers, once for all epochs.

    cut = split(network, "stage3", size_px=128)
    with activations(cut, canvases, labels_n, transform, settings, inputs=inputs, views=4) as kept:
        for batch in activation_feed(kept, labels_n, settings, steps=1000):
            planes, labels = above_inputs(batch)
            loss(cut.above(planes), labels).backward()

Augmentation is not lost: ``views`` epochs of the feed are run through the frozen part, picture by
picture as they would be shown, and epoch e takes its pictures, in its own order, from view
e mod V. Everything is a function of the seed, as it is without: a run that goes on computes the
same again. Kept are numbers of half precision, where canvases are kept: in a quarter of the free
memory, or else in a file that is mapped and vanishes with its run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from foveal.core.errors import OutOfRange
from foveal.core.files import cache_folder
from foveal.core.listener import SILENT, Listener
from foveal.core.machine import free_memory
from foveal.train.network.frozen.part import CannotSplit, Split
from foveal.train.network.inputs import Inputs
from foveal.train.network.machine import ALONE, Machine
from foveal.train.network.pictures.canvas import SHARE, Canvases
from foveal.train.network.pictures.feed import Batch, Draws, FeedSettings, Transform, feed
from foveal.train.network.pictures.freed import Freed
from foveal.train.network.pictures.order import epoch_order, steps_per_epoch
from foveal.train.network.pictures.scratch_file import scratch_file, size_text, sweep

Half = NDArray[np.float16]

ENDING = ".activations"
_BATCH = 64  # pictures that are judged at a time


def activation_bytes(cut: Split, count: int, *, views: int) -> int:
    """Return how many bytes the activations of ``count`` pictures take."""
    return 2 * views * count * math.prod(cut.shape)


class Activations(Freed):
    """What the frozen part answers to V views of n pictures.

    Close them, or use them in a ``with``: that frees the file, if there is one. They are also
    freed when nothing refers to them any more, and when Python ends.

    Attributes:
        views: V.
        rows: (n,) int64: which of the files each picture is, as the canvases had it.
        file: where they lie; None: in memory.
    """

    def __init__(
        self,
        values: Half,
        places_Vn: NDArray[np.int64],
        rows: NDArray[np.int64],
        *,
        file: Path | None = None,
        free: Callable[[], object] = lambda: None,
    ) -> None:
        """Take what was computed.

        Args:
            values: (V, n, *shape), of each view in the order in which it was shown.
            places_Vn: where in that order each picture's are.
            rows: see above.
            file: see above.
            free: called once.
        """
        self._values, self._places_Vn = values, places_Vn
        self.views, self.rows, self.file = len(values), rows, file
        super().__init__(free)

    def __len__(self) -> int:
        """Return n."""
        return len(self.rows)

    def of(self, numbers_B: NDArray[np.int64], *, view: int) -> Half:
        """Return a copy of some pictures' activations in a view: (B, *shape)."""
        found: Half = self._values[view, self._places_Vn[view, numbers_B]]
        return found

    def close(self) -> None:
        """Free what they take; again does nothing."""
        self._values = np.empty((0, 0), np.float16)
        super().close()


def activations(  # noqa: PLR0913 — what a feed takes, and what it is run through
    cut: Split,
    canvases: Canvases,
    labels_n: NDArray[np.int64],
    transform: Transform,
    settings: FeedSettings,
    *,
    inputs: Inputs,
    views: int,
    listener: Listener = SILENT,
    folder: Path | None = None,
) -> Activations:
    """Run the frozen part over ``views`` epochs of the feed and keep what it answers.

    Args:
        cut: a network cut in two.
        canvases: n pictures; they may be closed afterwards.
        labels_n: their classes.
        transform: as the feed's.
        settings: as the feed's; every rank computes all pictures, and each view shows each once,
            however they are sampled later.
        inputs: how bytes become what the network reads, on which device; pictures are not mixed.
        views: V, at least 1; without chance in the transform, 1 is all there is.
        listener: hears how much it will take and where, then the stage ``frozen part``.
        folder: where a file is put if one is needed; None: in the cache. Only what lies in the
            same folder is swept, so give the same one again.

    Raises:
        OutOfRange: for ``views``, and as the feed does.
        DiskFull: if they fit neither into memory nor onto the disk, before any is computed.
        CannotSplit: if an activation is too large for half precision.
    """
    if views < 1:
        raise OutOfRange("views", views, "at least 1")
    folder = folder or cache_folder() / "activations"
    sweep(folder, ENDING)
    n = len(canvases)
    order = replace(settings, sampling="natural", whole=True, rank=0, ranks=1)
    need, room = activation_bytes(cut, n, views=views), SHARE * free_memory()
    shape = (views, n, *cut.shape)
    each = f", in {views} views each," if views > 1 else ""
    what = f"The activations behind {cut.stage} of {n:,} pictures{each}"
    batches = feed(
        canvases,
        labels_n,
        transform,
        order,
        steps=views * steps_per_epoch(n, batch=order.batch, whole=True),
        listener=listener,
    )
    parts = _computed(cut, batches, inputs, shape, listener)
    places_Vn = np.stack(
        [np.argsort(epoch_order(n, seed=order.seed, epoch=v)) for v in range(views)]
    )
    if need <= room:
        listener.say(f"{what} are computed once and held in memory: {size_text(need)}.")
        values = np.empty((views * n, *cut.shape), np.float16)
        done = 0
        for part in parts:
            values[done : done + len(part)] = part
            done += len(part)
        return Activations(values.reshape(shape), places_Vn, canvases.rows)
    listener.say(
        f"{what} are computed once, to {size_text(need)} in {folder}: that is more than "
        f"{SHARE:.0%} of the free memory."
    )
    with scratch_file(folder, ENDING, need=need, what=what) as scratch:
        for part in parts:
            scratch.file.write(part.data)
    mapped = np.memmap(scratch.path, np.float16, "r", shape=shape)
    return Activations(mapped, places_Vn, canvases.rows, file=scratch.path, free=scratch.remove)


def _computed(
    cut: Split,
    batches: Iterator[Batch],
    inputs: Inputs,
    shape: tuple[int, ...],
    listener: Listener,
) -> Iterator[Half]:
    """Yield the activations of view after view, batch by batch, each view's n pictures once."""
    views, n = shape[:2]
    done = 0
    listener.progress("frozen part", 0, views * n)
    for batch in batches:
        new = min(len(batch.pixels), (batch.epoch + 1) * n - done)  # the rest fills up the batch
        with inputs.machine.autocast():
            half = cut.below(inputs.planes(batch.pixels))[:new].half()
        if not torch.isfinite(half).all():
            raise CannotSplit(
                cut.above, cut.stage, "what it answers there is too large for half precision"
            )
        done += new
        listener.progress("frozen part", done, views * n)
        yield half.cpu().contiguous().numpy()


def activation_feed(
    kept: Activations,
    labels_n: NDArray[np.int64],
    settings: FeedSettings,
    *,
    steps: int,
    first_step: int = 0,
) -> Iterator[Batch]:
    """Yield the batches that ``feed`` would, with activations in the place of pixels.

    Args:
        kept: of n pictures.
        labels_n: their classes.
        settings: as the feed's; no worker is needed.
        steps: of the whole run, which is where it ends.
        first_step: not 0 when a run goes on.

    Raises:
        OutOfRange: if labels do not fit, or there is no such step.
    """
    if len(labels_n) != len(kept):
        raise OutOfRange("labels_n", len(labels_n), f"{len(kept)}, one for each picture")
    if not 0 <= first_step <= steps:
        raise OutOfRange("first_step", first_step, f"0 to {steps}, the number of steps")
    draws = Draws(labels_n, settings)
    return (_batch(kept, labels_n, draws, step) for step in range(first_step, steps))


def _batch(kept: Activations, labels_n: NDArray[np.int64], draws: Draws, step: int) -> Batch:
    epoch, _, numbers_B = draws.of(step)
    return Batch(
        step,
        epoch,
        torch.from_numpy(kept.rows[numbers_B]),
        torch.from_numpy(kept.of(numbers_B, view=epoch % kept.views)),
        torch.from_numpy(labels_n[numbers_B].astype(np.int64)),
    )


def above_inputs(batch: Batch, machine: Machine = ALONE) -> tuple[Tensor, Tensor]:
    """Return a batch's activations as float32 and its labels, on the device: for ``cut.above``."""
    return _placed(batch.pixels, machine), batch.labels.to(machine.device)


def above_logits(
    above: nn.Module, kept: Activations, machine: Machine = ALONE
) -> NDArray[np.float32]:
    """Return the logits (n, K) of all pictures in their first view; ``above`` is in eval mode."""
    found = []
    with torch.inference_mode(), machine.autocast():
        for numbers_B in np.array_split(np.arange(len(kept)), -(-len(kept) // _BATCH)):
            half = torch.from_numpy(kept.of(numbers_B, view=0))
            found.append(above(_placed(half, machine)).float().cpu().numpy())
    return np.concatenate(found)


def _placed(half: Tensor, machine: Machine) -> Tensor:
    """Return activations on the device, maps in the layout that is the faster one."""
    planes = half.to(machine.device, non_blocking=True).float()
    return planes.contiguous(memory_format=torch.channels_last) if planes.ndim == 4 else planes

"""The feed: which batch a step has, and its pictures made ready, here or in worker processes.

A batch depends on the settings and the number of its step, and on nothing else. So a run that
goes on from step k asks for step k: of the feed nothing is saved. The same bits come out with any
number of workers, and the batches of several ranks, side by side, are those of one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from foveal.core.errors import OutOfRange
from foveal.core.listener import SILENT, Listener
from foveal.train.network.pictures.canvas import Canvases
from foveal.train.network.pictures.order import (
    Places,
    balanced_order,
    batches_of,
    epoch_order,
    steps_per_epoch,
)
from foveal.train.network.pictures.workers import in_order

_MANY_ROWS = 40  # as many as an error names


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """The pictures of one step on this rank, as bytes: scaling them is the device's work."""

    step: int  # from 0 over the whole run
    epoch: int
    rows: Tensor  # (B,) int64: which of the files the canvases were made of
    pixels: Tensor  # (B, 3, size, size) uint8 RGB, or what ``activations`` have in their place
    labels: Tensor  # (B,) int64


class Transform(Protocol):
    """Makes a picture for the network of a canvas; a pure function of all it is given."""

    def __call__(self, canvas: Tensor, /, *, seed: int, epoch: int, index: int) -> Tensor:
        """Return uint8 (3, size, size) for a canvas, uint8 (3, side, side), which is its own.

        ``index`` is the picture's place in the epoch: one that is shown twice is changed twice.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedSettings:
    """What a step's batch depends on, and who makes it.

    Raises:
        OutOfRange: for a value that cannot work.
    """

    batch: int = 32  # pictures a step, over all ranks
    seed: int = 0
    sampling: Literal["natural", "balanced"] = "natural"  # balanced: every class as often
    whole: bool = False  # no epoch leaves out the few pictures that do not fill a last batch
    rank: int = 0  # in [0, ranks)
    ranks: int = 1
    workers: int = 0  # processes beside this one; 0: in this one
    patience_s: float = 30.0  # after which a worker that says nothing counts as hung

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        batches_of(np.zeros(1, np.int64), batch=self.batch, rank=self.rank, ranks=self.ranks)
        if self.seed < 0:
            raise OutOfRange("seed", self.seed, "0 or more")
        if self.sampling not in {"natural", "balanced"}:
            raise OutOfRange("sampling", self.sampling, "'natural' or 'balanced'")
        if self.workers < 0:
            raise OutOfRange("workers", self.workers, "0 or more")
        if not self.patience_s > 0:
            raise OutOfRange("patience_s", self.patience_s, "more than 0 seconds")


def feed(
    canvases: Canvases,
    labels_n: NDArray[np.int64],
    transform: Transform,
    settings: FeedSettings,
    *,
    steps: int,
    first_step: int = 0,
    listener: Listener = SILENT,
) -> Iterator[Batch]:
    """Yield the batches of the steps ``first_step`` to ``steps`` - 1, in order.

    An epoch has ``steps_per_epoch`` of them. Close the iterator (``break`` out of the loop and let
    go of it): workers end with it, and at once.

    Args:
        canvases: n pictures; they stay open as long as this is iterated.
        labels_n: their classes: (n,), so ``labels_N[canvases.rows]``.
        transform: where processes are not forked (macOS, Windows) it must be one that can be
            pickled, and a script that calls this needs its ``if __name__ == "__main__":``.
        settings: what the batches depend on.
        steps: of the whole run, which is where it ends.
        first_step: not 0 when a run goes on.
        listener: hears of workers that were replaced.

    Raises:
        OutOfRange: if there are no pictures, labels do not fit, or a transform gives no bytes.
        FovealError: if workers die or hang three times at a batch; it names the rows.
    """
    if len(labels_n) != len(canvases):
        raise OutOfRange("labels_n", len(labels_n), f"{len(canvases)}, one for each picture")
    if not 0 <= first_step <= steps:
        raise OutOfRange("first_step", first_step, f"0 to {steps}, the number of steps")
    making = _Making(canvases, labels_n, transform, settings)
    making.check()  # before the first fork: workers inherit what it had to import
    return _batches(making, range(first_step, steps), listener)


def _batches(making: _Making, steps: range, listener: Listener) -> Iterator[Batch]:
    settings = making.settings
    if not settings.workers:
        for step in steps:
            yield making.batch(step, making.pixels(step))
        return
    pixels = in_order(
        making.pixels,
        steps,
        workers=settings.workers,
        patience_s=settings.patience_s,
        called=making.called,
        listener=listener,
    )
    with closing(pixels):
        for step, pixels_B in zip(steps, pixels, strict=True):
            yield making.batch(step, pixels_B)


class Draws:
    """Which pictures every step takes on this rank."""

    def __init__(self, labels_n: NDArray[np.int64], settings: FeedSettings) -> None:
        """Draw for n pictures.

        Args:
            labels_n: their classes.
            settings: of the feed; ``batch``, ``seed``, ``sampling`` and the ranks matter.
        """
        self._labels_n, self._settings = labels_n, settings
        self._of_epoch: tuple[int, Places, Places] | None = None  # kept: many steps ask for it

    def of(self, step: int) -> tuple[int, Places, Places]:
        """Return a step's epoch, its places in that, and which of the pictures stand there."""
        settings, n = self._settings, len(self._labels_n)
        per_epoch = steps_per_epoch(n, batch=settings.batch, whole=settings.whole)
        epoch, step = divmod(step, max(per_epoch, 1))
        if self._of_epoch is None or self._of_epoch[0] != epoch:
            order_n = (
                balanced_order(self._labels_n, seed=settings.seed, epoch=epoch)
                if settings.sampling == "balanced"
                else epoch_order(n, seed=settings.seed, epoch=epoch)
            )
            numbers_SB = self._part(order_n)
            self._of_epoch = (
                epoch,
                self._part(np.arange(numbers_SB.size * settings.ranks)),
                numbers_SB,
            )
        _, places_SB, numbers_SB = self._of_epoch
        return epoch, places_SB[step], numbers_SB[step]

    def _part(self, order_n: Places) -> Places:
        settings = self._settings
        return batches_of(
            order_n,
            batch=settings.batch,
            rank=settings.rank,
            ranks=settings.ranks,
            whole=settings.whole,
        )


class _Making:
    """How the batch of a step is made; what workers are given."""

    def __init__(
        self,
        canvases: Canvases,
        labels_n: NDArray[np.int64],
        transform: Transform,
        settings: FeedSettings,
    ) -> None:
        self.settings = settings
        self._canvases, self._labels_n, self._transform = canvases, labels_n, transform
        self._draws = Draws(labels_n, settings)

    def check(self) -> None:
        """Make one picture, and see that it is one."""
        _, places_B, numbers_B = self._draws.of(0)
        with _one_thread():
            got = self._one(0, int(places_B[0]), int(numbers_B[0]))
        if got.dtype != torch.uint8 or got.ndim != 3 or len(got) != 3:
            raise OutOfRange(
                "transform",
                f"{got.dtype} {tuple(got.shape)}",
                "one that gives uint8 (3, side, side)",
            )

    def pixels(self, step: int) -> NDArray[np.uint8]:
        """Return the pictures of a step: (B, 3, size, size)."""
        epoch, places_B, numbers_B = self._draws.of(step)
        with _one_thread():
            made = [
                self._one(epoch, place, number)
                for place, number in zip(places_B.tolist(), numbers_B.tolist(), strict=True)
            ]
            pixels_B: NDArray[np.uint8] = torch.stack(made).numpy()
        return pixels_B

    def batch(self, step: int, pixels: NDArray[np.uint8]) -> Batch:
        """Return the pictures of a step with all that is known of them."""
        epoch, _, numbers_B = self._draws.of(step)
        return Batch(
            step,
            epoch,
            torch.from_numpy(self._canvases.rows[numbers_B]),
            torch.from_numpy(pixels),
            torch.from_numpy(self._labels_n[numbers_B].astype(np.int64)),
        )

    def called(self, step: int) -> str:
        """Name the pictures of a step."""
        rows = sorted(set(self._canvases.rows[self._draws.of(step)[2]].tolist()))
        more = ", …" if len(rows) > _MANY_ROWS else ""
        return f"step {step}, the pictures {', '.join(map(str, rows[:_MANY_ROWS]))}{more}"

    def _one(self, epoch: int, place: int, number: int) -> Tensor:
        canvas = torch.from_numpy(self._canvases.pixels[number].transpose(2, 0, 1).copy())
        return self._transform(canvas, seed=self.settings.seed, epoch=epoch, index=place)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let torch work as it does in a worker: sums of parts made by two threads may round otherwise.

    For single pictures one thread is also the faster.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)

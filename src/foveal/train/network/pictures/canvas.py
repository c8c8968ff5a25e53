"""Canvases: training pictures decoded once, a little larger than the network's input, as bytes.

Decoding costs more than all augmentation, so it is done once and not once an epoch. What fits
in a quarter of the free memory is held there; the rest lies in a file that is mapped, so that the
kernel keeps of it what it can. Such a file is gone when its run ends, see ``scratch_file``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from foveal.core.files import cache_folder
from foveal.core.listener import SILENT, Listener
from foveal.core.machine import free_memory
from foveal.image.preprocess import Preprocess
from foveal.image.stream import Batch, stream
from foveal.train.network.pictures.freed import Freed
from foveal.train.network.pictures.scratch_file import scratch_file, size_text, sweep

Pixels = NDArray[np.uint8]
Broken = tuple[tuple[int, str], ...]  # (row, reason), rising

MARGIN = 8 / 7  # 256 pixels for a network of 224: room for crops without enlarging
SHARE = 0.25  # of the free memory that pictures may take
ENDING = ".canvases"


def canvas_side(size_px: int) -> int:
    """Return the side of the canvases for a network that reads ``size_px`` pixels.

    >>> canvas_side(224), canvas_side(128)
    (256, 146)
    """
    return round(size_px * MARGIN)


class Canvases(Freed):
    """The n pictures that could be decoded, of N files.

    Close them, or use them in a ``with``: that frees the file, if there is one.

    Attributes:
        pixels: (n, side, side, 3) uint8 RGB, read-only; in memory or mapped from ``file``.
        rows: (n,) int64, rising: which of the files each one is.
        broken: (row, reason) of the files that are no pictures.
        file: where the pixels lie; None: in memory.
    """

    def __init__(
        self,
        pixels: Pixels,
        rows: NDArray[np.int64],
        broken: Broken = (),
        *,
        file: Path | None = None,
        free: Callable[[], object] = lambda: None,
    ) -> None:
        self.pixels = pixels.view()
        self.pixels.flags.writeable = False
        self.rows, self.broken, self.file = rows, broken, file
        self._shared: torch.Tensor | None = None
        super().__init__(free)

    def __len__(self) -> int:
        """Return n."""
        return len(self.rows)

    def close(self) -> None:
        """Free what they take; again does nothing."""
        self.pixels = self.pixels[:0].copy()
        self._shared = None
        super().close()

    def __reduce__(self) -> tuple[Callable[..., Canvases], tuple[Any, ...]]:
        """Travel to a process that was not forked: by file name, or through shared memory.

        A forked one sees the very same memory and needs nothing of this.
        """
        if self.file is not None:
            return _of_file, (self.file, self.pixels.shape, self.rows, self.broken)
        if self._shared is None:
            self._shared = torch.empty(self.pixels.shape, dtype=torch.uint8)
            self._shared.share_memory_()  # type: ignore[no-untyped-call]  # torch has no types here
            self._shared.numpy()[:] = self.pixels
        return _of_shared, (self._shared, self.rows, self.broken)


class Sources(Protocol):
    """Pictures in order, as often as they are asked for: files, or their bytes."""

    def __len__(self) -> int:
        """Return how many there are."""

    def __iter__(self) -> Iterator[Path | bytes]:
        """Yield them."""


def canvases(
    files: Sources,
    preprocess: Preprocess,
    *,
    side_px: int,
    crop: float = 1.0,
    listener: Listener = SILENT,
    folder: Path | None = None,
) -> Canvases:
    """Decode ``files`` once; the same pixels wherever they are held.

    Args:
        files: N files, or the bytes of files.
        preprocess: the network's own: other aspects and interpolation are treated alike.
        side_px: of the canvas, see ``canvas_side``.
        crop: share that is kept, as in ``Preprocess``. By itself nothing is cut away beyond other
            aspects; with the preprocess's own crop and size, canvases are what it makes of files.
        listener: hears the stage ``decoding`` and where the pictures are held.
        folder: where a file is put if one is needed; None: in the cache. Only what lies in the
            same folder is swept, so give the same one again.

    Returns:
        The pictures that can be read, in the files' order, and why the others cannot.

    Raises:
        DiskFull: if they fit neither into memory nor onto the disk.
    """
    folder = folder or cache_folder() / "canvases"
    sweep(folder, ENDING)
    batches = stream(files, replace(preprocess, size_px=side_px, crop=crop))
    shape = (len(files), side_px, side_px, 3)
    need, room = int(np.prod(shape)), SHARE * free_memory()
    if need <= room:
        listener.say(
            f"{len(files):,} pictures are decoded once and held in memory: {size_text(need)}."
        )
        pixels = np.empty(shape, np.uint8)
        rows, broken = _decoded(batches, len(files), listener, pixels)
        return Canvases(pixels[: len(rows)], rows, broken)
    listener.say(
        f"{len(files):,} pictures are decoded once, to {size_text(need)} in {folder}: that is more "
        f"than {SHARE:.0%} of the free memory."
    )
    return _filed(folder, batches, shape, listener)


def _decoded(
    batches: Iterable[Batch], count: int, listener: Listener, out: Pixels | IO[bytes]
) -> tuple[NDArray[np.int64], Broken]:
    """Put the good pictures into ``out`` one behind the other; return their rows, and the rest."""
    kept: list[int] = []
    broken: list[tuple[int, str]] = []
    listener.progress("decoding", 0, count)
    for batch in batches:
        if isinstance(out, np.ndarray):
            out[len(kept) : len(kept) + len(batch.rows)] = batch.pixels
        else:
            out.write(batch.pixels.data)
        kept += batch.rows.tolist()
        broken += batch.broken
        listener.progress("decoding", len(kept) + len(broken), count)
    return np.array(kept, dtype=np.int64), tuple(broken)


def _filed(
    folder: Path, batches: Iterable[Batch], shape: tuple[int, ...], listener: Listener
) -> Canvases:
    """Write the pictures to a file that is removed with the canvases, and map it."""
    need = int(np.prod(shape))
    with scratch_file(folder, ENDING, need=need, what="The decoded pictures") as scratch:
        rows, broken = _decoded(batches, shape[0], listener, scratch.file)
    pixels = _mapped(scratch.path, (len(rows), *shape[1:]))
    return Canvases(pixels, rows, broken, file=scratch.path, free=scratch.remove)


def _mapped(path: Path, shape: tuple[int, ...]) -> Pixels:
    """Return a file's bytes as an array, without reading them."""
    if not shape[0]:
        return np.empty(shape, np.uint8)  # an empty file cannot be mapped
    return np.memmap(path, np.uint8, "r", shape=shape)


def _of_file(
    path: Path, shape: tuple[int, ...], rows: NDArray[np.int64], broken: Broken
) -> Canvases:
    return Canvases(_mapped(path, shape), rows, broken, file=path)  # another process removes it


def _of_shared(pixels: torch.Tensor, rows: NDArray[np.int64], broken: Broken) -> Canvases:
    return Canvases(pixels.numpy(), rows, broken)

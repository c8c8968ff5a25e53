"""Pictures decoded in threads beside the network that consumes them, in order, a few ahead.

Pillow lets go of Python's lock while it decodes and resizes, so threads are enough. All work is
handed out from the consumer's own ``next()``: when it stops asking, nothing new begins.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from foveal.core.errors import BrokenImage, OutOfRange
from foveal.image.pixels import pixels
from foveal.image.preprocess import Preprocess
from foveal.image.source import bytes_of

AHEAD = 2  # batches that are decoded, or being decoded, while the consumer holds another


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """The pictures of consecutive files; rows count all files of the stream from 0.

    ``broken`` files are named with their reason and are neither in ``rows`` nor in ``pixels``:
    a batch may hold no picture at all.
    """

    rows: NDArray[np.int64]  # (n,), rising
    pixels: NDArray[np.uint8]  # (n, size, size, 3) RGB; the consumer's own
    broken: tuple[tuple[int, str], ...] = ()  # (row, reason)


def stream(
    sources: Iterable[Path | bytes],
    preprocess: Preprocess,
    *,
    batch: int = 32,
    workers: int | None = None,
) -> Iterator[Batch]:
    """Yield the pixels of ``sources`` in order, ``batch`` files at a time, decoded in threads.

    Memory holds ``AHEAD`` + 1 batches however many sources there are; they are drawn as needed,
    so an endless iterator is fine. Stopping early (``break``, an error, Ctrl-C) waits for the
    pictures being decoded at that moment and leaves no thread behind.

    Args:
        sources: files, or the bytes of files.
        preprocess: see ``pixels``.
        batch: files per batch, broken ones included; the last batch may have fewer.
        workers: threads; None: one for each core this process may use.

    Raises:
        OutOfRange: if ``batch`` or ``workers`` is below 1.
    """
    if batch < 1:
        raise OutOfRange("batch", batch, "at least 1")
    if workers is not None and workers < 1:
        raise OutOfRange("workers", workers, "at least 1, or None")
    return _batches(iter(sources), preprocess, batch, workers or _cores())


def _batches(
    sources: Iterator[Path | bytes], preprocess: Preprocess, batch: int, workers: int
) -> Iterator[Batch]:
    pool = ThreadPoolExecutor(workers, thread_name_prefix="foveal-decode")
    waiting: deque[Future[NDArray[np.uint8] | str]] = deque()
    row = 0
    try:
        while True:
            for source in islice(sources, (1 + AHEAD) * batch - len(waiting)):
                waiting.append(pool.submit(_pixels_or_reason, source, preprocess))
            if not waiting:
                return
            results = [waiting.popleft().result() for _ in range(min(batch, len(waiting)))]
            yield _batch(row, results, preprocess.size_px)
            row += len(results)
    finally:
        pool.shutdown(cancel_futures=True)


def _pixels_or_reason(source: Path | bytes, preprocess: Preprocess) -> NDArray[np.uint8] | str:
    try:
        return pixels(bytes_of(source), preprocess)
    except BrokenImage as error:
        return error.what


def _batch(first: int, results: list[NDArray[np.uint8] | str], size_px: int) -> Batch:
    broken = [(row, out) for row, out in enumerate(results, first) if isinstance(out, str)]
    good = [(row, out) for row, out in enumerate(results, first) if not isinstance(out, str)]
    pixels_NHWC = np.empty((len(good), size_px, size_px, 3), dtype=np.uint8)
    for place, (_, out) in enumerate(good):
        pixels_NHWC[place] = out
    return Batch(np.array([row for row, _ in good], dtype=np.int64), pixels_NHWC, tuple(broken))


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # macOS and Windows

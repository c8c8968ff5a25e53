"""Which pictures deserve a place in a report, and what they and their heat maps look like in it."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

MISTAKES = 24  # shown as cards, most confident first
PER_CELL = 12  # of each cell of the confusion matrix before any cell gets more
SIDE_PX = 160  # of a thumbnail

FOR = (214, 94, 0)  # evidence for the answer: vermilion (Okabe and Ito's palette,
AGAINST = (0, 114, 178)  # evidence against it: blue    told apart by colour-blind eyes)
OPAQUE = 190  # of 255, where the evidence is strongest


def worth_showing(
    truths_N: NDArray[np.int64], answers_N: NDArray[np.int64], confidences_N: NDArray[np.float64]
) -> list[int]:
    """Return all rows, those that a reader learns most from first.

    First the most confident mistakes; then, cell by cell of the confusion matrix in turns, the
    mistakes (surest first); then likewise the right answers (least sure first); then the rest.
    A caller makes thumbnails and heat maps for as many as it can afford, from the front.

    Args:
        truths_N: the true class of each image, in [0, K).
        answers_N: the class that was answered, in [0, K).
        confidences_N: its probability, in [0, 1].

    Rows 1 and 2 are mistakes; row 3 is right but less sure than row 0:

    >>> truths, answers = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    >>> worth_showing(truths, answers, np.array([0.9, 0.6, 0.8, 0.7]))
    [2, 1, 3, 0]
    """
    count = len(truths_N)
    right_N = truths_N == answers_N
    telling_N = np.where(right_N, -confidences_N, confidences_N)
    _, cell_N = np.unique(np.stack([truths_N, answers_N]), axis=1, return_inverse=True)
    by_cell = np.lexsort((np.arange(count), -telling_N, cell_N))
    starts = np.r_[True, np.diff(cell_N[by_cell]) != 0][:count]
    depth_N = np.empty(count, dtype=np.int64)
    depth_N[by_cell] = np.arange(count) - np.flatnonzero(starts)[np.cumsum(starts) - 1]
    surest = np.lexsort((np.arange(count), -telling_N, right_N))[: min(MISTAKES, (~right_N).sum())]
    stage_N = np.where(depth_N >= PER_CELL, 3, np.where(right_N, 2, 1))
    stage_N[surest] = 0
    depth_N[surest] = 0
    order = np.lexsort((np.arange(count), -telling_N, depth_N, stage_N))
    return [int(row) for row in order]


def thumbnail(pixels: NDArray[np.uint8]) -> bytes:
    """Return a small JPEG of ``pixels`` (h, w, 3) uint8 RGB; its longer side is ``SIDE_PX``.

    Pictures that are smaller already keep their size: the page enlarges them.
    """
    from PIL import Image

    image = Image.fromarray(pixels, mode=None)
    image.thumbnail((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=78, optimize=True)
    return out.getvalue()


def heat_png(heat: NDArray[np.float32]) -> bytes:
    """Return a heat map (h, w), signed, as a PNG of h × w pixels to lay over the picture.

    Vermilion speaks for the answer, blue against it; the strongest cell of the picture is the
    most opaque, zero is clear. Values that are not finite count as zero.
    """
    from PIL import Image

    values = np.where(np.isfinite(heat), heat, 0.0).astype(np.float64)
    strength = np.abs(values) / max(float(np.abs(values).max(initial=0.0)), np.finfo(float).tiny)
    rgba = np.empty((*values.shape, 4), dtype=np.uint8)
    rgba[..., :3] = np.where(values[..., None] < 0, AGAINST, FOR)
    rgba[..., 3] = np.round(OPAQUE * strength)
    out = io.BytesIO()
    Image.fromarray(rgba).save(out, "PNG", optimize=True)
    return out.getvalue()

"""Where a model looked, found by covering parts of the picture: for graphs without maps.

Source: Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014,
section 4.2.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from foveal.core.errors import OutOfRange


def occlusion(
    logits: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
    pixels: NDArray[np.uint8],
    *,
    grid: int = 7,
    batch: int = 32,
) -> NDArray[np.float32]:
    """Return how much the evidence for the answer falls when each part is covered.

    A square a quarter wider than its cell is filled with the picture's mean colour, cell by
    cell; evidence is the answer's logit above the mean logit, as in the graph's heat maps.

    Args:
        logits: pixels uint8 (N, S, S, 3) -> logits (N, K).
        pixels: one picture, uint8 (S, S, 3).
        grid: cells along a side; ``grid²`` further runs of the network are needed.
        batch: how many covered pictures are run at once.

    Returns:
        (grid, grid) float32: positive where covering the cell lost evidence for the answer.

    Raises:
        OutOfRange: if the grid is finer than the pixels.
    """
    size = len(pixels)
    if not 1 <= grid <= size:
        raise OutOfRange("grid", grid, f"1 to {size} cells along the side")
    whole_K = logits(pixels[None])[0]
    answer = int(whole_K.argmax())
    fill = pixels.reshape(-1, 3).mean(axis=0).round().astype(np.uint8)
    edges = np.linspace(0, size, grid + 1)
    margin = size / grid / 8
    covered = np.repeat(pixels[None], grid * grid, axis=0)
    for row in range(grid):
        for column in range(grid):
            top, left = (max(round(edges[i] - margin), 0) for i in (row, column))
            bottom, right = (round(edges[i + 1] + margin) for i in (row, column))
            covered[row * grid + column, top:bottom, left:right] = fill
    out_NK = np.concatenate([logits(covered[i : i + batch]) for i in range(0, len(covered), batch)])
    evidence_N = out_NK[:, answer] - out_NK.mean(axis=1)
    lost_N = whole_K[answer] - whole_K.mean() - evidence_N
    return np.asarray(lost_N.reshape(grid, grid), dtype=np.float32)

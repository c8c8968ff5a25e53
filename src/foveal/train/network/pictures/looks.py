"""What a policy makes of a few pictures, for people to look at: arrays in, arrays out."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from foveal.train.network.pictures.augment import Policy, augmented
from foveal.train.network.pictures.mixing import mixed

Pixels = NDArray[np.uint8]


def looks(policy: Policy, canvases: Pixels, *, size_px: int, epochs: int, seed: int) -> Pixels:
    """Return what the epochs from 0 on show of some pictures.

    Args:
        policy: how they are changed.
        canvases: (N, S, S, 3) uint8 RGB.
        size_px: of a picture.
        epochs: E.
        seed: of the run.

    Returns:
        (N, E, size, size, 3) uint8 RGB.
    """
    change = policy.make(size_px)
    out = np.empty((len(canvases), epochs, size_px, size_px, 3), np.uint8)
    for index, canvas in enumerate(canvases):
        picture = torch.from_numpy(canvas.transpose(2, 0, 1).copy())
        for epoch in range(epochs):
            shown = augmented(change, picture, seed=seed, epoch=epoch, index=index)
            out[index, epoch] = shown.permute(1, 2, 0).numpy()
    return out


def mixed_looks(pictures: Pixels, *, seed: int) -> Pixels:
    """Return what mixing makes of them: in each epoch one picture of the batch of all.

    Args:
        pictures: (N, E, size, size, 3) uint8 RGB, as ``looks`` gives them.
        seed: of the run.

    Returns:
        (E, size, size, 3) uint8 RGB.
    """
    count, epochs = pictures.shape[:2]
    out = np.empty(pictures.shape[1:], np.uint8)
    for epoch in range(epochs):
        batch = torch.from_numpy(pictures[:, epoch].transpose(0, 3, 1, 2).astype(np.float32))
        both, _ = mixed(batch, torch.arange(count), count, seed=seed, step=epoch)
        out[epoch] = both[epoch % count].round().permute(1, 2, 0).numpy()
    return out

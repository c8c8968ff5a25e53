"""`Inputs`: a batch of bytes becomes what a network reads, on its device."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from foveal.image.preprocess import Preprocess
from foveal.train.network.machine import ALONE, Machine
from foveal.train.network.pictures.feed import Batch
from foveal.train.network.pictures.mixing import mixed


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """How bytes are scaled, and whether pictures of a batch are mixed: a function of the batch."""

    preprocess: Preprocess  # mean and std are used; size and crop were the feed's
    classes: int
    mixes: bool = False  # see ``mixing``
    seed: int = 0
    machine: Machine = ALONE

    def __call__(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return (B, 3, H, W) float32, channels last, and targets (B,), or (B, K) where mixed."""
        planes = self.planes(batch.pixels)
        labels = batch.labels.to(self.machine.device)
        if not self.mixes:
            return planes, labels
        return mixed(planes, labels, self.classes, seed=self.seed, step=batch.step)

    def planes(self, pixels: Tensor) -> Tensor:
        """Return uint8 (B, 3, H, W) as the network wants them; the layout is the faster one."""
        planes = pixels.to(self.machine.device, non_blocking=True).float()
        planes = planes.contiguous(memory_format=torch.channels_last)
        scale = torch.tensor(self.preprocess.std, device=planes.device).view(1, 3, 1, 1) * 255
        shift = torch.tensor(self.preprocess.mean, device=planes.device).view(1, 3, 1, 1) * 255
        return planes.sub_(shift).div_(scale)

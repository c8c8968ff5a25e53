"""`Crops`: random crops of a whole batch at once, on the device that holds it.

What a run that shows millions of small pictures spends on augmentation counts: one picture after
the other costs more than a small network's own step. Here a batch is cut, enlarged or reduced
and mirrored by one call of ``grid_sample``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from foveal.core.errors import OutOfRange
from foveal.train.network.seeding import seed_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Crops:
    """Which parts of pictures are shown, as functions of (seed, step).

    Raises:
        OutOfRange: for an area or aspect that cannot be.
    """

    area: tuple[float, float] = (0.5, 1.0)  # share of the picture's area that is shown
    aspect: float = 4 / 3  # widest; the narrowest is its inverse
    mirror: bool = True  # half of the time

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if not 0 < self.area[0] <= self.area[1] <= 1:
            raise OutOfRange("area", self.area, "two rising shares in (0, 1]")
        if not self.aspect >= 1:
            raise OutOfRange("aspect", self.aspect, "1 or more")

    def places(self, batch: int, *, seed: int, step: int) -> Tensor:
        """Return where each picture of a whole batch is looked at: (batch, 2, 3) float32.

        Affine maps from the shown square to the picture, both in [-1, 1]. Drawn on the processor:
        the same on every device; ranks take their rows.

        Source:
            Szegedy et al., "Going Deeper with Convolutions", CVPR 2015, section 6 (the crops).
        """
        generator = torch.Generator().manual_seed(seed_of("crops", seed, step) % 2**63)
        draws = torch.rand(5, batch, generator=generator)
        area = self.area[0] + (self.area[1] - self.area[0]) * draws[0]
        turn = math.log(self.aspect) * (2 * draws[1] - 1)
        width = (area * turn.exp()).sqrt().clamp(max=1)
        height = (area / turn.exp()).sqrt().clamp(max=1)
        left_or_right = torch.where(draws[4] < 0.5, -1.0, 1.0) if self.mirror else 1.0
        places = torch.zeros(batch, 2, 3)
        places[:, 0, 0] = width * left_or_right
        places[:, 1, 1] = height
        places[:, 0, 2] = (2 * draws[2] - 1) * (1 - width)
        places[:, 1, 2] = (2 * draws[3] - 1) * (1 - height)
        return places


def shown(planes: Tensor, places: Tensor, *, size_px: int) -> Tensor:
    """Return what is seen at ``places``, bilinear, without antialiasing.

    Args:
        planes: (B, 3, S, S) float, on any device.
        places: (B, 2, 3), see ``Crops.places``.
        size_px: side of what is returned; much less than S would alias.

    Returns:
        (B, 3, size, size), channels last.
    """
    grid = affine_grid(
        places.to(planes.device), [len(planes), 3, size_px, size_px], align_corners=False
    )
    seen = grid_sample(planes, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return seen.contiguous(memory_format=torch.channels_last)

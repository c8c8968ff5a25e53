"""`Preprocess`: how a picture becomes the pixels a backbone expects."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from foveal.core.errors import OutOfRange

RGB = tuple[float, float, float]
Shape = Literal["crop", "squash", "pad"]
Interpolation = Literal["bilinear", "bicubic"]

IMAGENET_MEAN: RGB = (0.485, 0.456, 0.406)
_LARGEST = 2048  # pixels a side: above, a batch of feature maps outgrows any ordinary memory
IMAGENET_STD: RGB = (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocess:
    """How a picture becomes the pixels a backbone expects.

    ``crop``: the shorter side is resized to ``size_px / crop`` and the central square of
    ``size_px`` is kept. ``squash``: the central ``crop`` share of each side is resized to the
    square, whatever the aspect. ``pad``: the longer side is resized to ``size_px / crop``, the
    rest is filled with grey, and the central square is kept. The pixels stay uint8 RGB
    (size, size, 3): scaling to [0, 1] and ``(x - mean) / std`` happen inside the network's graph.

    The record travels with the weights, so training, evaluation and serving cannot differ.

    >>> Preprocess(size_px=224).resize_px
    256
    """

    size_px: int = 224
    crop: float = 0.875  # share of the resized side that is kept, in (0, 1]
    shape: Shape = "crop"  # what happens to other aspects
    interpolation: Interpolation = "bicubic"
    mean: RGB = IMAGENET_MEAN
    std: RGB = IMAGENET_STD

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if not 16 <= self.size_px <= _LARGEST:
            raise OutOfRange("size_px", self.size_px, f"16 to {_LARGEST:,} pixels")
        if not 0 < self.crop <= 1:
            raise OutOfRange("crop", self.crop, "a share in (0, 1]")
        if self.shape not in ("crop", "squash", "pad"):
            raise OutOfRange("shape", self.shape, "crop, squash or pad")
        if self.interpolation not in ("bilinear", "bicubic"):
            raise OutOfRange("interpolation", self.interpolation, "bilinear or bicubic")
        if len(self.mean) != 3 or not all(map(math.isfinite, self.mean)):
            raise OutOfRange("mean", self.mean, "three numbers, on the scale of [0, 1]")
        if len(self.std) != 3 or not min(self.std) > 0:
            raise OutOfRange("std", self.std, "three positive numbers, on the scale of [0, 1]")

    @property
    def resize_px(self) -> int:
        """Length of the resized side before the crop, in pixels (rounded down, as timm does)."""
        return math.floor(self.size_px / self.crop)

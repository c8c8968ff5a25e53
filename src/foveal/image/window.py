"""Which part of a picture a backbone sees, and where it lands: arithmetic, no pixels.

The rounding is torchvision's and timm's (the longer side of a resize is cut off to a whole
number, the centre of a crop is rounded half to even), so published accuracies come out the same.
Resize and crop are then done in one step: only the pixels that are kept are computed.
"""

from __future__ import annotations

from dataclasses import dataclass

from foveal.image.preprocess import Preprocess


@dataclass(frozen=True, slots=True)
class Window:
    """The part of a picture that is seen, and its place on the square."""

    box: tuple[float, float, float, float]  # left, top, right, bottom, in true pixels
    size: tuple[int, int]  # width and height of that part on the square
    position: tuple[int, int]  # of its left upper corner on the square; not (0, 0) when padded

    @property
    def shrink(self) -> float:
        """How many times fewer pixels than the picture has, along the axis that shrinks less."""
        left, top, right, bottom = self.box
        return min((right - left) / self.size[0], (bottom - top) / self.size[1])


def whole(width: int, height: int, size: tuple[int, int]) -> Window:
    """Return the window through which all of a picture is seen at this ``size``."""
    return Window((0.0, 0.0, float(width), float(height)), size, (0, 0))


def window(width: int, height: int, preprocess: Preprocess) -> Window:
    """Return what ``preprocess`` keeps of a picture of this size, as displayed.

    A 400 × 200 picture is resized to 512 × 256, of which the central 224 × 224 are kept:

    >>> window(400, 200, Preprocess(size_px=224, crop=0.875)).box
    (112.5, 12.5, 287.5, 187.5)
    """
    full = preprocess.resize_px
    shorter, longer = min(width, height), max(width, height)
    if preprocess.shape == "crop":
        sides = full, int(full * longer / shorter)
    elif preprocess.shape == "squash":
        sides = full, full
    else:
        sides = max(1, int(full * shorter / longer)), full
    resized_width, resized_height = sides if width <= height else sides[::-1]
    left, right, columns, x = _axis(width, resized_width, preprocess.size_px)
    top, bottom, rows, y = _axis(height, resized_height, preprocess.size_px)
    return Window((left, top, right, bottom), (columns, rows), (x, y))


def _axis(length: int, resized: int, kept: int) -> tuple[float, float, int, int]:
    """Return start and end in true pixels, then length and position on the square."""
    if resized < kept:
        return 0.0, float(length), resized, (kept - resized) // 2
    start = round((resized - kept) / 2)
    scale = length / resized
    return start * scale, min((start + kept) * scale, float(length)), kept, 0

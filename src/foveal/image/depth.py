"""Grey pictures of more than eight bits, brought to eight.

Three rules, since the files do not say what their values mean:

* Whole numbers from 0 to 65,535 are taken to come from a sensor of 8, 10, 12, 14 or 16 bits,
  whichever is the smallest that holds the brightest value, and are divided by that range. A
  12-bit microscope or X-ray stored in 16 bits, as is usual, would otherwise be all but black
  (brightest possible value 15 of 255), while stretching each picture from its darkest to its
  brightest value would invent contrast in an empty one and forget what black is.
* Fractions in [0, 1] are shares of white.
* Anything else (negative numbers, depths in metres) has no black or white that we know: only
  then is the picture stretched from its smallest to its largest value.

Within one picture all three keep the order of values. Across pictures the first may brighten a
dark one by up to four times against another of the same camera.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from foveal.core.errors import BrokenImage

SENSOR_BITS = (8, 10, 12, 14, 16)


def eight_bits(values_HW: NDArray[Any]) -> NDArray[np.uint8]:
    """Return grey values (H, W) of any numeric type as uint8, by the rules of this file.

    Args:
        values_HW: whole numbers or fractions; NaN becomes black, infinities the nearest end.

    Raises:
        BrokenImage: if no value is finite.

    A 12-bit picture and a share of white:

    >>> eight_bits(np.array([[0, 2048, 4095]], dtype=np.uint16))
    array([[  0, 128, 255]], dtype=uint8)
    >>> eight_bits(np.array([[0.0, 0.5, 1.0]]))
    array([[  0, 128, 255]], dtype=uint8)
    """
    finite = values_HW[np.isfinite(values_HW)]
    if not finite.size:
        raise BrokenImage("damaged: none of its values is a number")
    low, high = _black_and_white(finite)
    clipped = np.nan_to_num(values_HW.astype(np.float32), nan=low, posinf=high, neginf=low)
    share = (clipped.clip(low, high) - low) / (high - low)
    out: NDArray[np.uint8] = np.floor(share * 255 + 0.5).astype(np.uint8)
    return out


def _black_and_white(values: NDArray[Any]) -> tuple[float, float]:
    """Return which values are shown as black and as white."""
    low, high = float(values.min()), float(values.max())
    whole = np.issubdtype(values.dtype, np.integer)
    if not whole and low >= 0 and high <= 1:
        return 0.0, 1.0
    if low >= 0 and high < 1 << 16 and (whole or high <= 255):
        return 0.0, float(next(2**bits - 1 for bits in SENSOR_BITS if high < 2**bits))
    return (low, high) if high > low else (low, low + 1.0)

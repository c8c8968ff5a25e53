"""Foveal's rounds and a peer's, side by side: spreads, accuracy with its interval, their text."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from child import Cost

from foveal.evaluate.intervals import wilson


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return the median of the rounds, the least and the most."""
    return {
        "median": round(statistics.median(values), 3),
        "least": round(min(values), 3),
        "most": round(max(values), 3),
    }


def side(costs: Sequence[Cost], right: Sequence[int], images: int) -> dict[str, Any]:
    """Return the numbers of one side; the accuracy is the median round's.

    Args:
        costs: of each round.
        right: pictures answered rightly, round by round.
        images: of how many.
    """
    top1 = wilson(statistics.median_low(right) / images, images)
    return {
        "wall_s": spread([cost.wall_s for cost in costs]),
        "cpu_s": spread([cost.cpu_s for cost in costs]),
        "peak_mb": spread([cost.peak_mb for cost in costs]),
        "right": list(right),
        "top1": {"value": top1.value, "low": top1.low, "high": top1.high},
    }


def text(found: dict[str, float]) -> str:
    """Return a spread in a few letters: ``1.3 (1.2–1.4)``."""
    return f"{found['median']:.1f} ({found['least']:.1f}–{found['most']:.1f})"


def row(name: str, found: dict[str, Any]) -> str:
    """Return one side as a line below ``HEADER``."""
    top1 = found["top1"]
    right = f"{100 * top1['value']:.1f} ({100 * top1['low']:.1f}–{100 * top1['high']:.1f})"
    return (
        f"{name:26}{text(found['wall_s']):>22}{found['cpu_s']['median']:9.1f}"
        f"{found['peak_mb']['median']:9.0f}{right:>22}"
    )


HEADER = f"{'':26}{'wall s':>22}{'CPU s':>9}{'peak MB':>9}{'right, of 100':>22}"

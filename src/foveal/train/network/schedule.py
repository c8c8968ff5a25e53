"""Learning rates as pure functions of the step: resuming needs nothing but its number."""

from __future__ import annotations

import math
from collections.abc import Sequence

from foveal.core.errors import OutOfRange


def warmup_cosine(
    step: int, *, total: int, warmup: int = 0, hold: int = 0, floor: float = 0.0
) -> float:
    """Return the share of the peak learning rate to use at ``step``.

    Rises in a straight line over ``warmup`` steps, stays at the peak for ``hold`` steps, then
    falls along half a cosine to ``floor`` at ``total``, and stays there.

    Args:
        step: from 0.
        total: steps of the whole run.
        warmup: steps of the rise.
        hold: steps at the peak.
        floor: share of the peak that is left at the end, in [0, 1].

    Raises:
        OutOfRange: if rise and peak are not shorter than the run, or ``floor`` is no share.

    Source:
        Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017
        (without restarts); Goyal et al., "Accurate, Large Minibatch SGD", 2017 (the rise);
        Hägele et al., "Scaling Laws and Compute-Optimal Training Beyond Fixed Training
        Durations", NeurIPS 2024 (the peak).

    >>> [round(warmup_cosine(s, total=10, warmup=2), 2) for s in (0, 1, 2, 6, 10)]
    [0.5, 1.0, 1.0, 0.5, 0.0]
    >>> [round(warmup_cosine(s, total=10, hold=6), 2) for s in (0, 6, 8, 10)]
    [1.0, 1.0, 0.5, 0.0]
    >>> warmup_cosine(10, total=10, floor=0.1)
    0.1
    """
    if not 0 <= warmup < total:
        raise OutOfRange("warmup", warmup, f"0 or more and fewer than total = {total} steps")
    if not 0 <= hold < total - warmup:
        raise OutOfRange("hold", hold, f"0 or more and fewer than {total - warmup} steps")
    if not 0 <= floor <= 1:
        raise OutOfRange("floor", floor, "a share in [0, 1]")
    if step < warmup:
        return (step + 1) / warmup
    falling = warmup + hold
    done = min(max(step - falling, 0) / (total - falling), 1.0)
    return floor + (1 - floor) * 0.5 * (1.0 + math.cos(math.pi * done))


def size_in(epoch: int, epochs: int, sizes: Sequence[int]) -> int:
    """Return the side of the input in an epoch, from 0: each size for as many epochs.

    >>> [size_in(epoch, 5, (64, 96)) for epoch in range(5)]
    [64, 64, 64, 96, 96]
    """
    return sizes[epoch * len(sizes) // epochs]

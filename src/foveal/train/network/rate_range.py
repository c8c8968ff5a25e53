"""The learning-rate range test: a short training at ever higher rates shows which are too high."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import closing
from copy import deepcopy
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from foveal.core.errors import FovealError, OutOfRange
from foveal.core.listener import SILENT, Listener
from foveal.train.network.loop import Diverged, updates
from foveal.train.network.machine import ALONE, Machine
from foveal.train.network.pictures.feed import Batch
from foveal.train.network.run import Batches, Plan
from foveal.train.network.saving.random_states import random_states_left_alone
from foveal.train.network.seeding import seed_of

SMOOTHING = 0.9  # what is left of the mean loss after a step
TOO_HIGH = 4.0  # times the least loss, where the test ends
_SLOPE = 7  # points on either side that a slope is drawn through


@dataclass(frozen=True, slots=True)
class RatePoint:
    """One step of the test."""

    share: float  # of the plan's own rates, of all groups alike
    loss: float  # of the batch
    smoothed: float  # the mean of it and those before, the last ones counting most


@dataclass(frozen=True, slots=True, kw_only=True)
class RateRange:
    """The course of the loss over rising rates, and what it suggests.

    Rates are shares of the plan's: 1 is what it says, for every group of parameters, 0.5 half of
    that. A suggestion is None where the loss did not fall.
    """

    points: tuple[RatePoint, ...]  # by rising rate
    too_high: bool  # whether the last rate was: else even the highest one did not break anything
    steepest: float | None  # where the loss falls fastest
    tenth: float | None  # a tenth of the rate at the least loss

    @property
    def suggestion(self) -> float | None:
        """Return the tenth: it comes from all batches up to the least loss.

        Where a head is good already, the loss falls by less than batches differ, and where it
        does so fastest says little.
        """
        return self.tenth


def rate_range(
    network: nn.Module,
    plan: Plan,
    *,
    machine: Machine = ALONE,
    steps: int = 100,
    lowest: float = 1e-3,
    highest: float = 1e3,
    listener: Listener = SILENT,
) -> RateRange:
    """Train a copy of ``network`` while its rates rise, until the loss is far from its least.

    Rates rise by the same factor from step to step. The loss is smoothed by an exponential mean,
    corrected for its beginning. The network and the generators of random numbers are left alone;
    the same plan gives the same answer.

    Args:
        network: on the machine's device, as for ``train``.
        plan: of the run the rates are for. Where it has fewer steps, its batches come again.
        machine: of this process.
        steps: from the lowest to the highest rate.
        lowest: of the shares, see ``RateRange``.
        highest: of the shares.
        listener: hears the stage ``trying rates``.

    Raises:
        OutOfRange: for a range that is none.
        Diverged: if not even the first step is finite.

    Source:
        Smith, "Cyclical Learning Rates for Training Neural Networks", WACV 2017, section 3.3;
        exponential steps, smoothing, the end at four times the least loss and the tenth of its
        rate are fastai's ``lr_find``.
    """
    if steps < 2:
        raise OutOfRange("steps", steps, "at least 2")
    if not 0 < lowest < highest < math.inf:
        raise OutOfRange("lowest", lowest, f"more than 0 and less than highest = {highest:g}")
    with random_states_left_alone():
        torch.manual_seed(seed_of("range", plan.seed, machine.rank) % 2**63)
        points, too_high = _tried(
            deepcopy(network), plan, machine, np.geomspace(lowest, highest, steps), listener
        )
    steepest, tenth = suggested(points)
    return RateRange(points=points, too_high=too_high, steepest=steepest, tenth=tenth)


def suggested(points: Sequence[RatePoint]) -> tuple[float | None, float | None]:
    """Return where the loss falls fastest, and a tenth of the rate at the least smoothed loss.

    How fast it falls is the slope, over the rate's logarithm, of a straight line through the
    losses of fifteen batches: between neighbours it is the luck of one batch, and the smoothed
    loss comes late, by half a power of ten in a hundred steps. Where there are fewer than fifteen,
    or nothing falls before the least loss, the first answer is None; where the first point is the
    least, both are.

    >>> falling = [RatePoint(10**k, loss, loss) for k, loss in enumerate([3, 2.9, 2.0, 1.8, 9])]
    >>> suggested(falling)
    (None, 100.0)
    """
    losses_P = np.array([point.loss for point in points])
    shares_P = np.array([point.share for point in points])
    least = int(np.argmin([point.smoothed for point in points])) if len(points) else 0
    if not least:
        return None, None
    tenth = float(shares_P[least]) / 10
    middles = np.arange(_SLOPE, min(least + 1, len(points) - _SLOPE))
    if not len(middles):
        return None, tenth
    logs_P = np.log(shares_P)
    slopes = [_slope(logs_P[m - _SLOPE : m + _SLOPE + 1], losses_P[m - _SLOPE : m + _SLOPE + 1])
              for m in middles]  # fmt: skip
    steepest = int(np.argmin(slopes))
    if slopes[steepest] >= 0:
        return None, tenth
    return float(shares_P[middles[steepest]]), tenth


def _tried(
    network: nn.Module,
    plan: Plan,
    machine: Machine,
    shares_S: NDArray[np.float64],
    listener: Listener,
) -> tuple[tuple[RatePoint, ...], bool]:
    """Return the points, and whether the last rate was too high."""
    loop = updates(
        network,
        _numbered(plan.batches, len(shares_S)),
        plan.optimizer(network),
        prepare=plan.prepare,
        loss=plan.loss,
        loss_settings=plan.loss_settings,
        rate=lambda step: float(shares_S[step]),
        settings=plan.step_settings,
        machine=machine,
        listener=listener,
    )
    points: list[RatePoint] = []
    total, least = 0.0, math.inf
    try:
        with closing(loop):  # type: ignore[type-var]  # a generator
            for done, update in enumerate(loop, 1):
                total = SMOOTHING * total + (1 - SMOOTHING) * update.loss
                smoothed = total / (1 - SMOOTHING**done)
                points.append(RatePoint(float(shares_S[update.step]), update.loss, smoothed))
                least = min(least, smoothed)
                note = f"loss {smoothed:.3f}"
                listener.progress("trying rates", done, len(shares_S), "steps", note=note)
                if smoothed > TOO_HIGH * least:
                    return tuple(points), True
    except Diverged:
        if not points:
            raise
        return tuple(points), True
    return tuple(points), False


def _numbered(batches: Batches, steps: int) -> Iterator[Batch]:
    """Yield ``steps`` batches, from the first one again where a run has fewer."""
    step = 0
    while step < steps:
        began = step
        for batch in batches(0):
            yield replace(batch, step=step)
            step += 1
            if step == steps:
                return
        if step == began:
            raise FovealError("There are no batches to try rates on.")


def _slope(logs: NDArray[np.float64], losses: NDArray[np.float64]) -> float:
    """Return the slope of the straight line of least squares."""
    centred = logs - logs.mean()
    return float(centred @ losses / (centred @ centred))

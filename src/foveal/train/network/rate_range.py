"""The learning-rate range test: a short training at ever higher rates shows which are too high."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import closing
from copy import deepcopy
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from foveal.core.errors import FovealError, OutOfRange
from foveal.core.listener import SILENT, Listener
from foveal.train.network.loop import Diverged, Prepared, updates
from foveal.train.network.losses import weights_of
from foveal.train.network.machine import ALONE, Machine
from foveal.train.network.pictures.feed import Batch
from foveal.train.network.run import Batches, Plan
from foveal.train.network.saving.random_states import random_states_left_alone
from foveal.train.network.seeding import seed_of

TOO_HIGH = 4.0  # times the least loss, where the test ends
SURE = 4.5  # standard errors that the curve must fall by, to be believed: see ``reading``
WARM_UP = 0.1  # of the steps, made before the test at its lowest rate
_MEMORY = 0.9  # what is left, after a step, of the mean that decides where the test ends
_CAPPED = 2.0  # times the loss at first: what lies higher counts as that, see ``curve``
_REACH = 0.15  # share of the steps on either side that a point of the curve is drawn from
_FEWEST = 6  # of these steps


@dataclass(frozen=True, slots=True)
class RatePoint:
    """One step of the test."""

    share: float  # of the plan's own rates, of all groups alike
    loss: float  # of the batch, before the step
    evened: float  # the same, had the batch been as hard as the mean one: see ``rate_range``
    smoothed: float  # height of the curve through the evened losses, see ``curve``


@dataclass(frozen=True, slots=True, kw_only=True)
class RateRange:
    """The course of the loss over rising rates, and what can be read off it.

    Rates are shares of the plan's: 1 is what it says, for every group of parameters, 0.5 half of
    that. They are None where the loss did not fall by more than chance may bring.
    """

    points: tuple[RatePoint, ...]  # by rising rate
    at_first: float  # mean loss of the untrained copy over the same batches
    too_high: bool  # whether some rate made it worse than that
    steepest: float | None = None  # where the curve falls fastest
    least: float | None = None  # where it is lowest

    @property
    def suggestion(self) -> float | None:
        """Return the least: the highest rate at which the loss still fell.

        For a peak, which a training warms up to and comes down from; a rate that stays is better
        taken from where a step gains most, the steepest.

        Source:
            Smith, WACV 2017, section 3.3, takes the highest rate of a cycle from there.
        """
        return self.least


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

    Rates rise by the same factor from step to step. One batch is harder than another, often by
    more than all that the test gains; so each is also shown to a copy that learns nothing, and
    what it costs that one more or less than the mean batch is taken off. Before the test come
    some steps at its lowest rate: in bfloat16 the very first ones, however small, move every
    weight that lies between two numbers, all of them downhill, and the fall looks like the lowest
    rate's own. The network and the generators of random numbers are left alone; the same plan
    gives the same answer.

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
        exponential steps, and the end at four times the least loss, are fastai's ``lr_find``.
    """
    if steps < 2:
        raise OutOfRange("steps", steps, "at least 2")
    if not 0 < lowest < highest < math.inf:
        raise OutOfRange("lowest", lowest, f"more than 0 and less than highest = {highest:g}")
    shares_S = np.geomspace(lowest, highest, steps)
    with random_states_left_alone():
        torch.manual_seed(seed_of("range", plan.seed, machine.rank) % 2**63)
        tried, broke = _tried(deepcopy(network), plan, machine, shares_S, listener)
    losses_P, firsts_P = np.array(tried).T
    return reading(shares_S[: len(tried)], losses_P, firsts_P, broke=broke, steps=steps)


def reading(
    shares_P: NDArray[np.float64],
    losses_P: NDArray[np.float64],
    firsts_P: NDArray[np.float64],
    *,
    broke: bool = False,
    steps: int | None = None,
) -> RateRange:
    """Return what can be read off the losses of a test.

    The least, and where it falls fastest, are read off the curve that is drawn. Before its least,
    the curve must at some rate lie below the loss at first by ``SURE`` of its standard errors
    there, which come from the median distance of the losses around: the noise grows with the
    rate. Of 500 courses of nothing but normal noise, 5 % do in 20 steps, 1 % in 100.

    Args:
        shares_P: the rates tried, rising.
        losses_P: of each step's batch.
        firsts_P: of the same batches, before anything was learnt.
        broke: whether the test ended because the loss was far from its least, or no number.
        steps: of the whole test, which decides how far the curve is smoothed; None: P.

    Source:
        Smith, WACV 2017, section 3.3: the least. fastai's ``lr_find``: where the loss falls
        fastest (``steep``; its ``valley`` is the middle of the longest fall).

    Flat, a fall in the middle of 41 steps from 1e-4 to 1, a rise at the end:

    >>> at = np.linspace(-4, 0, 41)
    >>> losses = 2 - 1 / (1 + np.exp(-6 * (at + 2))) + 4 * np.exp(5 * at)
    >>> found = reading(10.0**at, losses, np.full(41, 2.0))
    >>> round(math.log10(found.steepest), 1), round(math.log10(found.least), 1), found.too_high
    (-2.0, -1.2, True)
    """
    at_first = float(firsts_P.mean())
    evened_P = losses_P - firsts_P + at_first
    reach = max(_FEWEST, round(_REACH * (steps or len(losses_P))))
    capped_P = np.minimum(evened_P, _CAPPED * at_first)
    smoothed_P, slopes_P, errors_P = curve(capped_P, reach)
    points = tuple(
        RatePoint(*map(float, each))
        for each in zip(shares_P, losses_P, evened_P, smoothed_P, strict=True)
    )
    least = int(np.argmin(smoothed_P))
    top = int(np.argmax(smoothed_P[: least + 1]))
    errors_P = errors_P * _spread(capped_P - smoothed_P, reach)
    sure_P = np.maximum(SURE * errors_P, 1e-6 * at_first)
    sunk, risen = at_first - smoothed_P > sure_P, smoothed_P - at_first > sure_P
    too_high = broke or bool(risen[least:].any())
    if not least or not sunk[: least + 1].any():
        return RateRange(points=points, at_first=at_first, too_high=too_high)
    steepest = top + int(np.argmin(slopes_P[top : least + 1]))
    return RateRange(
        points=points,
        at_first=at_first,
        too_high=too_high,
        steepest=float(shares_P[steepest]),
        least=float(shares_P[least]),
    )


def curve(
    losses_P: NDArray[np.float64], reach: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return a smooth curve's heights, its slopes a step, and its standard errors.

    At every step, a straight line of least squares through the losses less than ``reach`` steps
    away, the nearer the weightier. A mean of the steps before, as is common, would come late: by
    ten steps if a tenth is new, more than half a power of ten in a hundred.

    Args:
        losses_P: of the steps, in order.
        reach: at least 2.

    Returns:
        (P,) each; the errors in units of the noise of one loss.

    Source:
        Cleveland, "Robust Locally Weighted Regression and Smoothing Scatterplots", JASA 1979.

    >>> heights, slopes, _ = curve(np.array([5.0, 4.0, 3.0, 2.0]), 3)
    >>> heights.round(6).tolist(), slopes.round(6).tolist()
    ([5.0, 4.0, 3.0, 2.0], [-1.0, -1.0, -1.0, -1.0])
    """
    steps_P = np.arange(len(losses_P))
    away_PP = steps_P[None, :] - steps_P[:, None]
    weights_PP = np.clip(1 - (np.abs(away_PP) / reach) ** 3, 0, None) ** 3
    weights_PP /= weights_PP.sum(1, keepdims=True)
    middles_P = (weights_PP * away_PP).sum(1)
    centred_PP = away_PP - middles_P[:, None]
    tilts_PP = weights_PP * centred_PP
    tilts_PP /= np.maximum((tilts_PP * centred_PP).sum(1, keepdims=True), 1e-12)
    heights_PP = weights_PP - middles_P[:, None] * tilts_PP
    return heights_PP @ losses_P, tilts_PP @ losses_P, np.sqrt((heights_PP**2).sum(1))


def _spread(distances_P: NDArray[np.float64], reach: int) -> NDArray[np.float64]:
    """Return the standard deviation around each step (P,), by the median of its neighbours'."""
    steps_P = np.arange(len(distances_P))
    return np.array(
        [1.4826 * np.median(np.abs(distances_P[np.abs(steps_P - k) < reach])) for k in steps_P]
    )


def _tried(
    network: nn.Module,
    plan: Plan,
    machine: Machine,
    shares_S: NDArray[np.float64],
    listener: Listener,
) -> tuple[list[tuple[float, float]], bool]:
    """Return each batch's loss and its loss at first, and whether the last rate broke it."""
    first = _AtFirst(plan, machine)
    warm = math.ceil(WARM_UP * len(shares_S))
    shares_S = np.concatenate([np.full(warm, shares_S[0]), shares_S])
    loop = updates(
        network,
        _numbered(plan.batches, len(shares_S)),
        plan.optimizer(network),
        prepare=first.prepare,
        loss=plan.loss,
        loss_settings=plan.loss_settings,
        rate=lambda step: float(shares_S[step]),
        settings=plan.step_settings,
        machine=machine,
        listener=listener,
    )
    tried: list[tuple[float, float]] = []
    gain, before, least = 0.0, 0.0, math.inf
    try:
        with closing(loop):  # type: ignore[type-var]  # a generator
            for update in loop:
                note = f"loss {update.loss:.3f}"
                listener.progress(
                    "trying rates", update.step + 1, len(shares_S), "steps", note=note
                )
                if update.step < warm:
                    if update.step == warm - 1:
                        first.network = deepcopy(network).requires_grad_(False)
                    continue
                tried.append((update.loss, first.loss(update.micro)))
                done = len(tried)
                gain = _MEMORY * gain + (1 - _MEMORY) * (tried[-1][0] - tried[-1][1])
                before += (tried[-1][1] - before) / done
                now = before + gain / (1 - _MEMORY**done)
                least = min(least, now)
                if now > max(TOO_HIGH * least, before):
                    return tried, True
    except Diverged:
        if not tried:
            raise
        return tried, True
    return tried, False


class _AtFirst:
    """The network as it was before the test, to be asked what a batch would have cost it."""

    def __init__(self, plan: Plan, machine: Machine) -> None:
        self._plan, self._machine = plan, machine
        self._last: Prepared | None = None
        self.network: nn.Module | None = None  # from the end of the warm-up on

    def prepare(self, batch: Batch) -> Prepared:
        """Prepare a batch as the plan does, and remember it."""
        self._last = self._plan.prepare(batch)
        return self._last

    @torch.no_grad()
    def loss(self, micro: int | None) -> float:
        """Return the loss of the batch that was prepared last, in parts that fit into memory."""
        assert self._last is not None
        assert self.network is not None
        inputs, targets = self._last
        settings = self._plan.loss_settings
        self.network.train()  # as what is trained: with dropout, and the statistics it goes by
        sums = torch.zeros(2, device=inputs.device)
        size = micro or len(inputs)
        for begin in range(0, len(inputs), size):
            some = slice(begin, begin + size)
            with self._machine.autocast():
                logits = self.network(inputs[some])
            sums[0] += self._plan.loss(logits, targets[some], settings).sum()
            sums[1] += weights_of(targets[some], settings).sum()
        total, weight = self._machine.add_up(sums)
        return float(total / weight)


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

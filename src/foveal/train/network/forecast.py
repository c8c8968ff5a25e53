"""What a run will cost, from its first steps: they are made on a copy, by the run's own code."""

from __future__ import annotations

import time
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from statistics import fmean, median
from typing import Any

import torch
from torch import nn

from foveal.core.duration import duration_text
from foveal.core.errors import OutOfRange
from foveal.core.listener import SILENT, Listener
from foveal.core.machine import peak_memory
from foveal.core.words import number_of
from foveal.train.network.machine import ALONE, Machine
from foveal.train.network.run import Plan, train
from foveal.train.network.saving.checkpoint import Checkpoints
from foveal.train.network.saving.checkpoint_file import Sealed, State

WARM_UP = 0.25  # of the measured steps: caches are cold, memory and kernels are found
_BURST = 4  # steps that are looked at together, since workers deliver several at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What a run is expected to take on this machine, at the load of this moment."""

    epochs: int
    steps: int  # of the whole run
    images_per_second: float
    seconds_per_step: float  # the median, waiting for its batch included
    start_seconds: float  # what the first steps took above that: compiling, above all
    judge_seconds: float  # for val, once an epoch
    total_seconds: float  # of the run, saving left out
    peak_mb: float | None  # the card's memory, or else this process's, 10^6 bytes
    checkpoint_mb: float  # two of them are kept
    measured: int  # steps

    def sentence(self) -> str:
        """Return it in one sentence.

        >>> Forecast(
        ...     epochs=16, steps=1216, images_per_second=115, seconds_per_step=0.28,
        ...     start_seconds=0.5, judge_seconds=3.7, total_seconds=400, peak_mb=1210,
        ...     checkpoint_mb=230, measured=20,
        ... ).sentence()
        '16 epochs (1,216 steps) will take about 6 min 40 s and 1.2 GB of memory; a checkpoint \
        230 MB.'
        """
        memory = "" if self.peak_mb is None else f" and {_size(self.peak_mb)} of memory"
        epochs, steps = number_of(self.epochs, "epoch"), number_of(self.steps, "step")
        return (
            f"{epochs} ({steps}) will take about {duration_text(self.total_seconds)}{memory}; "
            f"a checkpoint {_size(self.checkpoint_mb)}."
        )

    def lines(self) -> list[str]:
        """Return it with what it comes from, for people."""
        start = f"{duration_text(self.start_seconds)} more for the first ones, "
        return [
            self.sentence(),
            f"Measured on {number_of(self.measured, 'step')}: "
            f"{duration_text(self.seconds_per_step)} a step "
            f"({self.images_per_second:,.0f} images/s), "
            f"{start if self.start_seconds >= 1 else ''}"
            f"{duration_text(self.judge_seconds)} an epoch for val.",
        ]

    def to_mapping(self) -> dict[str, Any]:
        """Return it for scripts."""
        return asdict(self)


def forecast(
    network: nn.Module,
    plan: Plan,
    *,
    machine: Machine = ALONE,
    steps: int = 20,
    listener: Listener = SILENT,
) -> Forecast:
    """Train a copy of ``network`` for a few steps, judge it once, and reckon up the whole run.

    The copy learns at a rate of 0, which takes as long as any other and cannot diverge. Nothing
    of the run changes: the network, the generators of random numbers and the folder of
    checkpoints are left alone. Of several ranks, each calls it and gets the first one's answer.

    Args:
        network: on the machine's device, as for ``train``.
        plan: of the run.
        machine: of this process.
        steps: to be measured; fewer where the run itself has fewer.
        listener: hears the stage ``measuring``, and that memory ran out where it does.

    Raises:
        OutOfRange: if ``steps`` is less than 1.
        FovealError: what the run itself would raise in these steps.
    """
    if steps < 1:
        raise OutOfRange("steps", steps, "at least 1 to measure")
    steps = min(steps, plan.steps)
    on_card = machine.device.type == "cuda"
    if on_card:
        torch.cuda.reset_peak_memory_stats(machine.device)
    scale, moments = _Scale(), [time.perf_counter()]
    train(
        deepcopy(network),
        replace(plan, steps=steps, steps_per_epoch=steps, rate=lambda _: 0.0, patience=None),
        machine=machine,
        checkpoints=scale,
        listener=_Renamed(listener),
        tell=lambda _: moments.append(time.perf_counter()),
    )
    peak = torch.cuda.max_memory_allocated(machine.device) if on_card else peak_memory()
    if not machine.leads:
        moments = [0.0] * (steps + 2)
    found = _reckoned(plan, moments, None if peak is None else peak / 1e6, scale.bytes / 1e6)
    answer: Forecast = machine.from_leader(found)
    return answer


def epochs_within(forecast: Forecast, budget_s: float, plan: Plan) -> int:
    """Return how many whole epochs of a plan fit into a budget of time.

    Args:
        forecast: of that plan.
        budget_s: seconds.
        plan: what was measured; how long it was to be does not count.

    Raises:
        OutOfRange: if not even one does, saying how long one takes.
    """
    epoch_s = plan.steps_per_epoch * forecast.seconds_per_step + forecast.judge_seconds
    start_s = 0.0 if plan.compiled else forecast.start_seconds  # compiled while it was measured
    epochs = int((budget_s - start_s) / epoch_s)
    if epochs < 1:
        need = duration_text(epoch_s + start_s)
        raise OutOfRange(
            "budget", duration_text(budget_s), f"at least {need}: that is what one epoch takes here"
        )
    return epochs


class _Scale(Checkpoints):
    """Weighs the states of a run instead of saving them."""

    def __init__(self) -> None:
        super().__init__(Path())
        self.bytes = 0

    def save(self, state: State) -> Path:
        self.bytes = Sealed(state).size_bytes
        return self.folder

    def latest(self) -> None:
        return None


class _Renamed:
    """A listener for which this is not the training itself."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener

    def say(self, sentence: str) -> None:
        self.listener.say(sentence)

    def progress(
        self,
        stage: str,  # noqa: ARG002 — the run's name for it
        done: int,
        total: int,
        unit: str = "images",
        *,
        note: str = "",
    ) -> None:
        self.listener.progress("measuring", done, total, unit, note=note)


def _reckoned(
    plan: Plan, moments: list[float], peak_mb: float | None, checkpoint_mb: float
) -> Forecast:
    """Return the forecast for moments: the start, then the end of every step and of judging."""
    *taken, judge_s = [after - before for before, after in pairwise(moments)]
    warm_up = int(len(taken) * WARM_UP)
    rest = taken[warm_up:]
    burst = min(_BURST, len(rest))
    step_s = median(fmean(rest[i : i + burst]) for i in range(len(rest) - burst + 1))
    start_s = max(sum(taken[:warm_up]) - warm_up * step_s, 0.0)
    epochs = -(-plan.steps // plan.steps_per_epoch)
    return Forecast(
        epochs=epochs,
        steps=plan.steps,
        images_per_second=plan.batch / step_s if step_s else 0.0,
        seconds_per_step=step_s,
        start_seconds=start_s,
        judge_seconds=judge_s,
        total_seconds=(0.0 if plan.compiled else start_s) + plan.steps * step_s + epochs * judge_s,
        peak_mb=peak_mb,
        checkpoint_mb=checkpoint_mb,
        measured=len(taken),
    )


def _size(mb: float) -> str:
    """Return a size in words.

    >>> _size(1210), _size(229.7), _size(8.62)
    ('1.2 GB', '230 MB', '8.6 MB')
    """
    if mb >= 999.5:
        return f"{mb / 1000:.1f} GB"
    return f"{mb:.0f} MB" if mb >= 9.95 else f"{mb:.1f} MB"

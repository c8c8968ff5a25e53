"""The first steps of a run, made on a copy by the run's own code, and what they took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import fmean, median
from typing import Any

import torch
from torch import nn

from foveal.core.errors import OutOfRange
from foveal.core.listener import SILENT, Listener
from foveal.core.machine import peak_memory
from foveal.train.network.forecast import NOTHING, Done, Forecast, reckoned
from foveal.train.network.machine import ALONE, Machine
from foveal.train.network.pictures.feed import Batch
from foveal.train.network.progress import LOG_LOSS
from foveal.train.network.run import Plan, train
from foveal.train.network.saving.checkpoint import Checkpoints
from foveal.train.network.saving.checkpoint_file import Sealed, State
from foveal.train.network.saving.same_run import check_same
from foveal.train.network.schedule import size_in

WARM_UP = 0.25  # of the measured steps: caches are cold, memory and kernels are found
_BURST = 4  # steps that are looked at together, since workers deliver several at once
_MOST, _LEAST = 20, 4  # steps that are measured, where a twentieth of the run is not between them


def forecast(
    network: nn.Module,
    plan: Plan,
    *,
    machine: Machine = ALONE,
    steps: int = _MOST,
    done: Done = NOTHING,
    before_s: float = 0.0,
    listener: Listener = SILENT,
) -> Forecast:
    """Train a copy of ``network`` for a few steps, judge it once, and reckon up the whole run.

    The copy learns at a rate of 0, which takes as long as any other and cannot diverge. Nothing
    of the run changes: the network, the generators of random numbers and the folder of
    checkpoints are left alone. Where the size of the input rises, each that is left is measured.
    Of several ranks, each calls it and gets the first one's answer.

    Args:
        network: on the machine's device, as for ``train``.
        plan: of the run.
        machine: of this process.
        steps: to be measured, in parts for each size; fewer where the run itself has fewer.
        done: what the run has done already, see ``done_before``.
        before_s: seconds of what comes before the first step.
        listener: hears the stage ``measuring``, and that memory ran out where it does.

    Raises:
        OutOfRange: if ``steps`` is less than 1.
        FovealError: what the run itself would raise in these steps.
    """
    if steps < 1:
        raise OutOfRange("steps", steps, "at least 1 to measure")
    on_card = machine.device.type == "cuda"
    if on_card:
        torch.cuda.reset_peak_memory_stats(machine.device)
    parts = _parts(plan, done)
    scale, moments = _Scale(), dict[int, list[float]]()
    for size, part in parts.items():
        each = min(max(-(-steps // len(parts)), min(steps, _LEAST)), part.steps)
        moments[size] = _moments(
            network, replace(part, steps=each, steps_per_epoch=each), machine, scale, listener
        )
    peak = torch.cuda.max_memory_allocated(machine.device) if on_card else peak_memory()
    found = _found(moments, plan, peak, scale.bytes)
    answer: Forecast = machine.from_leader(
        reckoned(replace(found, before_seconds=before_s), plan, done)
    )
    return answer


def worth_measuring(plan: Plan) -> int:
    """Return how many steps of a run a forecast is made from, so that it is soon over."""
    return min(_MOST, max(plan.steps // 20, _LEAST))


def done_before(checkpoints: Checkpoints, plan: Plan, machine: Machine) -> Done:
    """Return how far the run of a plan is that goes on from the last of ``checkpoints``.

    Raises:
        CannotResume: if it was begun with other settings or data.
    """
    state = checkpoints.latest() if machine.leads else None
    kept: tuple[dict[str, Any], Done] | None = None
    if state is not None:
        before = {"ranks": len(state.random), **state.facts["plan"]}
        kept = (before, Done(steps=state.step, epochs=len(state.facts["epochs"])))
    kept = machine.from_leader(kept)
    if kept is None:
        return NOTHING
    before, done = kept
    check_same(before, {"ranks": machine.ranks, **plan.facts}, where=checkpoints.folder)
    return done


def _parts(plan: Plan, done: Done) -> dict[int, Plan]:
    """Return, by the size of the input, the plan of the steps that are measured; 0: of any.

    Steps are those of the first epoch of that size which is left; only the last part judges.
    """
    if not plan.sizes:
        return {0: replace(plan, rate=_still, patience=None)}
    epochs, per_epoch = -(-plan.steps // plan.steps_per_epoch), plan.steps_per_epoch
    first = min(done.steps // per_epoch, epochs - 1)
    sizes = [size_in(epoch, epochs, plan.sizes) for epoch in range(epochs)]
    left = dict.fromkeys(sizes[first:])
    return {
        size: replace(
            plan,
            steps=sizes.count(size) * per_epoch,
            batches=_later(plan.batches, sizes.index(size) * per_epoch),
            rate=_still,
            patience=None,
            judge=plan.judge if size == [*left][-1] else lambda _: {LOG_LOSS: 0.0},
        )
        for size in left
    }


def _still(_step: int) -> float:
    return 0.0


def _later(
    batches: Callable[[int], Iterable[Batch]], first: int
) -> Callable[[int], Iterable[Batch]]:
    """Return batches that begin at step ``first`` of a run."""
    return lambda step: batches(first + step)


def _moments(
    network: nn.Module, part: Plan, machine: Machine, scale: _Scale, listener: Listener
) -> list[float]:
    """Return when the measuring of a part began, when each step ended and when the judging did."""
    moments = [time.perf_counter()]
    train(
        deepcopy(network),
        part,
        machine=machine,
        checkpoints=scale,
        listener=_Renamed(listener),
        tell=lambda _: moments.append(time.perf_counter()),
    )
    return moments if machine.leads else [0.0] * (part.steps + 2)


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


def _found(
    moments: Mapping[int, list[float]], plan: Plan, peak: int | None, checkpoint: int
) -> Forecast:
    """Return what was measured, by the size of the input, not reckoned up yet."""
    seconds_at, start_s, judge_s, measured = {}, 0.0, 0.0, 0
    for size, each in moments.items():
        *taken, judge_s = [after - before for before, after in pairwise(each)]
        warm_up = int(len(taken) * WARM_UP)
        rest = taken[warm_up:]
        burst = min(_BURST, len(rest))
        step_s = median(fmean(rest[i : i + burst]) for i in range(len(rest) - burst + 1))
        seconds_at[size] = step_s
        start_s += max(sum(taken[:warm_up]) - warm_up * step_s, 0.0)
        measured += len(taken)
    return Forecast(
        epochs=0,
        steps=0,
        images_per_second=0.0,
        seconds_per_step=step_s,
        start_seconds=start_s,
        judge_seconds=judge_s,
        total_seconds=0.0,
        peak_mb=None if peak is None else peak / 1e6,
        checkpoint_mb=checkpoint / 1e6,
        measured=measured,
        seconds_at=seconds_at if plan.sizes else {},
    )

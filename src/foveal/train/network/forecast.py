"""What a run will cost, reckoned up from its first steps; which are made in ``measuring``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from foveal.core.duration import duration_text, parse_duration
from foveal.core.errors import OutOfRange
from foveal.core.listener import Listener
from foveal.core.words import number_of
from foveal.train.network.schedule import size_in

if TYPE_CHECKING:
    from foveal.train.network.run import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """How far a run is that goes on."""

    steps: int = 0
    epochs: int = 0  # those that were judged


NOTHING = Done()


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What a run is expected to take on this machine, at the load of this moment."""

    epochs: int
    steps: int  # of the whole run
    images_per_second: float
    seconds_per_step: (
        float  # the median, waiting for its batch included; the mean of sizes that are left
    )
    start_seconds: float  # what the first steps took above that: compiling, above all
    judge_seconds: float  # for val, once an epoch
    total_seconds: float  # of what is left of the run, saving left out
    peak_mb: float | None  # the card's memory, or else this process's, 10^6 bytes
    checkpoint_mb: float  # two of them are kept
    measured: int  # steps
    before_seconds: float = 0.0  # what a teacher takes for the pictures, before the first step
    seconds_at: Mapping[int, float] = field(default_factory=dict)  # side of the input -> a step's
    steps_done: int = 0  # of a run that goes on
    epochs_done: int = 0

    def sentence(self) -> str:
        """Return it in one sentence.

        >>> expected = Forecast(
        ...     epochs=16, steps=1216, images_per_second=115, seconds_per_step=0.28,
        ...     start_seconds=0.5, judge_seconds=3.7, total_seconds=400, peak_mb=1210,
        ...     checkpoint_mb=230, measured=20,
        ... )
        >>> expected.sentence()
        '16 epochs (1,216 steps) will take about 6 min 40 s and 1.2 GB of memory; a checkpoint \
        230 MB.'
        >>> replace(expected, steps_done=400, epochs_done=5, total_seconds=270).sentence()
        '5 of 16 epochs (400 of 1,216 steps) are done; the rest will take about 4 min 30 s and \
        1.2 GB of memory; a checkpoint 230 MB.'
        >>> replace(expected, steps_done=1216, epochs_done=16).sentence()
        'All 16 epochs (1,216 steps) are done: only what comes after them is left.'
        """
        memory = "" if self.peak_mb is None else f" and {_size(self.peak_mb)} of memory"
        epochs, steps = number_of(self.epochs, "epoch"), number_of(self.steps, "step")
        if self.steps_done >= self.steps and self.epochs_done >= self.epochs:
            return f"All {epochs} ({steps}) are done: only what comes after them is left."
        begins = f"{epochs} ({steps}) will take"
        if self.steps_done:
            begins = (
                f"{self.epochs_done} of {epochs} ({self.steps_done:,} of {steps}) are done; the "
                "rest will take"
            )
        return (
            f"{begins} about {duration_text(self.total_seconds)}{memory}; a checkpoint "
            f"{_size(self.checkpoint_mb)}."
        )

    def lines(self) -> list[str]:
        """Return it with what it comes from, for people."""
        start = f"{duration_text(self.start_seconds)} more for the first ones, "
        teacher = f"{duration_text(self.before_seconds)} for what the teacher sees, "
        sizes = ", ".join(f"{duration_text(s)} at {px} px" for px, s in self.seconds_at.items())
        return [
            self.sentence(),
            f"Measured on {number_of(self.measured, 'step')}: "
            f"{sizes + '; ' if sizes else ''}{duration_text(self.seconds_per_step)} a step "
            f"({self.images_per_second:,.0f} images/s), "
            f"{start if self.start_seconds >= 1 else ''}"
            f"{teacher if self.before_seconds else ''}"
            f"{duration_text(self.judge_seconds)} an epoch for val.",
        ]

    def to_mapping(self) -> dict[str, Any]:
        """Return it for scripts."""
        return asdict(self)


def reckoned(found: Forecast, plan: Plan, done: Done = NOTHING) -> Forecast:
    """Return the forecast for a plan, from what was measured of it or of a longer one.

    Args:
        found: what was measured.
        plan: whose steps differ in nothing but their number.
        done: what the run has done already.
    """
    epochs = -(-plan.steps // plan.steps_per_epoch)
    left, step_s = plan.steps - done.steps, found.seconds_per_step
    steps_s = _steps_s(found, plan, plan.steps, done.steps)
    if found.seconds_at and left:
        step_s = steps_s / left
    judging_s = (epochs - done.epochs) * found.judge_seconds
    return replace(
        found,
        epochs=epochs,
        steps=plan.steps,
        images_per_second=plan.batch / step_s if step_s else 0.0,
        seconds_per_step=step_s,
        total_seconds=_start_s(found, plan) + steps_s + judging_s,
        steps_done=done.steps,
        epochs_done=done.epochs,
    )


def epochs_within(found: Forecast, budget_s: float, plan: Plan) -> int:
    """Return how many whole epochs of a plan fit into a budget of time, of those it has.

    Where the size of the input rises, each size needs an epoch.

    Args:
        found: of that plan.
        budget_s: seconds.
        plan: what was measured.

    Raises:
        OutOfRange: if not even one does, saying how long one takes.
    """
    per_epoch, least = plan.steps_per_epoch, max(len(plan.sizes), 1)
    for epochs in range(max(plan.steps // per_epoch, least), least - 1, -1):
        need_s = _start_s(found, plan) + epochs * found.judge_seconds
        need_s += _steps_s(found, plan, epochs * per_epoch)
        if need_s <= budget_s:
            return epochs
    what = "one epoch" if least == 1 else f"one epoch at each of {least} sizes"
    if found.before_seconds:
        what += ", the teacher's work included,"
    raise OutOfRange(
        "budget",
        duration_text(budget_s),
        f"at least {duration_text(need_s)}: that is what {what} takes here",
    )


def fitting(found: Forecast, plan: Plan, budget: str | None, listener: Listener) -> Forecast:
    """Say what a run will cost; return the forecast of as many epochs as fit into the budget.

    Raises:
        OutOfRange: for a budget that is none, or too small for one epoch.
    """
    fits = found.epochs
    if budget is not None:
        fits = epochs_within(found, parse_duration(budget), plan)
    listener.say(found.sentence())
    if fits == found.epochs:
        return found
    listener.say(f"{fits} of them fit into the budget of {budget}.")
    return reckoned(found, replace(plan, steps=fits * plan.steps_per_epoch))


def _start_s(found: Forecast, plan: Plan) -> float:
    """Return what comes on top of steps and judging; a network was compiled while measured."""
    return found.before_seconds + (0.0 if plan.compiled else found.start_seconds)


def _steps_s(found: Forecast, plan: Plan, steps: int, done: int = 0) -> float:
    """Return the seconds of a run of so many steps, but for those that are done."""
    if not found.seconds_at:
        return (steps - done) * found.seconds_per_step
    per_epoch = plan.steps_per_epoch
    epochs = -(-steps // per_epoch)
    seconds = 0.0
    for epoch in range(done // per_epoch, epochs):
        count = min((epoch + 1) * per_epoch, steps) - max(epoch * per_epoch, done)
        seconds += count * found.seconds_at[size_in(epoch, epochs, plan.sizes)]
    return seconds


def _size(mb: float) -> str:
    """Return a size in words.

    >>> _size(1210), _size(229.7), _size(8.62)
    ('1.2 GB', '230 MB', '8.6 MB')
    """
    if mb >= 999.5:
        return f"{mb / 1000:.1f} GB"
    return f"{mb:.0f} MB" if mb >= 9.95 else f"{mb:.1f} MB"

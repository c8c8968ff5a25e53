"""The course of a training: what it was epoch by epoch, and its curves as inline SVG."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from foveal.core.errors import OutOfRange

if TYPE_CHECKING:
    from markupsafe import Markup

LEFT, TOP, WIDTH, HEIGHT = 52, 12, 420, 190  # of a panel's inside, and the room around it
TICKS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """One pass over the training pictures, and what the val part said after it."""

    number: int  # from 1
    rate: float  # learning rate at its end, of the deepest stage
    train_loss: float  # mean over the epoch, with its augmentation and smoothing
    val_loss: float  # log loss on val, nats
    val_top1: float  # in [0, 1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """All epochs, and which one was kept."""

    epochs: tuple[Epoch, ...]
    kept: int  # its number
    probe_top1: float | None = None  # of the probe on the same val part
    probe_loss: float | None = None

    def __post_init__(self) -> None:
        """Refuse an epoch that is not there."""
        if self.kept not in {epoch.number for epoch in self.epochs}:
            raise OutOfRange("kept", self.kept, "the number of one of the epochs")


def loss_curves(course: Course) -> Markup:
    """Return the losses of train and val over epochs, the epoch that was kept, and the probe's."""
    lines = {
        "train": [epoch.train_loss for epoch in course.epochs],
        "val": [epoch.val_loss for epoch in course.epochs],
    }
    return _panel(course, lines, rival=course.probe_loss, tick="{:.2g}", name="loss")


def score_curves(course: Course) -> Markup:
    """Return the share right on val over epochs, the epoch that was kept, and the probe's."""
    lines = {"val": [epoch.val_top1 for epoch in course.epochs]}
    return _panel(course, lines, rival=course.probe_top1, tick="{:.0%}", name="right on val")


def rate_curve(course: Course) -> Markup:
    """Return the learning rate over epochs."""
    lines = {"rate": [epoch.rate for epoch in course.epochs]}
    return _panel(course, lines, rival=None, tick="{:.2g}", name="learning rate")


def _panel(
    course: Course,
    lines: dict[str, list[float]],
    *,
    rival: float | None,
    tick: str,
    name: str,
) -> Markup:
    from markupsafe import Markup

    values = [value for line in lines.values() for value in line if math.isfinite(value)]
    values += [] if rival is None else [rival]
    low, high = min(values), max(values)
    margin = (high - low) * 0.08 or 0.05
    low, high = low - margin, high + margin
    numbers = [epoch.number for epoch in course.epochs]
    across = _scale(numbers[0], numbers[-1], LEFT, LEFT + WIDTH)
    up = _scale(low, high, TOP + HEIGHT, TOP)
    parts = []
    for share in range(TICKS + 1):
        value = low + (high - low) * share / TICKS
        parts += [
            f'<line class="grid" x1="{LEFT}" x2="{LEFT + WIDTH}" '
            f'y1="{up(value):.1f}" y2="{up(value):.1f}"/>',
            f'<text x="{LEFT - 6}" y="{up(value) + 4:.1f}" text-anchor="end">'
            f"{tick.format(value)}</text>",
        ]
    for number in _marks(numbers):
        parts.append(
            f'<text x="{across(number):.1f}" y="{TOP + HEIGHT + 18}" text-anchor="middle">'
            f"{number}</text>"
        )
    kept = across(course.kept)
    parts.append(
        f'<line class="kept" x1="{kept:.1f}" x2="{kept:.1f}" y1="{TOP}" y2="{TOP + HEIGHT}">'
        f"<title>epoch {course.kept} was kept</title></line>"
    )
    if rival is not None:
        parts.append(
            f'<line class="rival" x1="{LEFT}" x2="{LEFT + WIDTH}" '
            f'y1="{up(rival):.1f}" y2="{up(rival):.1f}"><title>the probe</title></line>'
        )
    for kind, line in lines.items():
        points = " ".join(
            f"{across(number):.1f},{up(value):.1f}"
            for number, value in zip(numbers, line, strict=True)
            if math.isfinite(value)
        )
        parts.append(f'<polyline class="curve {kind}" points="{points}"/>')
    parts.append(
        f'<text x="{LEFT + WIDTH / 2:g}" y="{TOP + HEIGHT + 36}" text-anchor="middle">epoch</text>'
    )
    box = f"0 0 {LEFT + WIDTH + 14} {TOP + HEIGHT + 42}"
    inside = "".join(parts)
    return Markup(  # noqa: S704  # numbers and words of our own only
        f'<svg class="chart" viewBox="{box}" role="img" aria-label="{name} over epochs">'
        f"{inside}</svg>"
    )


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """Return the map of [low, high] to [start, end]; all to the middle where low is high."""
    if high == low:
        return lambda _: (start + end) / 2
    return lambda value: start + (value - low) / (high - low) * (end - start)


def _marks(numbers: Sequence[int]) -> list[int]:
    """Return up to about eight epochs to name on the axis, the first and last among them.

    >>> _marks(list(range(1, 17)))
    [1, 3, 5, 7, 9, 11, 13, 16]
    """
    step = max(1, math.ceil(len(numbers) / 8))
    marks = list(numbers[::step])
    if marks[-1] != numbers[-1]:
        marks = [*(mark for mark in marks if numbers[-1] - mark >= step), numbers[-1]]
    return marks

"""The course of a training: what it was epoch by epoch, and its curves as inline SVG."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from foveal.core.errors import FovealError, OutOfRange
from foveal.core.settings import to_json

if TYPE_CHECKING:
    from markupsafe import Markup

LEFT, TOP, WIDTH, HEIGHT = 50, 10, 258, 168  # of a panel's inside, and the room around it
TICKS = 6  # lines across a panel, about
MOST_EPOCHS = 2_000  # that are drawn, and listed one by one
MOST = 1e6  # of a loss or a rate: beyond it, what is drawn says nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """One pass over the training pictures, and what the val part said after it."""

    number: int  # from 1
    rate: float  # learning rate at its end, of the deepest stage
    train_loss: float  # mean over the epoch, with its augmentation and smoothing
    val_loss: float  # log loss on val, nats
    val_top1: float  # in [0, 1]

    def __post_init__(self) -> None:
        """Refuse numbers that cannot be drawn."""
        for name in ("rate", "train_loss", "val_loss"):
            _check(name, getattr(self, name), MOST)
        _check("val_top1", self.val_top1, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """All epochs, and which one was kept."""

    epochs: tuple[Epoch, ...]
    kept: int | None  # its number; None: none was, since none was better than the start
    probe_top1: float | None = None  # of the probe on the same val part, in [0, 1]
    probe_loss: float | None = None  # likewise, nats
    sentence: str = ""  # what was done, in plain words

    def __post_init__(self) -> None:
        """Refuse epochs out of order, and a kept one that is not there."""
        numbers = [epoch.number for epoch in self.epochs]
        if not 0 < len(numbers) <= MOST_EPOCHS:
            raise OutOfRange("epochs", len(numbers), f"1 to {MOST_EPOCHS}")
        if numbers != sorted(set(numbers)) or numbers[0] < 1:
            raise OutOfRange("epochs", numbers[:10], "numbers that rise, from 1")
        if self.kept is not None and self.kept not in numbers:
            raise OutOfRange("kept", self.kept, "the number of one of the epochs")
        for name, most in (("probe_top1", 1), ("probe_loss", MOST)):
            if (value := getattr(self, name)) is not None:
                _check(name, value, most)

    @property
    def best(self) -> Epoch | None:
        """The epoch that was kept; None: none was."""
        return next((epoch for epoch in self.epochs if epoch.number == self.kept), None)


def course_in(values: object) -> Course | None:
    """Return the course that a file tells of; None where it tells of none that can be.

    A ``run.json`` stands beside a bundle, unsealed: people may edit it, and a picture of the
    training is not worth failing a test of the model for.
    """
    from pydantic import TypeAdapter

    if not isinstance(values, Mapping):
        return None
    try:
        course: Course = TypeAdapter(Course).validate_json(to_json(values), strict=True)
    except (FovealError, ValueError, TypeError, RecursionError):  # pydantic's is a ValueError
        return None
    return course


def _check(name: str, value: float, most: float) -> None:
    if not 0 <= value <= most:  # NaN is in no range
        raise OutOfRange(name, value, f"a number in [0, {most:g}]")


def loss_curves(course: Course) -> Markup:
    """Return the losses of train and val over epochs, the epoch that was kept, and the probe's."""
    lines = {
        "train": [epoch.train_loss for epoch in course.epochs],
        "val": [epoch.val_loss for epoch in course.epochs],
    }
    return _panel(course, lines, rival=course.probe_loss, name="loss")


def score_curves(course: Course) -> Markup:
    """Return the share right on val over epochs, the epoch that was kept, and the probe's."""
    lines = {"val": [epoch.val_top1 for epoch in course.epochs]}
    return _panel(course, lines, rival=course.probe_top1, name="right on val", shares=True)


def rate_curve(course: Course) -> Markup:
    """Return the learning rate over epochs."""
    lines = {"rate": [epoch.rate for epoch in course.epochs]}
    return _panel(course, lines, rival=None, name="learning rate")


def _panel(
    course: Course,
    lines: dict[str, list[float]],
    *,
    rival: float | None,
    name: str,
    shares: bool = False,
) -> Markup:
    from markupsafe import Markup

    values = [value for line in lines.values() for value in line]
    values += [] if rival is None else [rival]
    low, high = _bounds(values, most=1, room=0.01) if shares else _bounds(values)
    numbers = [epoch.number for epoch in course.epochs]
    across = _scale(numbers[0], numbers[-1], LEFT, LEFT + WIDTH)
    up = _scale(low, high, TOP + HEIGHT, TOP)
    ticks, step = _ticks(low, high)
    parts = []
    for tick in ticks:
        y = f"{up(tick):.1f}"
        said = f"{_number(100 * tick, 100 * step)}%" if shares else _number(tick, step)
        parts += [
            f'<line class="grid" x1="{LEFT}" x2="{LEFT + WIDTH}" y1="{y}" y2="{y}"/>',
            f'<text x="{LEFT - 6}" y="{up(tick) + 4:.1f}" text-anchor="end">{said}</text>',
        ]
    parts += [
        f'<text x="{across(number):.1f}" y="{TOP + HEIGHT + 18}" text-anchor="middle">'
        f"{number}</text>"
        for number in _marks(numbers)
    ]
    if course.kept is not None:
        kept = f"{across(course.kept):.1f}"
        parts.append(
            f'<line class="kept" x1="{kept}" x2="{kept}" y1="{TOP}" y2="{TOP + HEIGHT}">'
            f"<title>epoch {course.kept} was kept</title></line>"
        )
    if rival is not None:
        parts.append(
            f'<line class="rival" x1="{LEFT}" x2="{LEFT + WIDTH}" '
            f'y1="{up(rival):.1f}" y2="{up(rival):.1f}"><title>the probe</title></line>'
        )
    for kind, line in lines.items():
        points = [(across(n), up(value)) for n, value in zip(numbers, line, strict=True)]
        drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline class="curve {kind}" points="{drawn}"/>')
        if course.kept is not None:
            place, height = points[numbers.index(course.kept)]
            parts.append(f'<circle class="end {kind}" cx="{place:.1f}" cy="{height:.1f}" r="4"/>')
    parts.append(
        f'<text x="{LEFT + WIDTH / 2:g}" y="{TOP + HEIGHT + 36}" text-anchor="middle">epoch</text>'
    )
    box = f"0 0 {LEFT + WIDTH + 14} {TOP + HEIGHT + 42}"
    inside = "".join(parts)
    return Markup(  # noqa: S704  # numbers and words of our own only
        f'<svg class="chart" viewBox="{box}" role="img" aria-label="{name} over epochs">'
        f"{inside}</svg>"
    )


def _bounds(
    values: Sequence[float], *, most: float = MOST, room: float = 1e-9
) -> tuple[float, float]:
    """Return the range that a panel shows: that of the values and some room, in [0, most].

    The room is 8 % of the range on either side, and 2.5 % of the largest value and ``room`` at
    least: what hardly moves is drawn as what hardly moves.

    >>> _bounds([1.0, 0.5], most=1)
    (0.46, 1)
    """
    low, high = min(values), max(values)
    room = max(0.08 * (high - low), 0.025 * high, room)
    return max(low - room, 0), min(high + room, most)


def _ticks(low: float, high: float) -> tuple[list[float], float]:
    """Return round numbers between ``low`` and ``high``, about ``TICKS`` of them; their distance.

    >>> _ticks(0, 10)
    ([0.0, 2.0, 4.0, 6.0, 8.0, 10.0], 2.0)
    """
    rough = (high - low) / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * times for times in (1, 2, 5, 10) if power * times >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)], step


def _number(value: float, step: float) -> str:
    """Return a tick's number with as many digits as tell it from those a ``step`` away.

    >>> [_number(0.6, 0.2), _number(40, 20), _number(0, 1e-5), _number(2.5e-5, 5e-6)]
    ['0.6', '40', '0', '2.5e-5']
    """
    if not value:
        return "0"
    last = math.floor(math.log10(step) + 1e-9)  # power of ten of the last digit
    if last >= -4 and value < 1e5:
        return f"{value:.{max(0, -last)}f}"
    digits = max(0, math.floor(math.log10(value) + 1e-9) - last)
    return f"{value:.{digits}e}".replace("e-0", "e-").replace("e+0", "e")


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

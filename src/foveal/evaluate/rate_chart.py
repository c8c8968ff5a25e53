"""The chart of a learning-rate range test: a picture of its own, in light and dark."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from foveal.core.errors import OutOfRange

LEFT, TOP, WIDTH, HEIGHT = 64, 96, 620, 300  # of the panel, and the room around it
ROW = 22  # of the legend
STYLE = """
svg { color-scheme: light dark; background: #ffffff; max-width: 100%; height: auto; font: 13px system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", sans-serif; }
text { fill: #565e68; } .title { fill: #1c2026; font-size: 16px; font-weight: 600; }
.grid { stroke: #e2dfd8; } .fine { stroke: #e2dfd8; opacity: .5; }
.batch { fill: #0069a8; opacity: .38; } .curve { fill: none; stroke: #0069a8; stroke-width: 2.5; stroke-linejoin: round; }
.batch.outside { opacity: .55; } .mark { stroke: #565e68; stroke-width: 1.5; stroke-dasharray: 5 4; } .mark.second { stroke-dasharray: 1.5 3.5; }
.mark.third { stroke-dasharray: 9 3 2 3; } .chosen { stroke: #ad4600; stroke-width: 2.5; } text.said { fill: #1c2026; }
@media (prefers-color-scheme: dark) {
svg { background: #1a1e23; } text { fill: #a3abb5; } .title, text.said { fill: #e9ebee; }
.grid, .fine { stroke: #2f353c; } .batch { fill: #5fb2ea; } .curve { stroke: #5fb2ea; }
.mark { stroke: #a3abb5; } .chosen { stroke: #f29150; }
}
"""  # noqa: E501 — the colours of ``report.css``, as one block
_KINDS = ("mark", "mark second", "mark third")


@dataclass(frozen=True, slots=True)
class Mark:
    """A rate to be marked, and what it is; one of them may be the suggestion."""

    rate: float
    text: str
    chosen: bool = False


def rate_chart(
    rates: Sequence[float],
    losses: Sequence[float],
    smoothed: Sequence[float],
    marks: Sequence[Mark] = (),
    *,
    title: str = "Loss over learning rate",
    notes: Sequence[str] = (),
    axis: str = "learning rate",
) -> str:
    """Return the chart as an SVG file of its own: it loads nothing and holds no script.

    Its range is the line's, up to as much above its beginning as it fell, and as many of the dots
    as leave the fall a quarter of the height. Dots outside are arrows at the edge, and counted.

    Args:
        rates: P positive numbers, rising.
        losses: of each step's batch (P,), as dots.
        smoothed: (P,), as a line.
        marks: at most three besides the suggestion; those outside the rates are left out.
        title: at the top.
        notes: at most two lines below it.
        axis: below the rates.

    Raises:
        OutOfRange: if there are fewer than two rates.
    """
    if len(rates) < 2:
        raise OutOfRange("rates", len(rates), "at least two points to draw a line through")
    low, high = _span(losses, smoothed)
    first, last = math.log10(rates[0]), math.log10(rates[-1])
    marks = [mark for mark in marks if rates[0] <= mark.rate <= rates[-1]]

    def across(rate: float) -> float:
        return LEFT + (math.log10(rate) - first) / (last - first) * WIDTH

    def up(loss: float) -> float:
        return TOP + (high - loss) / (high - low) * HEIGHT

    points = " ".join(
        f"{across(rate):.1f},{up(loss):.1f}"
        for rate, loss in zip(rates, smoothed, strict=True)
        if math.isfinite(loss)
    )
    dots = [
        _dot(across(rate), up(loss))
        for rate, loss in zip(rates, losses, strict=True)
        if not math.isnan(loss)
    ]
    bottom = TOP + HEIGHT
    keys = [
        *((_line(_kind(marks, n), LEFT, 0, 0, LEFT + 34), f"{mark.text}: {rate_text(mark.rate)}")
          for n, mark in enumerate(marks)),
        *_keys(sum("outside" in dot for dot in dots)),
    ]  # fmt: skip
    legend = bottom + 66
    height = legend + ROW * len(keys) - 6
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDTH + 24} {height}" '
        f'width="{LEFT + WIDTH + 24}" height="{height}" role="img">',
        f"<title>{escape(title)}</title><style>{STYLE}</style>",
        f'<clipPath id="panel"><rect x="{LEFT}" y="{TOP}" width="{WIDTH}" height="{HEIGHT}"/>'
        "</clipPath>",
        f'<text class="title" x="{LEFT}" y="28">{escape(title)}</text>',
        *(f'<text x="{LEFT}" y="{48 + 17 * n}">{escape(note)}</text>'
          for n, note in enumerate(notes)),
        *_grid(first, last, low, high),
        *(_line(_kind(marks, n), across(mark.rate), TOP, bottom) for n, mark in enumerate(marks)),
        *dots,
        f'<g clip-path="url(#panel)"><polyline class="curve" points="{points}"/></g>',
        f'<text x="{LEFT + WIDTH / 2:g}" y="{bottom + 40}" text-anchor="middle">'
        f"{escape(axis)}</text>",
    ]  # fmt: skip
    for number, (sign, text) in enumerate(keys):
        parts.append(
            f'<g transform="translate(0 {legend + ROW * number})">{sign}'
            f'<text class="said" x="{LEFT + 44}" y="4">{escape(text)}</text></g>'
        )
    return "\n".join([*parts, "</svg>"]) + "\n"


def rate_text(rate: float) -> str:
    """Return a rate in two digits, as an option takes it.

    >>> rate_text(0.000512), rate_text(0.0030), rate_text(0.25), rate_text(12.3)
    ('5.1e-4', '3e-3', '0.25', '12')
    """
    digits, _, power = f"{rate:.1e}".partition("e")
    if -1 <= int(power) <= 1:
        return f"{float(f'{rate:.1e}'):g}"
    return f"{float(digits):g}e{int(power)}"


def _span(losses: Sequence[float], smoothed: Sequence[float]) -> tuple[float, float]:
    """Return the losses at the bottom and the top of the chart."""
    finite = [loss for loss in smoothed if math.isfinite(loss)]
    least = min(finite)
    before = max(finite[: finite.index(least) + 1])
    fall = max(before - least, 0.05 * abs(least), 1e-3)
    low, high = least - 0.12 * fall, max(before, min(max(finite), before + fall)) + 0.08 * fall
    dots = sorted(filter(math.isfinite, losses))
    room = max(4.0 * fall - (high - low), 0.0)  # for dots
    over = [dot for dot in dots if high < dot <= high + room]
    under = [dot for dot in dots if low - room <= dot < low]
    below = min(low - under[0], 0.5 * room) if under else 0.0
    above = min(over[-1] - high, room - below) if over else 0.0
    return low - 1.05 * below, high + 1.05 * above


def _dot(x: float, y: float) -> str:
    """Return a step: a dot where it is, or an arrow at the edge beyond which it lies."""
    if TOP <= y <= TOP + HEIGHT:
        return f'<circle class="batch" cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>'
    edge, into = (TOP, 8) if y < TOP else (TOP + HEIGHT, -8)
    return f'<path class="batch outside" d="M{x:.1f} {edge} l-4 {into} h8 z"/>'


def _keys(outside: int) -> Iterator[tuple[str, str]]:
    """Yield the signs for steps and line, and what they are."""
    x = LEFT + 17
    yield (
        f'<circle class="batch" cx="{x}" cy="0" r="2.5"/>',
        ("one step (a batch that is harder than others is allowed for)"),
    )
    if outside:
        yield (
            f'<path class="batch outside" d="M{x} -4 l-4 8 h8 z"/>',
            (f"a step whose loss lies outside the chart ({outside})"),
        )
    yield _line("curve", LEFT, 0, 0, LEFT + 34), "the course of the steps, smoothed"


def _grid(first: float, last: float, low: float, high: float) -> Iterator[str]:
    """Yield the decades of the rate and some even losses, with their numbers."""
    bottom = TOP + HEIGHT
    for power in range(math.floor(first), math.ceil(last) + 1):
        for digit in range(1, 10):
            share = (power + math.log10(digit) - first) / (last - first)
            if not -1e-9 <= share <= 1 + 1e-9:
                continue
            x = LEFT + share * WIDTH
            yield _line("grid" if digit == 1 else "fine", x, TOP, bottom)
            if digit == 1:
                yield (
                    f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">'
                    f"{rate_text(10.0**power)}</text>"
                )
    step = _round_step((high - low) / 7)
    for number in range(math.ceil(low / step), math.floor(high / step) + 1):
        y = TOP + (high - number * step) / (high - low) * HEIGHT
        yield (
            f'<line class="grid" x1="{LEFT}" x2="{LEFT + WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{number * step:.4g}</text>'
        )
    yield f'<text x="{LEFT - 8}" y="{TOP - 10}" text-anchor="end">loss</text>'


def _round_step(about: float) -> float:
    """Return 1, 2 or 5 times a power of ten, at least ``about``.

    >>> [round(_round_step(about), 6) for about in (0.03, 0.17, 0.6, 1.0)]
    [0.05, 0.2, 1.0, 1.0]
    """
    power = 10.0 ** math.floor(math.log10(about))
    return next(times * power for times in (1, 2, 5, 10) if times * power >= about * 0.999)


def _kind(marks: Sequence[Mark], number: int) -> str:
    """Return the class of a mark: the suggestion's, or the next pattern of dashes."""
    if marks[number].chosen:
        return "chosen"
    before = sum(not mark.chosen for mark in marks[:number])
    return _KINDS[before % len(_KINDS)]


def _line(kind: str, x: float, top: float, bottom: float, right: float | None = None) -> str:
    """Return a line: upright, unless it ends further ``right``."""
    end = x if right is None else right
    return f'<line class="{kind}" x1="{x:.1f}" x2="{end:.1f}" y1="{top}" y2="{bottom}"/>'

"""The report's charts as inline SVG: intervals, bars, reliability, the frame of a crop.

Colours and strokes are classes of ``report.css``; geometry is attributes, since the page's
policy allows no inline style. Tracks and bars are stretched to the width of their box.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from foveal.evaluate.gallery import AGAINST, FOR, OPAQUE
from foveal.evaluate.interval import Interval
from foveal.evaluate.judgement import ReliabilityBin

if TYPE_CHECKING:
    from markupsafe import Markup

    from foveal.evaluate.report import CutPicture

LONG = 1000  # units of a stretched chart's width


def track(interval: Interval, *, rivals: Sequence[float] = (), longest: float = 1.0) -> Markup:
    """Return a rail from 0 to ``longest`` with the interval as a band and the value as a mark.

    ``rivals`` are other values to compare with, as dashed marks.
    """
    parts = [_line("rail", 0, 8, LONG, 8)]
    if interval.low is not None and interval.high is not None:
        low, high = _at(interval.low, longest), _at(interval.high, longest)
        parts.append(f'<rect class="range" x="{low}" y="2" width="{high - low}" height="12"/>')
    for rival in rivals:
        x = _at(rival, longest)
        parts.append(_line("rival", x, 0, x, 16))
    if interval.value is not None:
        x = _at(interval.value, longest)
        parts.append(_line("mark", x, 0, x, 16))
    return _svg("track", f"0 0 {LONG} 16", parts, stretched=True)


def bar(interval: Interval, *, longest: float = 1.0) -> Markup:
    """Return a bar from 0 to the value, of ``longest``, with the interval as a whisker."""
    parts = [f'<rect class="rail" width="{LONG}" height="10"/>']
    if interval.value is not None:
        parts.append(f'<rect class="fill" width="{_at(interval.value, longest)}" height="10"/>')
    if interval.low is not None and interval.high is not None:
        low, high = _at(interval.low, longest), _at(interval.high, longest)
        parts.append(_line("whisker", low, 5, high, 5))
    return _svg("bar", f"0 0 {LONG} 10", parts, stretched=True)


def reliability(bins: Sequence[ReliabilityBin]) -> Markup:
    """Return the reliability diagram: share right over confidence, and how many lie where."""
    left, top, side, strip, gap = 52, 10, 380, 52, 14
    bottom, floor = top + side, top + side + gap + strip
    most = max((one.count for one in bins), default=0) or 1
    parts = []
    for share in (0, 0.25, 0.5, 0.75, 1):
        x, y = left + share * side, bottom - share * side
        parts += [
            _line("grid", left, y, left + side, y),
            _line("grid", x, top, x, bottom),
            f'<text x="{left - 8}" y="{y + 4:g}" text-anchor="end">{share:.0%}</text>',
            f'<text x="{x:g}" y="{floor + 16}" text-anchor="middle">{share:.0%}</text>',
        ]
    parts.append(_line("ideal", left, bottom, left + side, top))
    for one in bins:
        tall = one.count / most * strip
        parts.append(
            f'<rect class="count" x="{left + one.low * side + 1:.1f}" y="{floor - tall:.1f}" '
            f'width="{max((one.high - one.low) * side - 2, 1):.1f}" height="{tall:.1f}"/>'
        )
        if one.confidence is None or one.accuracy.value is None:
            continue
        x, y = left + one.confidence * side, bottom - one.accuracy.value * side
        if one.accuracy.low is not None and one.accuracy.high is not None:
            low, high = bottom - one.accuracy.low * side, bottom - one.accuracy.high * side
            parts.append(_line("whisker", x, low, x, high))
        said = (
            f"{one.count} answers, {one.confidence:.0%} sure on the mean: "
            f"{one.accuracy.value:.0%} of them right"
        )
        radius = 3.5 + 5.5 * math.sqrt(one.count / most)
        parts.append(
            f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}">'
            f"<title>{said}</title></circle>"
        )
    parts += [
        f'<text x="{left + side / 2:g}" y="{floor + 38}" text-anchor="middle">'
        "how sure the model was</text>",
        f'<text transform="translate(12 {top + side / 2:g}) rotate(-90)" text-anchor="middle">'
        "how often it was right</text>",
        f'<text x="{left + 6}" y="{floor - strip + 10}">images</text>',
    ]
    return _svg("chart", f"0 0 {left + side + 18} {floor + 46}", parts, label="Reliability diagram")


def crop_frame(picture: CutPicture) -> Markup:
    """Return a whole picture with all but the kept frame darkened."""
    width, height = picture.size
    x0, y0, x1, y1 = picture.frame
    jpeg = base64.b64encode(picture.thumbnail).decode()
    outside = f"M0 0H{width}V{height}H0ZM{x0:g} {y0:g}V{y1:g}H{x1:g}V{y0:g}Z"
    parts = [
        f'<image href="data:image/jpeg;base64,{jpeg}" width="{width}" height="{height}"/>',
        f'<path class="gone" fill-rule="evenodd" d="{outside}"/>',
        f'<rect class="frame" x="{x0:g}" y="{y0:g}" width="{x1 - x0:g}" height="{y1 - y0:g}"/>',
    ]
    return _svg("cut", f"0 0 {width} {height}", parts, label="The picture and what is kept of it")


def heat_scale() -> Markup:
    """Return the legend of the heat maps: from against, over nothing, to for the answer."""
    parts = ['<linearGradient id="heat-scale">']
    for offset, colour, opacity in (
        (0, AGAINST, OPAQUE),
        (0.5, AGAINST, 0),
        (0.5, FOR, 0),
        (1, FOR, OPAQUE),
    ):
        red, green, blue = colour
        parts.append(
            f'<stop offset="{offset:g}" stop-color="rgb({red},{green},{blue})" '
            f'stop-opacity="{opacity / 255:.2f}"/>'
        )
    parts.append('</linearGradient><rect width="100" height="10" fill="url(#heat-scale)"/>')
    return _svg("scale-bar", "0 0 100 10", parts, stretched=True)


def _at(value: float, longest: float) -> int:
    """Return where ``value`` lies, in units of a stretched chart, kept inside it.

    >>> _at(0.5, 1.0), _at(3.0, 2.0)
    (500, 1000)
    """
    return round(min(max(value / longest, 0.0), 1.0) * LONG)


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{kind}" x1="{x1:.4g}" y1="{y1:.4g}" x2="{x2:.4g}" y2="{y2:.4g}"/>'


def _svg(
    kind: str, box: str, parts: Sequence[str], *, label: str = "", stretched: bool = False
) -> Markup:
    """Return the element; without a ``label`` it is decoration beside a number in words."""
    from markupsafe import Markup

    said = f'role="img" aria-label="{label}"' if label else 'aria-hidden="true"'
    aspect = ' preserveAspectRatio="none"' if stretched else ""
    inside = "".join(parts)
    return Markup(f'<svg class="{kind}" viewBox="{box}"{aspect} {said}>{inside}</svg>')  # noqa: S704  # numbers and words of our own only

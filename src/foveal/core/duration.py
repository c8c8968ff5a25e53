"""Durations as people write them, such as ``10m``, and as they read them, such as 6 min 40 s."""

from __future__ import annotations

import re

from foveal.core.errors import OutOfRange

_UNITS_S = (3600.0, 60.0, 1.0)
_WRITTEN = re.compile("".join(rf"(?:(\d+(?:\.\d+)?){unit})?" for unit in "hms"))


def parse_duration(text: str, *, field: str = "budget") -> float:
    """Return the seconds that a text such as ``90s``, ``10m``, ``1.5h`` or ``1h30m`` stands for.

    Args:
        text: numbers, each with its unit, the larger ones first.
        field: the setting it was given for, as the error names it.

    Raises:
        OutOfRange: for a number without a unit, which could be seconds or minutes, for any other
            text, and for no time at all.

    >>> parse_duration("10m"), parse_duration("1h 30m"), parse_duration("0.5s")
    (600.0, 5400.0, 0.5)
    >>> parse_duration("10")
    Traceback (most recent call last):
    foveal.core.errors.OutOfRange: budget = '10' cannot work. Expected a duration with its unit, \
such as 90s, 10m or 1h30m.
    """
    found = _WRITTEN.fullmatch("".join(text.split()).lower())
    numbers = [float(number or 0) for number in found.groups()] if found else []
    seconds = sum(number * unit_s for number, unit_s in zip(numbers, _UNITS_S, strict=False))
    if seconds <= 0:
        raise OutOfRange(field, text, "a duration with its unit, such as 90s, 10m or 1h30m")
    return seconds


def duration_text(seconds: float) -> str:
    """Return a duration in words, to about two digits of what matters.

    >>> [duration_text(s) for s in (0.42, 7.26, 59.8, 400, 3600, 9059, 200_000)]
    ['0.42 s', '7.3 s', '1 min', '6 min 40 s', '1 h', '2 h 31 min', '56 h']
    """
    if seconds < 1:
        return f"{seconds:.2g} s"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600 - 30:
        return _two(*divmod(whole, 60), "min", "s")
    minutes = round(seconds / 60)
    if minutes < 24 * 60:
        return _two(*divmod(minutes, 60), "h", "min")
    return f"{round(seconds / 3600):,} h"


def _two(large: int, small: int, unit: str, smaller_unit: str) -> str:
    return f"{large} {unit}" + (f" {small} {smaller_unit}" if small else "")

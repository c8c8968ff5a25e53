"""Names, numbers and differences as text for people."""

from __future__ import annotations

import json
import unicodedata

PATH_LENGTH = 160  # longer ones are shortened in the middle


def plain(text: str, most: int = PATH_LENGTH) -> str:
    r"""Return ``text`` fit to be shown: no control characters or halves of pairs, not too long.

    >>> plain("a\nb" + "c" * 20, 9)
    'a�bccc…cc'
    """
    shown = "".join(
        "\N{REPLACEMENT CHARACTER}" if unicodedata.category(one) in ("Cc", "Cs") else one
        for one in text
    )
    if len(shown) <= most:
        return shown
    end = most // 4
    return f"{shown[: most - end - 1]}…{shown[-end:]}"


def plain_json(value: object) -> str:
    """Return JSON for people to read and copy."""
    text = json.dumps(value, ensure_ascii=False, indent=2)
    return text.encode(errors="replace").decode()


def percent(share: float | None, digits: int = 1) -> str:
    r"""Return a share in words; never 100 % for something less, never 0 % for something more.

    >>> percent(0.9412), percent(0.9999), percent(None)
    ('94.1\xa0%', '99.9\xa0%', '–')
    """
    if share is None:
        return "–"
    least = 10.0**-digits
    shown = 100 * share
    if 0 < share < 1:
        shown = min(max(shown, least), 100 - least)
    shown = round(shown, digits) + 0.0  # -0.0 + 0.0 is 0.0
    return f"{shown:.{digits}f}\N{NO-BREAK SPACE}%".replace("-", "−")


def number(value: float | None, *, in_percent: bool = True) -> str:
    """Return a metric's value, in per cent or with three decimals."""
    if in_percent:
        return percent(value)
    return "–" if value is None else f"{value:.3f}"

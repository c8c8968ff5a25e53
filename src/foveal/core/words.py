"""Numbers and lists in sentences for people."""

from __future__ import annotations

from collections.abc import Iterable


def number_of(count: int, noun: str) -> str:
    """Return a number with its noun in the right number.

    >>> number_of(1, "epoch"), number_of(1216, "step"), number_of(2, "test class")
    ('1 epoch', '1,216 steps', '2 test classes')
    >>> number_of(2, "file or folder"), number_of(3, "copy")
    ('2 files or folders', '3 copies')
    """
    return f"{count:,} {noun if count == 1 else ' or '.join(map(_plural, noun.split(' or ')))}"


def counted(items: Iterable[object], noun: str) -> str:
    """Return the number of ``items`` with the noun in the right number.

    >>> counted("ab", "file"), counted("a", "class")
    ('2 files', '1 class')
    """
    return number_of(len(list(items)), noun)


def shown(names: Iterable[str], *, most: int = 3) -> str:
    """Return the first names and how many more there are.

    >>> shown("abcde", most=3)
    'a, b, c and 2 more'
    """
    listed = list(names)
    more = len(listed) - most
    return ", ".join(listed[:most]) + (f" and {more:,} more" if more > 0 else "")


def _plural(noun: str) -> str:
    if noun.endswith("y"):
        return f"{noun[:-1]}ies"
    return f"{noun}es" if noun.endswith("s") else f"{noun}s"

"""Whether a run may go on from its checkpoint: only with the settings and data it began with."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from foveal.core.errors import CannotResume, FovealError

_ABSENT = "not there"
_OFF = ("None", "0", "False", "''", "[]", "{}")  # what says no more than an entry not there
_EXACT = 2**53  # below, every whole number is one float
_DIGEST = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b")


def check_same(before: Mapping[str, Any], now: Mapping[str, Any], *, where: Path) -> None:
    """Refuse to go on with a run whose settings or data have changed since.

    Args:
        before: facts as the checkpoint has them; dicts in dicts are compared entry by entry.
            An entry that one side lacks may be there on the other if it is off (0, None, false,
            empty): so a run goes on that was begun before there was such a setting.
        now: the same of this run.
        where: the run's folder, for the message.

    Raises:
        CannotResume: naming every entry that differs, with both values.

    >>> check_same({"rate": 0.001, "epochs": 8}, {"rate": 0.01, "epochs": 8}, where=Path("run"))
    Traceback (most recent call last):
    foveal.core.errors.CannotResume: The run in run cannot be resumed: rate was 0.001, is 0.01. \
Give it what it was begun with, or begin anew in another folder.
    """
    if changes := differences(before, now):
        raise CannotResume(
            f"The run in {where} cannot be resumed: {'; '.join(changes)}.",
            hint="Give it what it was begun with, or begin anew in another folder.",
        )


def check_alike(facts: Sequence[Mapping[str, Any]]) -> None:
    """Refuse ranks that were started for different runs: they would wait for each other.

    Args:
        facts: of every rank, in their order.

    Raises:
        FovealError: naming every entry in which one differs from the first.
    """
    for rank, other in enumerate(facts):
        if odd := differences(facts[0], other):
            raise FovealError(
                f"Rank {rank} was started for another run than rank 0: {'; '.join(odd)}.",
                hint="Start all ranks with the same command, on the same data.",
            )


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return every entry that differs, in words, with both values.

    >>> differences({"rate": 0.1, "epochs": 8}, {"rate": 0.1, "epochs": 9})
    ['epochs was 8, is 9']
    """
    old, new = dict(_leaves(before)), dict(_leaves(now))
    return [
        _DIGEST.sub(r"\1…", f"{name} was {old.get(name, _ABSENT)}, is {new.get(name, _ABSENT)}")
        for name in {**old, **new}
        if not _same(old.get(name), new.get(name))
    ]


def _same(before: str | None, now: str | None) -> bool:
    """Return whether two entries say the same; None: it is not there."""
    if before is None or now is None:
        return (before or now) in _OFF
    return before == now


def _leaves(facts: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """Yield every entry's dotted name and its value in words; equal values have equal words."""
    for name, value in facts.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", _in_words(value)


def _in_words(value: object) -> str:
    """Return a value as a person may read it.

    >>> [_in_words(value) for value in (1, 1.0, (1, 2), [1, 2], None, "adamw", float("nan"))]
    ['1', '1', '[1, 2]', '[1, 2]', 'None', "'adamw'", 'nan']
    """
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_in_words, value))}]"
    if isinstance(value, float):
        whole = value.is_integer() and abs(value) < _EXACT
        return repr(int(value) if whole else float(value))
    return repr(value)

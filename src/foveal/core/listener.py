"""How a recipe is heard: sentences and progress, without knowing who listens.

The command line listens with a progress bar on stderr, a notebook may listen with its own,
and a library call is silent. Recipes only ever call the two methods.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

T = TypeVar("T")


class Listener(Protocol):
    """Hears what a recipe does."""

    def say(self, sentence: str) -> None:
        """Hear one sentence a person should read: a choice made, a thing assumed or left out."""

    def progress(
        self, stage: str, done: int, total: int, unit: str = "images", *, note: str = ""
    ) -> None:
        """Hear that ``done`` of ``total`` units of ``stage`` are finished; ``done`` only grows.

        ``note`` says how it goes: "loss 0.412, top1 0.881".
        """


class Silent:
    """A listener that hears nothing: what a library call uses unless told otherwise."""

    def say(self, sentence: str) -> None:
        """Ignore the sentence."""

    def progress(
        self, stage: str, done: int, total: int, unit: str = "images", *, note: str = ""
    ) -> None:
        """Ignore the progress."""


SILENT: Listener = Silent()


def heard(
    items: Iterable[T], stage: str, total: int, listener: Listener, unit: str = "images"
) -> Iterator[T]:
    """Yield ``items`` unchanged, telling ``listener`` after each one.

    >>> list(heard("ab", "reading", 2, SILENT))
    ['a', 'b']
    """
    listener.progress(stage, 0, total, unit)
    for done, item in enumerate(items, 1):
        yield item
        listener.progress(stage, done, total, unit)

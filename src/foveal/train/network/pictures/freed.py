"""`Freed`: something large whose memory or file is given back, whatever happens."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from types import TracebackType
from typing import Self


class Freed:
    """Something large, until it is closed: at the end of a ``with``, or by ``close``.

    It is also freed when nothing refers to it any more, and when Python ends.

    Args:
        free: called once.
    """

    def __init__(self, free: Callable[[], object]) -> None:
        self._free = weakref.finalize(self, free)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """Free what it takes; again does nothing."""
        self._free()

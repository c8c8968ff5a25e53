"""`Pace`: when it is time to save a run that goes on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Pace:
    """When to save: every so often, and at the ends of epochs where that costs little.

    Args:
        every_s: seconds after which it is time, wherever the run is.
        share: of the time, at most, goes into saving at the ends of short epochs.

    >>> pace = Pace(every_s=100, share=0.05)
    >>> pace.is_late(epoch_ends=False), pace.is_late(epoch_ends=True)
    (False, True)
    """

    def __init__(self, *, every_s: float, share: float) -> None:
        self.every_s, self.share = every_s, share
        self._saved_s, self._took_s = time.monotonic(), 0.0

    def is_late(self, *, epoch_ends: bool) -> bool:
        """Return whether it is time; sooner at an epoch's end, where little is done twice."""
        wait_s = min(self.every_s, self._took_s / self.share) if epoch_ends else self.every_s
        return time.monotonic() - self._saved_s >= wait_s

    @contextmanager
    def saving(self) -> Iterator[None]:
        """Save inside the block, which is timed."""
        start = time.monotonic()
        yield
        self._saved_s = time.monotonic()
        self._took_s = self._saved_s - start

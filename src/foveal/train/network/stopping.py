"""`Stop`: signals that ask a run to end are heard at once and obeyed where its state is whole.

An update that was half made must not be saved. So Ctrl-C and SIGTERM are only noted while
weights, optimiser and average change, and take effect at once in the stretches that change
nothing: waiting for a batch, computing its gradient, judging.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """Holds SIGINT and SIGTERM back inside a ``with`` block, but for stretches that are open.

    When one takes effect, the handler from before is called: Python's raises KeyboardInterrupt,
    the command line's ends with 143. Where the system's own default would have ended the process,
    KeyboardInterrupt is raised, and the process ends by the signal when the block is left.

    Only the main thread can hear signals; in others, ``Stop`` does nothing.

    Attributes:
        asked: the number of a signal that waits; None: none does.
        obeyed: the number of the signal whose handler has raised; None: none has.
    """

    def __init__(self) -> None:
        self.asked: int | None = None
        self.obeyed: int | None = None
        self._open = False
        self._before: dict[int, Any] = {}
        self._fatal: int | None = None

    def __enter__(self) -> Stop:
        """Begin to hear signals."""
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                self._before[number] = signal.signal(number, self._hear)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the signals back; one that still waits takes effect."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._fatal is not None:
            os.kill(os.getpid(), self._fatal)
        if error is None:
            self.obey()

    @contextmanager
    def open(self) -> Iterator[None]:
        """Let a signal end the block at once, by raising; one that waits does so before it."""
        self.obey()
        self._open = True
        try:
            yield
        finally:
            self._open = False

    def obey(self) -> None:
        """Raise what a waiting signal stands for; nothing where none waits."""
        if self.asked is None:
            return
        number, self.asked, self._open = self.asked, None, False
        handler = self._before.get(number)
        self.obeyed = number
        if callable(handler):
            handler(number, None)
        elif handler == signal.SIG_DFL:
            self._fatal = number
            raise KeyboardInterrupt
        self.obeyed = None  # it was ignored

    def _hear(self, number: int, _frame: FrameType | None) -> None:
        self.asked = number
        if self._open:
            self.obey()

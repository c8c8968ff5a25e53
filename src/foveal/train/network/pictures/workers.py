"""Arrays made by number in worker processes, delivered in order; a dead worker is replaced.

Own processes and pipes rather than torch's ``DataLoader``: there a worker's death ends the
iteration (a new loader, all its workers and all that was prefetched are to be made again), a
stopped one is noticed by a timeout that also ends it, and batches travel through ``/dev/shm``, of
which a container has 64 MB. Here each number goes to a fixed worker; when that dies or says nothing
for ``patience_s``, it alone is killed and another gets the numbers it owed. What is made depends
on the number alone, so nothing shows in what is delivered.

Workers are forked on Linux: they see the parent's arrays without a copy and start in milliseconds,
with all its imports. Locks that other threads held at that moment are the known danger of it:
workers use torch with one thread, never the device, and one that locked up all the same is
replaced like any other. macOS and Windows start new interpreters, to which ``make`` is pickled.

A thread for each worker listens to its pipe, since a worker may be stopped in the midst of a
message: whoever reads that waits for ever, and it must not be the consumer.
"""

from __future__ import annotations

import multiprocessing
import queue
import signal
import sys
import threading
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from foveal.core.errors import FovealError
from foveal.core.listener import SILENT, Listener

Array = NDArray[np.uint8]
Make = Callable[[int], Array]

START = "fork" if sys.platform == "linux" else "spawn"
AHEAD = 2  # numbers that each worker has before it while the consumer is busy
DEATHS = 3  # of workers at the same number: then it is the number
_IMPORTING = 10  # times the patience, for a new interpreter that imports torch first


class _Gone(Exception):
    """A worker died, or has said nothing for too long."""


def in_order(
    make: Make,
    numbers: Sequence[int],
    *,
    workers: int,
    patience_s: float,
    called: Callable[[int], str] = "number {}".format,
    listener: Listener = SILENT,
) -> Generator[Array, None, None]:
    """Yield ``make(number)`` for each of ``numbers``, made in processes, a few ahead.

    What ``make`` raises is raised here, with its own type: the number is made once more in this
    process. However the iteration ends, no process, thread or pipe is left.

    Args:
        make: a pure function of the number, to an array of two axes or more; where workers are not
            forked it can be pickled.
        numbers: what to make; a range will do.
        workers: processes, at least 1.
        patience_s: seconds for one number, after which a worker counts as hung.
        called: a number's name, for people.
        listener: hears, each once, that a worker was replaced and that one could not do its work.

    Raises:
        FovealError: if workers die or hang ``DEATHS`` times at the same number.
    """
    crew = _Crew(make, min(workers, len(numbers)), listener)
    try:
        crew.start()
        ahead = AHEAD * len(crew.seats)
        for place in range(min(ahead, len(numbers))):
            crew.give(place, numbers[place])
        for place, number in enumerate(numbers):
            made = crew.take(place, patience_s, partial(called, number))
            if place + ahead < len(numbers):
                crew.give(place, numbers[place + ahead])
            yield crew.instead(number, made) if isinstance(made, str) else made
    finally:
        crew.close()


class _Crew:
    """The workers, each in a seat; whose seat a number is depends on its place alone."""

    def __init__(self, make: Make, size: int, listener: Listener) -> None:
        self.seats: list[_Worker] = []
        self._make, self._size, self._listener = make, size, listener
        self._said: set[str] = set()

    def start(self) -> None:
        """Start them all."""
        for _ in range(self._size):
            self.seats.append(_Worker(self._make))

    def give(self, place: int, number: int) -> None:
        """Let the worker of a place make its number."""
        self.seats[place % self._size].give(number)

    def take(self, place: int, patience_s: float, called: Callable[[], str]) -> Array | str:
        """Return what became of the number at a place, whoever had to make it in the end."""
        seat = place % self._size
        for death in range(1, DEATHS + 1):
            try:
                return self.seats[seat].take(patience_s)
            except _Gone as gone:
                self.seats[seat].close()
                why = str(gone)
            if death < DEATHS:
                self.seats[seat] = self.seats[seat].successor()
                self._say("gone", f"A worker of the feed {why}. Another took its place and work.")
        raise FovealError(
            f"A worker of the feed {why}, {DEATHS} times in a row at {called()}.",
            hint="Look at them and at the free memory, or set workers = 0.",
        )

    def instead(self, number: int, reason: str) -> Array:
        """Make here what a worker could not: it raises as it did there, or it was the worker."""
        made = self._make(number)
        self._say("failed", f"A worker of the feed failed ({reason}): its work is done here.")
        return made

    def close(self) -> None:
        """End them all."""
        for worker in self.seats:
            worker.close()

    def _say(self, kind: str, sentence: str) -> None:
        """Say one sentence of each kind."""
        if kind not in self._said:
            self._said.add(kind)
            self._listener.say(sentence)


class _Worker:
    """The parent's side of one process."""

    def __init__(self, make: Make) -> None:
        self._make = make
        self._owed: deque[int] = deque()  # numbers that were given and not yet taken
        self._heard: queue.SimpleQueue[Array | str | None] = queue.SimpleQueue()
        self._ready = self._closed = False
        context: Any = multiprocessing.get_context(START)
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(make, theirs, self._pipe), daemon=True)
        with _undisturbed():
            self._process.start()
        theirs.close()  # before the next fork: else its end is never seen
        self._thread = threading.Thread(
            target=_listen, args=(self._pipe, self._heard), name="foveal-feed", daemon=True
        )
        self._thread.start()

    def give(self, number: int) -> None:
        """Let it make a number, after those it has."""
        self._owed.append(number)
        with suppress(OSError):  # it is gone: seen when this number is to be taken
            self._pipe.send(number)

    def take(self, patience_s: float) -> Array | str:
        """Return what became of the number given first of those not yet taken.

        Raises:
            _Gone: saying how.
        """
        if not self._ready:
            self._next(patience_s * (1 if START == "fork" else _IMPORTING))
            self._ready = True
        made = self._next(patience_s)
        self._owed.popleft()
        return made

    def successor(self) -> _Worker:
        """Return another worker that owes the same numbers."""
        other = _Worker(self._make)
        for number in self._owed:
            other.give(number)
        return other

    def close(self) -> None:
        """Kill it, and wait until nothing of it is left; again does nothing.

        It has nothing to save and holds no lock that anyone shares.
        """
        if self._closed:
            return
        self._closed = True
        self._process.kill()  # also what is stopped
        self._process.join()
        self._thread.join()  # it saw the end of the pipe
        self._process.close()
        del self._pipe  # closes it; ``close`` would do so twice where a garbage collector was first

    def _next(self, patience_s: float) -> Array | str:
        try:
            heard = self._heard.get(timeout=patience_s)
        except queue.Empty:
            raise _Gone(f"said nothing for {patience_s:g} seconds") from None
        if heard is None:
            self._process.join(1)
            code = self._process.exitcode or 0
            raise _Gone(f"was killed by signal {-code}" if code < 0 else "ended")
        return heard


def _listen(pipe: Connection, heard: queue.SimpleQueue[Array | str | None]) -> None:
    """Hand on what a worker says, until its end of the pipe closes."""
    try:
        while True:
            said: tuple[int, ...] | str = pipe.recv()
            if isinstance(said, str):
                heard.put(said)
                continue
            array = np.empty(said, np.uint8)
            for part in array:
                pipe.recv_bytes_into(part.reshape(-1))
            heard.put(array)
    except (EOFError, OSError):
        heard.put(None)


def _work(make: Make, pipe: Connection, parents: Connection) -> None:
    """Be a worker: make what is asked for until the parent closes its end, or is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # not what the parent does at it
    parents.close()  # this process's copy: else the pipe would never end
    torch.set_num_threads(1)
    with suppress(EOFError, OSError):
        pipe.send("ready")
        while True:
            number = pipe.recv()
            try:
                made = make(number)
            except Exception as error:  # noqa: BLE001  # whatever it is, the parent meets it again
                pipe.send(f"{type(error).__name__}: {error}")
                continue
            pipe.send(made.shape)
            for part in made:  # 38 MB took 104 ms as one message, and 21 as 256
                pipe.send_bytes(part.reshape(-1).data)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Start a process so that Ctrl-C cannot reach it before it ignores it, and without a warning.

    Python 3.12 warns of every fork beside threads: the head of this file says why it is done.
    """
    block: Final = hasattr(signal, "pthread_sigmask")
    if block:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*multi-threaded", DeprecationWarning)
            yield
    finally:
        if block:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

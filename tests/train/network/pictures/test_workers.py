"""Worker processes: in order, replaced when dead or stopped, and nothing of them left behind."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from foveal.core.errors import FovealError
from foveal.train.network.pictures import workers as room
from foveal.train.network.pictures.workers import AHEAD, Array, in_order

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="functions of tests reach only forked workers"
)


class Ears:
    """Remembers what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, sentence: str) -> None:
        self.said.append(sentence)

    def progress(self, stage: str, done: int, total: int, unit: str = "images") -> None:
        raise AssertionError("workers tell no progress")


def square(number: int) -> Array:
    """Return something of the number's own; every third takes longer."""
    time.sleep(0.01 if number % 3 == 0 else 0)
    return np.full((2, 3), number * number % 251, np.uint8)


def numbers_of(arrays: Iterator[Array]) -> list[int]:
    return [int(array[1, 2]) for array in arrays]


def crew() -> list[multiprocessing.Process]:
    return sorted(multiprocessing.active_children(), key=lambda child: child.pid or 0)  # type: ignore[return-value]


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    yield
    assert crew() == []
    assert [thread for thread in threading.enumerate() if "foveal-feed" in thread.name] == []


SQUARES = [number * number % 251 for number in range(30)]


@pytest.mark.parametrize("workers", [1, 2, 4, 50])
def test_arrays_come_in_order_however_many_make_them(workers: int) -> None:
    made = in_order(square, range(30), workers=workers, patience_s=30)
    assert numbers_of(made) == SQUARES


def test_no_numbers_need_no_worker() -> None:
    assert list(in_order(square, range(0), workers=3, patience_s=30)) == []


def test_arrays_are_made_elsewhere_by_as_many_processes_and_are_the_consumers_own() -> None:
    def here(_: int) -> Array:
        return np.frombuffer(os.getpid().to_bytes(8, "big"), np.uint8).reshape(2, 4)

    arrays = list(in_order(here, range(10), workers=3, patience_s=30))
    makers = [int.from_bytes(array.tobytes(), "big") for array in arrays]
    assert len(set(makers)) == 3
    assert os.getpid() not in makers
    assert makers[:3] == makers[3:6] == makers[6:9]
    arrays[0][:] = 7  # writable


def test_a_worker_is_a_few_ahead_and_no_more() -> None:
    asked = multiprocessing.Value("i", 0)

    def counted(number: int) -> Array:
        with asked.get_lock():
            asked.value += 1
        return square(number)

    made = in_order(counted, range(100), workers=2, patience_s=30)
    next(made)
    deadline = time.monotonic() + 10
    while asked.value < 1 + 2 * AHEAD and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1)
    assert asked.value == 1 + 2 * AHEAD
    made.close()


def test_a_worker_has_one_thread_ignores_ctrl_c_and_dies_of_sigterm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = signal.signal(signal.SIGTERM, lambda *_: None)

    def told(_: int) -> Array:
        return np.array(
            [
                [
                    torch.get_num_threads(),
                    signal.getsignal(signal.SIGINT) is signal.SIG_IGN,
                    signal.getsignal(signal.SIGTERM) is signal.SIG_DFL,
                ]
            ],
            np.uint8,
        )

    try:
        (array,) = in_order(told, range(1), workers=1, patience_s=30)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert array.tolist() == [[1, True, True]]


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGSTOP])
@pytest.mark.parametrize("busy", [False, True], ids=["idle", "at work"])
def test_a_dead_or_stopped_worker_is_replaced_and_nothing_shows(
    blow: signal.Signals, busy: bool
) -> None:
    ears, out = Ears(), []
    patience_s = 1 if blow == signal.SIGSTOP else 30
    made = in_order(square, range(30), workers=2, patience_s=patience_s, listener=ears)
    for place, array in enumerate(made):
        out.append(int(array[0, 0]))
        if place in {4, 17}:
            if not busy:
                time.sleep(0.1)  # all that was asked for is made
            victim = crew()[place % 2]
            os.kill(victim.pid or 0, blow)
            assert len(crew()) <= 2
    assert out == SQUARES
    assert len(ears.said) == 1
    how = "said nothing for 1 seconds" if blow == signal.SIGSTOP else f"killed by signal {blow:d}"
    assert how in ears.said[0]


def test_a_worker_stopped_in_the_midst_of_a_large_array_is_replaced() -> None:
    def large(number: int) -> Array:
        return np.full((4, 1_000_000), number, np.uint8)

    made = in_order(large, range(12), workers=1, patience_s=1, listener=Ears())
    out = [int(next(made)[0, 0])]
    time.sleep(0.005)
    os.kill(crew()[0].pid or 0, signal.SIGSTOP)
    out += [int(array[3, -1]) for array in made]
    assert out == list(range(12))


def test_a_number_at_which_workers_die_is_named_after_the_third() -> None:
    def deadly(number: int) -> Array:
        if number == 5:
            os.kill(os.getpid(), signal.SIGKILL)
        return square(number)

    ears, out = Ears(), []
    made = in_order(
        deadly, range(30), workers=2, patience_s=30, called="batch {}".format, listener=ears
    )
    with pytest.raises(FovealError, match=r"signal 9, 3 times in a row at batch 5\. .*memory") as _:
        out.extend(made)
    assert len(out) == 5
    assert len(ears.said) == 1


def test_what_making_raises_is_raised_with_its_own_type() -> None:
    def refuses(number: int) -> Array:
        if number == 3:
            raise ZeroDivisionError("at three")
        return square(number)

    made = in_order(refuses, range(9), workers=2, patience_s=30)
    with pytest.raises(ZeroDivisionError, match="at three"):
        list(made)


def test_what_only_a_worker_cannot_do_is_done_here_and_said_once() -> None:
    here, ears = os.getpid(), Ears()

    def small_minded(number: int) -> Array:
        if os.getpid() != here and number in {3, 4}:
            raise MemoryError("too much")
        return square(number)

    made = in_order(small_minded, range(30), workers=2, patience_s=30, listener=ears)
    assert numbers_of(made) == SQUARES
    assert ears.said == [
        "A worker of the feed failed (MemoryError: too much): its work is done here."
    ]


def _open() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _broken_off(made: Iterator[Array]) -> None:
    for _ in made:
        break


def _interrupted(made: Iterator[Array]) -> None:
    with pytest.raises(KeyboardInterrupt):
        made.throw(KeyboardInterrupt)  # type: ignore[attr-defined]


@pytest.mark.parametrize("end", [next, _broken_off, _interrupted])
@pytest.mark.parametrize("stopped", [False, True])
def test_closing_leaves_no_process_thread_or_pipe(
    end: Callable[[Iterator[Array]], object], stopped: bool
) -> None:
    pipes = _open()
    made = in_order(square, range(10_000), workers=3, patience_s=30)
    next(made)
    pids = [child.pid or 0 for child in crew()]
    assert len(pids) == 3
    if stopped:
        os.kill(pids[1], signal.SIGSTOP)
    end(made)
    made.close()
    for pid in pids:
        with pytest.raises(ProcessLookupError):  # a zombie could still be called
            os.kill(pid, 0)
    assert _open() == pipes


@pytest.mark.parametrize("dead", [False, True])
def test_a_garbage_collector_ends_them_too(dead: bool) -> None:
    pipes = _open()
    made = in_order(square, range(10_000), workers=2, patience_s=30)
    next(made)
    cycle: list[object] = [made]
    cycle.append(cycle)
    del made
    gc.collect()  # so that the next one comes to the pipes before the generator
    if dead:
        for pid in [child.pid or 0 for child in crew()]:
            os.kill(pid, signal.SIGKILL)
    while dead and [thread for thread in threading.enumerate() if "foveal-feed" in thread.name]:
        time.sleep(0.01)
    del cycle
    gc.collect()  # what it could not close is an error of this test
    assert crew() == []
    assert _open() == pipes


def test_new_interpreters_do_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "START", "spawn")
    full = partial(np.full, (2, 3), dtype=np.uint8)
    ears, out = Ears(), []
    for array in in_order(full, range(8), workers=1, patience_s=30, listener=ears):
        out.append(int(array[0, 0]))
        if len(out) == 2:
            os.kill(crew()[0].pid or 0, signal.SIGKILL)
    assert out == list(range(8))
    assert len(ears.said) == 1


SCRIPT = """
import multiprocessing, sys, time
import numpy as np
from foveal.train.network.pictures.workers import in_order

def slow(number):
    time.sleep(0.02)
    return np.full((4, 300_000), number, np.uint8)

for place, _ in enumerate(in_order(slow, range(10_000), workers=2, patience_s=30)):
    if place == 3:
        print(*(child.pid for child in multiprocessing.active_children()), flush=True)
"""


def _gone(pids: list[int], within_s: float = 5) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if not any(Path(f"/proc/{pid}").exists() for pid in pids):
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_their_parent_and_say_nothing(blow: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", SCRIPT],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as parent:
        assert parent.stdout is not None
        pids = [int(word) for word in parent.stdout.readline().split()]
        assert len(pids) == 2
        if blow == signal.SIGINT:
            os.killpg(parent.pid, blow)  # as a terminal does at Ctrl-C
        else:
            parent.send_signal(blow)
        _, said = parent.communicate(timeout=30)
    assert parent.returncode == -blow
    assert said.count("Traceback") == (blow == signal.SIGINT)  # the parent's own
    assert _gone(pids)

"""Signals are noted where a state is not whole, and obeyed where it is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from types import FrameType

import pytest

from foveal.train.network.stopping import SIGNALS, Stop


class Ended(Exception):
    """What the handler of these tests raises; not an interruption of Python's own."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def _end(number: int, _frame: FrameType | None) -> None:
    raise Ended(number)


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Both signals end in ``Ended``; afterwards everything is as it was."""
    before = {number: signal.signal(number, _end) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_waits_until_it_is_to_be_obeyed(number: signal.Signals) -> None:
    with pytest.raises(Ended) as ended, Stop() as stop:  # noqa: PT012 — the order is the point
        send(number)
        assert stop.asked == number
        assert stop.obeyed is None
        stop.obey()
    assert ended.value.number == stop.obeyed == number
    assert stop.asked is None


def test_in_an_open_stretch_it_takes_effect_at_once() -> None:
    reached = []
    with pytest.raises(Ended), Stop() as stop, stop.open():  # noqa: PT012 — likewise
        reached.append(1)
        send(signal.SIGTERM)
        reached.append(2)
    assert reached == [1]
    assert stop.obeyed == signal.SIGTERM


def test_one_that_waits_takes_effect_before_an_open_stretch() -> None:
    with pytest.raises(Ended), Stop() as stop:  # noqa: PT012 — likewise
        send(signal.SIGINT)
        with stop.open():
            pytest.fail("the stretch was entered")


def test_after_an_open_stretch_signals_wait_again() -> None:
    with pytest.raises(Ended), Stop() as stop:  # noqa: PT012 — likewise
        with stop.open():
            pass
        send(signal.SIGINT)
        assert stop.asked == signal.SIGINT


def test_while_one_is_obeyed_the_next_one_waits() -> None:
    with pytest.raises(Ended) as ended, Stop() as stop:  # noqa: PT012 — likewise
        try:
            with stop.open():
                send(signal.SIGTERM)
        finally:
            send(signal.SIGINT)  # Ctrl-C once more, while the state is saved
            assert stop.asked == signal.SIGINT
    assert ended.value.number == signal.SIGTERM


def test_one_that_still_waits_takes_effect_at_the_end() -> None:
    with pytest.raises(Ended), Stop():
        send(signal.SIGTERM)


def test_an_error_comes_before_a_signal_that_waits() -> None:
    with pytest.raises(ZeroDivisionError), Stop():  # noqa: PT012 — likewise
        send(signal.SIGTERM)
        raise ZeroDivisionError


def test_the_handlers_from_before_come_back() -> None:
    with Stop():
        assert signal.getsignal(signal.SIGTERM) is not _end
    assert [signal.getsignal(number) for number in SIGNALS] == [_end, _end]


def test_a_signal_that_was_ignored_is_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Stop() as stop, stop.open():
        send(signal.SIGINT)
        assert stop.obeyed is None


def test_a_handler_that_only_takes_note_ends_nothing() -> None:
    noted = []
    signal.signal(signal.SIGTERM, lambda number, _: noted.append(number))
    with Stop() as stop, stop.open():
        send(signal.SIGTERM)
    assert noted == [signal.SIGTERM]
    assert stop.obeyed is None


def test_in_other_threads_it_does_nothing() -> None:
    seen = []

    def work() -> None:
        with Stop() as stop, stop.open():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [_end]


DEFAULT = """
import os, signal
from foveal.train.network.stopping import Stop
with Stop() as stop:
    os.kill(os.getpid(), signal.SIGTERM)
    try:
        stop.obey()
    except KeyboardInterrupt:
        print("saved")
        raise
print("not reached")
"""


def test_where_the_system_would_have_ended_the_process_it_does_after_the_state_was_saved() -> None:
    done = subprocess.run(
        [sys.executable, "-u", "-c", DEFAULT], capture_output=True, text=True, check=False
    )
    assert done.stdout == "saved\n"
    assert done.returncode == -signal.SIGTERM

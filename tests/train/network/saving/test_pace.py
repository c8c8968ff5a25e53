"""When a run is saved."""

from __future__ import annotations

import time

import pytest

from foveal.train.network.saving.pace import Pace


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_it_is_time_after_so_many_seconds_wherever_the_run_is(clock: list[float]) -> None:
    pace = Pace(every_s=100, share=0.05)
    clock[0] = 99
    assert not pace.is_late(epoch_ends=False)
    clock[0] = 100
    assert pace.is_late(epoch_ends=False)
    with pace.saving():
        clock[0] = 101
    assert not pace.is_late(epoch_ends=False)


def test_the_ends_of_epochs_wait_until_saving_costs_less_than_its_share(
    clock: list[float],
) -> None:
    pace = Pace(every_s=100, share=0.05)
    assert pace.is_late(epoch_ends=True)  # what it costs is not known yet
    with pace.saving():
        clock[0] = 2
    clock[0] = 41
    assert not pace.is_late(epoch_ends=True)
    clock[0] = 42
    assert pace.is_late(epoch_ends=True)


def test_a_save_that_takes_long_does_not_put_off_the_next_one_for_ever(
    clock: list[float],
) -> None:
    pace = Pace(every_s=100, share=0.05)
    with pace.saving():
        clock[0] = 50
    clock[0] = 150
    assert pace.is_late(epoch_ends=True)

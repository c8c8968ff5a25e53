"""Learning rates as functions of the step."""

from __future__ import annotations

from itertools import pairwise

import pytest

from foveal.core.errors import OutOfRange
from foveal.train.network.schedule import warmup_cosine


def test_it_rises_to_the_peak_then_only_falls_to_the_floor_and_stays() -> None:
    rates = [warmup_cosine(step, total=100, warmup=10, floor=0.05) for step in range(130)]
    assert rates[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert all(a >= b for a, b in pairwise(rates[9:]))
    assert rates[100:] == [0.05] * 30
    assert rates[55] == pytest.approx(0.525)


@pytest.mark.parametrize(("total", "warmup"), [(10, 10), (10, -1), (0, 0)])
def test_a_rise_as_long_as_the_run_is_refused(total: int, warmup: int) -> None:
    with pytest.raises(OutOfRange, match="warmup"):
        warmup_cosine(0, total=total, warmup=warmup)


def test_a_floor_that_is_no_share_is_refused() -> None:
    with pytest.raises(OutOfRange, match="floor"):
        warmup_cosine(0, total=10, floor=2.0)


def test_it_stays_at_the_peak_for_as_long_as_it_is_told_to() -> None:
    rates = [warmup_cosine(step, total=100, warmup=10, hold=50) for step in range(101)]
    assert rates[9:61] == [1.0] * 52
    assert all(a > b for a, b in pairwise(rates[60:]))
    assert rates[80] == pytest.approx(0.5)


@pytest.mark.parametrize("hold", [-1, 90])
def test_a_peak_that_leaves_no_fall_is_refused(hold: int) -> None:
    with pytest.raises(OutOfRange, match="hold"):
        warmup_cosine(0, total=100, warmup=10, hold=hold)

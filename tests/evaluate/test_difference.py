"""Differences are paired, so that shared difficulty cancels; small tests say what they cannot."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from foveal.core.errors import OutOfRange
from foveal.evaluate.difference import kept, paired, tells_apart
from foveal.evaluate.interval import Interval
from foveal.evaluate.intervals import draw
from foveal.evaluate.metrics import mean
from foveal.model.predictions import Predictions


def right_and_wrong(right_N: np.ndarray, groups: tuple[str, ...] | None = None) -> Predictions:
    """Return answers of class 0 to images that are of it where ``right_N``."""
    count = len(right_N)
    return Predictions(
        probabilities=np.where(right_N[:, None], [0.8, 0.2], [0.2, 0.8]),
        labels=np.zeros(count, dtype=np.int64),
        classes=("a", "b"),
        paths=("",) * count,
        ids=tuple(map(str, range(count))),
        groups=groups,
    )


def top1(given: Predictions, resamples: int = 400) -> np.ndarray:
    return mean(draw(given, resamples=resamples, seed=0), given.answers == given.labels)


def test_a_paired_difference_is_sharper_than_two_intervals_suggest() -> None:
    rng = np.random.default_rng(0)
    hard_N = rng.random(400) < 0.3
    model = right_and_wrong(~hard_N)
    other = right_and_wrong(~hard_N & (rng.random(400) < 0.93))
    found = paired(model, other, draw(model, resamples=500, seed=0))
    assert found.value == pytest.approx((model.answers == 0).mean() - (other.answers == 0).mean())
    assert found.low > 0
    shares_R = top1(model), top1(other)
    assert np.quantile(shares_R[0], 0.025) < np.quantile(shares_R[1], 0.975)


def test_a_difference_seen_on_every_image_is_still_not_certain() -> None:
    model, other = right_and_wrong(np.ones(20, bool)), right_and_wrong(np.zeros(20, bool))
    found = paired(model, other, draw(model, resamples=200, seed=0))
    assert (found.value, found.high) == (1.0, 1.0)
    assert 0.5 < found.low < 0.8
    same = paired(model, model, draw(model, resamples=200, seed=0))
    assert same.value == 0
    assert same.low == pytest.approx(-same.high)
    assert 0 < same.high < 0.2


def test_one_image_tells_no_difference() -> None:
    one = right_and_wrong(np.ones(1, bool))
    found = paired(one, one, draw(one, resamples=200, seed=0))
    assert (found.value, found.low, found.high) == (0.0, None, None)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"classes": ("a", "c")}, "classes of the baseline"),
        ({"ids": tuple("abcdefgh")}, "images of the baseline"),
        ({"labels": np.ones(8, dtype=np.int64)}, "images of the baseline"),
    ],
)
def test_a_baseline_of_other_images_is_refused(change: dict, says: str) -> None:
    model = right_and_wrong(np.ones(8, bool))
    with pytest.raises(OutOfRange, match=says):
        paired(model, replace(model, **change), draw(model, resamples=200, seed=0))


def test_more_images_tell_smaller_differences() -> None:
    found = [
        tells_apart(given, top1(given))
        for given in (right_and_wrong(np.arange(n) % 10 != 0) for n in (30, 90, 1000, 10_000))
    ]
    assert found == sorted(found, reverse=True)
    assert found[1] == pytest.approx(6 / 90, abs=0.01)  # six disagreements, all one way
    assert found[3] == pytest.approx(1.95996 * np.sqrt(0.09 / (10_000 + 1.95996**2)), rel=1e-5)


def test_groups_tell_less_than_as_many_images() -> None:
    right_N = np.repeat(np.random.default_rng(0).random(50) < 0.7, 10)
    alone = right_and_wrong(right_N)
    grouped = replace(alone, groups=tuple(str(i // 10) for i in range(500)))
    naive, honest = tells_apart(alone, top1(alone)), tells_apart(grouped, top1(grouped))
    assert honest == pytest.approx(naive * np.sqrt(10), rel=0.15)


def test_three_images_tell_nothing() -> None:
    given = right_and_wrong(np.ones(3, bool))
    assert tells_apart(given, top1(given)) is None


def test_the_least_difference_is_about_where_paired_intervals_begin_to_exclude_zero() -> None:
    rng = np.random.default_rng(0)
    larger, smaller = [], []
    for _ in range(150):
        # two models of 80 % that disagree half as often as unrelated ones would: 0.16
        u_N = rng.random(300)
        gap = rng.uniform(0, 0.1)
        only_model_N, only_other_N = u_N < 0.08 + gap / 2, u_N > 1 - (0.08 - gap / 2)
        both_N = ~only_model_N & ~only_other_N & (rng.random(300) < 0.72 / 0.84)
        model, other = (
            right_and_wrong(both_N | only_model_N),
            right_and_wrong(both_N | only_other_N),
        )
        least = tells_apart(model, top1(model, 1))
        found = paired(model, other, draw(model, resamples=200, seed=0))
        told = found.low > 0 or found.high < 0
        if abs(found.value) > 1.2 * least:
            larger.append(told)
        elif abs(found.value) < 0.8 * least:
            smaller.append(told)
    assert len(larger) > 20
    assert len(smaller) > 20
    assert np.mean(larger) > 0.9
    assert np.mean(smaller) < 0.1


@pytest.mark.parametrize(
    ("promised", "found", "verdict"),
    [
        (Interval(0.90), Interval(0.88, 0.84, 0.92), True),
        (Interval(0.95), Interval(0.88, 0.84, 0.92), False),
        (Interval(0.94), Interval(0.88, 0.84, 0.92), False),
        (Interval(0.94, 0.89, 0.99), Interval(0.88, 0.84, 0.92), True),
        (Interval(0.82, 0.77, 0.87), Interval(0.88, 0.84, 0.92), True),
        (Interval(0.82), Interval(0.88, 0.84, 0.92), False),
        (Interval(0.70), Interval(0.88, 0.84, 0.92), False),
        (Interval(None), Interval(0.88, 0.84, 0.92), None),
        (Interval(0.9), Interval(0.88), None),
    ],
)
def test_a_promise_is_kept_where_both_may_be_the_same_number(
    promised: Interval, found: Interval, verdict: bool | None
) -> None:
    assert kept(promised, found) is verdict

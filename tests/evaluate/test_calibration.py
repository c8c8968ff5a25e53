"""The calibration error is the closed form; its interval is honest where the naive one is not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foveal.evaluate.calibration import BINS, bin_of, error_interval, gaps
from foveal.evaluate.intervals import draw, percentile
from foveal.model.predictions import Predictions


def closed_form(p_NK: np.ndarray, y_N: np.ndarray, bins: int = 15) -> float:
    """Return the error bin by bin, as the paper writes it: Σ share · |accuracy − confidence|."""
    confidence_N, right_N = p_NK.max(axis=1), p_NK.argmax(axis=1) == y_N
    total = 0.0
    for b in range(bins):
        last = b == bins - 1
        inside = (confidence_N >= b / bins) & ((confidence_N < (b + 1) / bins) | last)
        if inside.any():
            total += inside.mean() * abs(right_N[inside].mean() - confidence_N[inside].mean())
    return total


def two_classes(confidence_N: np.ndarray, right_N: np.ndarray) -> Predictions:
    count = len(confidence_N)
    return Predictions(
        probabilities=np.stack([confidence_N, 1 - confidence_N], axis=1),
        labels=np.where(right_N, 0, 1).astype(np.int64),
        classes=("a", "b"),
        paths=("",) * count,
        ids=("",) * count,
    )


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 2**32 - 1), st.integers(1, 80))
def test_the_error_is_the_closed_form(seed: int, images: int) -> None:
    rng = np.random.default_rng(seed)
    p_NK = rng.dirichlet(np.ones(4), size=images)
    y_N = rng.integers(4, size=images)
    given = Predictions(
        probabilities=p_NK,
        labels=y_N,
        classes=("a", "b", "c", "d"),
        paths=("",) * images,
        ids=("",) * images,
    )
    gaps_1B = gaps(given, np.ones((1, images), dtype=np.float32))
    assert gaps_1B.shape == (1, BINS)
    assert np.abs(gaps_1B).sum() == pytest.approx(closed_form(p_NK, y_N), abs=1e-12)


def test_certain_answers_fall_into_the_last_bin() -> None:
    assert bin_of(np.array([1.0, 1.0 + 1e-5])).tolist() == [BINS - 1, BINS - 1]


def test_sure_and_always_wrong_is_the_whole_error() -> None:
    given = two_classes(np.full(50, 0.99), np.zeros(50, dtype=bool))
    assert gaps(given, np.ones((1, 50), dtype=np.float32)).sum() == pytest.approx(0.99)


@pytest.mark.parametrize("images", [100, 1000])
def test_the_interval_of_a_calibrated_model_holds_zero(images: int) -> None:
    rng = np.random.default_rng(0)
    held, naive = 0, 0
    for seed in range(40):
        confidence_N = rng.uniform(0.5, 1.0, size=images)
        given = two_classes(confidence_N, rng.random(images) < confidence_N)
        gaps_RB = gaps(given, draw(given, resamples=200, seed=seed))
        found = error_interval(gaps_RB)
        assert found.low <= found.value <= found.high
        held += found.low == 0
        naive += percentile(np.abs(gaps_RB).sum(axis=1)).low < 0.005
    assert held >= 36
    assert naive <= 4


def test_the_interval_of_a_model_that_lies_is_away_from_zero() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for seed in range(40):
        confidence_N = rng.uniform(0.7, 1.0, size=500)
        given = two_classes(confidence_N, rng.random(500) < confidence_N - 0.2)
        found = error_interval(gaps(given, draw(given, resamples=200, seed=seed)))
        assert found.low > 0.05
        held += found.low <= 0.2 <= found.high
    assert held >= 35


def test_one_image_has_an_error_and_no_interval() -> None:
    given = two_classes(np.array([0.8]), np.array([True]))
    found = error_interval(gaps(given, draw(given, resamples=200, seed=0)))
    assert found.value == pytest.approx(0.2)
    assert found.low is None

"""Cross-entropy: its derivatives are those that differences give."""

from __future__ import annotations

import numpy as np
import pytest

from foveal.train.head.cross_entropy import CrossEntropy

RNG = np.random.default_rng(5)
ROWS = RNG.normal(size=(20, 4))
LABELS = np.concatenate([np.arange(3), RNG.integers(0, 3, 17)])
WEIGHTS = RNG.uniform(0.2, 3, 20)
PARAMS = RNG.normal(size=(3, 5))
LOSS = CrossEntropy(ROWS, LABELS, WEIGHTS, 0.7)


def test_the_gradient_is_the_slope_in_every_direction() -> None:
    gradient = LOSS(PARAMS)[1]
    for index in np.ndindex(PARAMS.shape):
        nudge = np.zeros_like(PARAMS)
        nudge[index] = 1e-6
        slope = (LOSS(PARAMS + nudge)[0] - LOSS(PARAMS - nudge)[0]) / 2e-6
        assert slope == pytest.approx(gradient[index], abs=1e-6)


def test_the_second_derivative_and_its_diagonal_are_those_of_the_gradient() -> None:
    second = LOSS.second(PARAMS)
    for index in np.ndindex(PARAMS.shape):
        nudge = np.zeros_like(PARAMS)
        nudge[index] = 1.0
        bent = (LOSS(PARAMS + 1e-6 * nudge)[1] - LOSS(PARAMS - 1e-6 * nudge)[1]) / 2e-6
        np.testing.assert_allclose(second(nudge), bent, atol=1e-6)
        assert second.diagonal()[index] == pytest.approx(bent[index], abs=1e-6)


def test_the_first_step_is_safe_and_the_start_answers_with_the_shares() -> None:
    start = LOSS.start()
    value, gradient = LOSS(start)
    assert LOSS(start - LOSS.first_step() * gradient)[0] < value
    np.testing.assert_allclose(
        np.exp(start[:, -1]), np.bincount(LABELS, WEIGHTS) / WEIGHTS.sum(), rtol=1e-12
    )


def test_logits_of_a_thousand_overflow_nothing() -> None:
    value, gradient = LOSS(PARAMS * 1000)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


def test_relaxing_tells_how_the_penalty_grew_and_spares_the_bias() -> None:
    loss = CrossEntropy(ROWS, LABELS, WEIGHTS, 0.5)
    np.testing.assert_allclose(loss.relax(2.0), [-1.5, -1.5, -1.5, -1.5, 0])
    assert loss(PARAMS)[0] == pytest.approx(CrossEntropy(ROWS, LABELS, WEIGHTS, 2.0)(PARAMS)[0])

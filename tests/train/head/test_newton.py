"""Polishing: float64 digits from float32 work."""

from __future__ import annotations

import numpy as np

from foveal.train.head.cross_entropy import CrossEntropy
from foveal.train.head.lbfgs import minimise
from foveal.train.head.newton import polish


def test_it_reaches_digits_that_float32_cannot_hold() -> None:
    rng = np.random.default_rng(1)
    rows_NR = rng.normal(size=(80, 15))
    labels_N, weights_N = rng.integers(0, 3, 80), rng.uniform(0.5, 2, 80)
    rough = CrossEntropy(rows_NR.astype(np.float32), labels_N, weights_N, 0.5)
    exact = CrossEntropy(rows_NR, labels_N, weights_N, 0.5)
    near = minimise(rough, rough.start(), tolerance=1e-6, first_step=rough.first_step())
    found = polish(exact, rough.second, near.astype(np.float64), tolerance=1e-12)
    before = np.linalg.norm(exact(near.astype(np.float64))[1])
    after = np.linalg.norm(exact(found)[1])
    assert after < 1e-4 * before
    assert exact(found)[0] < exact(near.astype(np.float64))[0]


def test_it_stays_where_there_is_nothing_to_gain() -> None:
    rows_NR = np.array([[1.0], [-1.0]])
    loss = CrossEntropy(rows_NR, np.array([0, 1]), np.ones(2), 1.0)
    second = CrossEntropy(rows_NR.astype(np.float32), np.array([0, 1]), np.ones(2), 1.0).second
    found = polish(loss, second, np.zeros((2, 2)), tolerance=1e-14)
    again = polish(loss, second, found, tolerance=1e-14)
    np.testing.assert_allclose(again, found, atol=1e-9)

"""Temperature: the least log loss, and no other answer than before."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from foveal.core.errors import OutOfRange
from foveal.model.linear import softmax
from foveal.train.head.temperature import temperature


def believed(labels_N: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    """Return labels of which one in N + 2 may be wrong, as probabilities (N, K)."""
    doubt = 1 / (len(labels_N) + 2)
    return np.where(np.eye(k)[labels_N] == 1, 1 - doubt, doubt / (k - 1))


def loss(logits_NK: NDArray[np.float64], labels_N: NDArray[np.int64], t: float) -> float:
    true_NK = believed(labels_N, logits_NK.shape[1])
    return float(-(true_NK * np.log(softmax(logits_NK / t))).sum(axis=1).mean())


def drawn(seed: int, sharpness: float, k: int = 4) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Logits that are ``sharpness`` times as sure as they should be."""
    rng = np.random.default_rng(seed)
    honest_NK = rng.normal(size=(400, k)) * 2
    labels_N = np.array([rng.choice(k, p=p) for p in softmax(honest_NK)])
    return honest_NK * sharpness, labels_N


@pytest.mark.parametrize("sharpness", [0.4, 1.0, 2.5])
def test_scipy_finds_the_same(sharpness: float) -> None:
    logits_NK, labels_N = drawn(0, sharpness)
    theirs = minimize_scalar(
        lambda t: loss(logits_NK, labels_N, t), bounds=(0.25, 4), options={"xatol": 1e-9}
    )
    found = temperature(logits_NK, labels_N)
    assert found == pytest.approx(theirs.x, rel=1e-5)
    assert found == pytest.approx(sharpness, rel=0.2)


@given(st.integers(0, 10_000), st.floats(0.01, 100), st.integers(2, 6), st.integers(1, 30))
def test_log_loss_never_rises_and_no_answer_changes(
    seed: int, sharpness: float, k: int, n: int
) -> None:
    rng = np.random.default_rng(seed)
    logits_NK = rng.normal(size=(n, k)) * sharpness
    labels_N = rng.integers(0, k, n)
    found = temperature(logits_NK, labels_N)
    assert 0.25 <= found <= 4.0
    assert _safe_loss(logits_NK / found, labels_N) <= _safe_loss(logits_NK, labels_N) + 1e-9
    np.testing.assert_array_equal(softmax(logits_NK / found).argmax(1), logits_NK.argmax(1))


def _safe_loss(logits_NK: NDArray[np.float64], labels_N: NDArray[np.int64]) -> float:
    top_N = logits_NK.max(axis=1)
    total_N = np.log(np.exp(logits_NK - top_N[:, None]).sum(axis=1)) + top_N
    true_NK = believed(labels_N, logits_NK.shape[1])
    return float((total_N - (true_NK * logits_NK).sum(axis=1)).mean())


def test_answers_that_are_all_right_or_all_wrong_stop_at_the_bounds() -> None:
    logits_NK = np.tile([2.5, 0.0], (60_000, 1))
    assert temperature(logits_NK, np.zeros(60_000, dtype=np.int64)) == pytest.approx(0.25)
    assert temperature(logits_NK, np.ones(60_000, dtype=np.int64)) == pytest.approx(4.0)


def test_a_few_right_answers_are_no_reason_to_be_certain() -> None:
    logits_NK = np.tile([5.0, 0.0], (16, 1))
    found = temperature(logits_NK, np.zeros(16, dtype=np.int64))
    assert softmax(logits_NK / found)[0, 0] == pytest.approx(17 / 18)


def test_logits_that_say_nothing_are_left_as_they_are() -> None:
    assert temperature(np.zeros((5, 3)), np.zeros(5, dtype=np.int64)) == 1.0


def test_no_images_or_other_lengths_are_refused() -> None:
    with pytest.raises(OutOfRange):
        temperature(np.zeros((0, 3)), np.zeros(0, dtype=np.int64))
    with pytest.raises(OutOfRange, match="as many labels as logits"):
        temperature(np.zeros((2, 3)), np.zeros(3, dtype=np.int64))

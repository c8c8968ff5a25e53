"""Clouds of points that are easy, hard, few or wide, as a test asks for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

Labelled = tuple[NDArray[np.float32], NDArray[np.int64]]
Clouds = Callable[..., Labelled]


@pytest.fixture
def clouds() -> Clouds:
    """Return a maker of (features (N, D), labels (N,)): K overlapping clouds, odd scales."""

    def make(n: int, d: int, k: int, *, apart: float = 1.0, seed: int = 0) -> Labelled:
        rng = np.random.default_rng(seed)
        labels_N = np.concatenate([np.arange(k), rng.integers(0, k, n - k)])
        centres_KD = rng.normal(size=(k, d)) * apart / np.sqrt(d)
        mixed_ND = rng.normal(size=(n, d)) @ np.diag(1 / np.sqrt(1 + np.arange(d)))
        scale_D, shift_D = rng.uniform(0.01, 30, d), rng.normal(size=d) * 5
        features_ND = (centres_KD[labels_N] * 3 + mixed_ND) * scale_D + shift_D
        return features_ND.astype(np.float32), labels_N.astype(np.int64)

    return make

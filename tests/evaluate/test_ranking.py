"""Counting pairs in blocks gives the same as all at once, and costs what it promises."""

from __future__ import annotations

import time

import numpy as np
import pytest

from foveal.evaluate import ranking
from foveal.model.predictions import Predictions


def predictions(images: int, classes: int) -> Predictions:
    rng = np.random.default_rng(1)
    p_NK = rng.dirichlet(np.ones(classes), size=images)
    return Predictions(
        probabilities=p_NK,
        labels=rng.integers(classes, size=images),
        classes=tuple(map(str, range(classes))),
        paths=("",) * images,
        ids=("",) * images,
    )


def test_blocks_of_any_size_give_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    given = predictions(137, 7)
    weights_RN = np.random.default_rng(0).integers(0, 4, size=(9, 137)).astype(np.float32)
    auc_RK, precision_RK = ranking.auc_and_precision(given, weights_RN)
    monkeypatch.setattr(ranking, "PAIRS_AT_ONCE", 137 * 10)
    again = ranking.auc_and_precision(given, weights_RN)
    np.testing.assert_allclose(again[0], auc_RK, rtol=1e-14)
    np.testing.assert_allclose(again[1], precision_RK, rtol=1e-14)


def test_a_thousand_classes_cost_no_more_than_ten() -> None:
    weights_RN = np.ones((50, 800), dtype=np.float32)

    def seconds(classes: int) -> float:
        given = predictions(800, classes)
        start = time.process_time()
        ranking.auc_and_precision(given, weights_RN)
        return time.process_time() - start

    assert min(seconds(800) for _ in range(3)) < 10 * min(seconds(10) for _ in range(3)) + 0.2

"""Standardising, and undoing it in a head."""

from __future__ import annotations

import numpy as np
import pytest

from foveal.core.errors import BadData
from foveal.train.head.standard import Standard


def test_columns_come_out_with_mean_0_and_deviation_1() -> None:
    features_ND = (np.random.default_rng(0).normal(size=(200, 3)) * [1e-3, 1, 1e3] + 5).astype("f4")
    out_ND = Standard.of(features_ND).apply(features_ND, np.float64)
    np.testing.assert_allclose(out_ND.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(out_ND.std(axis=0), 1, atol=1e-4)


@pytest.mark.parametrize("value", [0.0, 1.0, 0.1, 1e6, -3e-9])
def test_a_constant_column_becomes_zeros_and_stays_silent_when_it_moves(value: float) -> None:
    features_ND = np.full((50, 1), value, dtype=np.float32)
    standard = Standard.of(features_ND)
    np.testing.assert_array_equal(standard.apply(features_ND + 1000), 0)


def test_a_column_that_only_rounding_moves_is_constant() -> None:
    features_ND = np.full((50, 1), 0.1, dtype=np.float32)
    features_ND[::2] = np.nextafter(features_ND[::2], np.float32(1))
    np.testing.assert_array_equal(Standard.of(features_ND).apply(features_ND), 0)


def test_a_folded_head_answers_plain_features_alike() -> None:
    rng = np.random.default_rng(1)
    features_ND = (rng.normal(size=(30, 5)) * 3 + 2).astype(np.float32)
    weights_KD, bias_K = rng.normal(size=(4, 5)), rng.normal(size=4)
    standard = Standard.of(features_ND)
    np.testing.assert_allclose(
        standard.folded(weights_KD, bias_K).logits(features_ND),
        standard.apply(features_ND, np.float64) @ weights_KD.T + bias_K,
        atol=1e-4,
    )


def test_infinity_is_refused_with_its_column() -> None:
    features_ND = np.zeros((4, 3), dtype=np.float32)
    features_ND[2, 1] = np.inf
    with pytest.raises(BadData, match="Column 1 of the features"):
        Standard.of(features_ND)

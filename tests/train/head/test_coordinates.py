"""Short coordinates: the same inner products, and the way back to the features."""

from __future__ import annotations

import numpy as np
import pytest

from foveal.train.head.coordinates import cholesky_rows, weights_on_features


@pytest.mark.parametrize(("dtype", "within"), [(np.float32, 1e-4), (np.float64, 1e-9)])
def test_rows_keep_inner_products_even_of_repeated_images(
    dtype: type[np.floating], within: float
) -> None:
    features_ND = np.random.default_rng(0).normal(size=(30, 200)).astype(dtype)
    features_ND[7] = features_ND[3]  # the Gram matrix is singular now
    features_ND -= features_ND.mean(axis=0)
    gram_NN = features_ND @ features_ND.T
    rows_NN = cholesky_rows(gram_NN)
    assert rows_NN.dtype == dtype
    np.testing.assert_allclose(rows_NN @ rows_NN.T, gram_NN, atol=within * np.trace(gram_NN) / 30)


def test_a_gram_matrix_that_rounding_made_indefinite_still_has_rows() -> None:
    gram_NN = np.ones((3, 3), dtype=np.float32) - 2e-5 * np.eye(3, dtype=np.float32)
    rows_NN = cholesky_rows(gram_NN)
    np.testing.assert_allclose(rows_NN @ rows_NN.T, gram_NN, atol=1e-3)
    assert np.isfinite(cholesky_rows(np.zeros((2, 2)))).all()


def test_weights_come_back_to_the_features_with_the_same_answers_and_length() -> None:
    rng = np.random.default_rng(2)
    features_ND = rng.normal(size=(10, 40))
    rows_NN = cholesky_rows(features_ND @ features_ND.T)
    weights_KN = rng.normal(size=(3, 10))
    weights_KD = weights_on_features(weights_KN, rows_NN, features_ND)
    np.testing.assert_allclose(features_ND @ weights_KD.T, rows_NN @ weights_KN.T, atol=1e-8)
    np.testing.assert_allclose(
        np.linalg.norm(weights_KD, axis=1), np.linalg.norm(weights_KN, axis=1), rtol=1e-8
    )

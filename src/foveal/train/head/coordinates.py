"""Short coordinates: N rows with the inner products of N images' features.

Logistic regression with an L2 penalty and nearest class means see features through inner
products alone, so they answer the same in any coordinates that keep them. When there are more
features than images, the rows of a Cholesky factor of the Gram matrix are such coordinates, and
shorter ones. A Gram matrix of joined blocks is the sum of the blocks' own, and the rows of a
fold are just some of the rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_RIDGE = {np.dtype(np.float32): 3e-6, np.dtype(np.float64): 1e-11}  # shares of the mean variance


def cholesky_rows(gram_NN: NDArray[Any]) -> NDArray[Any]:
    """Return L (N, N), lower triangular, with L Lᵀ equal to the Gram matrix.

    Centred or repeated images make a Gram matrix singular, so each image gets a private feature
    of tiny variance; it is raised tenfold while rounding still makes the matrix indefinite.
    """
    mean = float(np.trace(gram_NN)) / len(gram_NN)
    ridge = _RIDGE[gram_NN.dtype] * (mean or 1.0)
    while True:
        try:
            return np.linalg.cholesky(gram_NN + ridge * np.eye(len(gram_NN), dtype=gram_NN.dtype))
        except np.linalg.LinAlgError:
            ridge *= 10


def weights_on_features(
    weights_KN: NDArray[np.float64],
    rows_NN: NDArray[np.float64],
    features_ND: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return weights (K, D) on the features from weights on their ``cholesky_rows``.

    With rows L and features Z, the weights v answer L v; Zᵀ L⁻ᵀ v answers the same on these
    images, has the same length, and is the one that a fit on the features would find.
    """
    shares_NK = np.linalg.solve(rows_NN.T, weights_KN.T)
    out: NDArray[np.float64] = (features_ND.T @ shares_NK).T
    return out

"""`Standard`: features brought to mean 0 and deviation 1, and how a head is brought back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foveal.core.errors import BadData
from foveal.model.linear import LinearHead

_CONSTANT = 1e-5  # a deviation below this share of the column's size is rounding, not news


@dataclass(frozen=True, slots=True, eq=False)
class Standard:
    """Mean and inverse deviation of D columns; the inverse is 0 where a column is constant.

    So a constant column becomes zeros, gets no weight, and cannot speak up when a new image
    has another value in it.
    """

    mean_D: NDArray[np.float64]
    inverse_D: NDArray[np.float64]

    @classmethod
    def of(cls, features_ND: NDArray[np.float32]) -> Standard:
        """Measure the columns of N images; sums are taken in float64.

        Raises:
            BadData: if a feature is infinite or not a number.
        """
        mean_D = features_ND.mean(axis=0, dtype=np.float64)
        if not np.isfinite(mean_D).all():
            column = int(np.flatnonzero(~np.isfinite(mean_D))[0])
            raise BadData(
                f"Column {column} of the features holds a value that is not a number.",
                hint="Check the backbone's weights, then clear the cache: foveal cache --clear",
            )
        square_D = np.einsum("nd,nd->d", features_ND, features_ND, dtype=np.float64)
        square_D /= len(features_ND)
        variance_D = np.maximum(square_D - mean_D**2, 0)
        varies_D = variance_D > _CONSTANT**2 * square_D
        inverse_D = np.where(varies_D, 1 / np.sqrt(np.where(varies_D, variance_D, 1)), 0)
        return cls(mean_D, inverse_D)

    def apply(
        self, features_ND: NDArray[np.float32], dtype: type[np.floating] = np.float32
    ) -> NDArray[Any]:
        """Return the standardised features (N, D)."""
        out: NDArray[Any] = features_ND.astype(dtype)
        out -= self.mean_D.astype(dtype)
        out *= self.inverse_D.astype(dtype)
        return out

    def folded(self, weights_KD: NDArray[np.float64], bias_K: NDArray[np.float64]) -> LinearHead:
        """Return the head on plain features that equals this one on standardised features."""
        plain_KD = weights_KD * self.inverse_D
        plain_K = bias_K - plain_KD @ self.mean_D
        return LinearHead(plain_KD.astype(np.float32), plain_K.astype(np.float32))

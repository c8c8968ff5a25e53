"""`LinearHead`: what every head of the spine comes down to once it is fitted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class LinearHead:
    """Logits as a linear function of the joined blocks; standardising is folded in.

    Any head that can be written so (logistic regression, nearest class mean) joins the
    backbone in one ONNX graph, gets exact heat maps, and fits timm's layout.
    """

    weights_KD: NDArray[np.float32]
    bias_K: NDArray[np.float32]

    def logits(self, features_ND: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return logits (N, K) float32 for joined features (N, D)."""
        return features_ND @ self.weights_KD.T + self.bias_K

    def cooled(self, temperature: float) -> LinearHead:
        """Return the head whose logits are divided by ``temperature`` > 0."""
        t = np.float32(temperature)
        return LinearHead(self.weights_KD / t, self.bias_K / t)


def softmax(logits_NK: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return probabilities (N, K) float64; safe for large logits.

    >>> softmax(np.array([[1000.0, 1000.0]])).tolist()
    [[0.5, 0.5]]
    """
    shifted = np.asarray(logits_NK, dtype=np.float64)
    shifted = np.exp(shifted - shifted.max(axis=1, keepdims=True))
    out: NDArray[np.float64] = shifted / shifted.sum(axis=1, keepdims=True)
    return out

"""`CrossEntropy`: what logistic regression minimises, with its first and second derivative."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from foveal.train.lbfgs import Array


class CrossEntropy:
    """Weighted cross-entropy of softmax(V rowsᵀ) plus |weights|² / (2 × strength), in nats.

    Parameters V are (K, R + 1); the last column is the biases, which no penalty pulls. Arrays
    are held class by class, (K, N): so largest logit and sum run along memory.
    """

    def __init__(
        self,
        rows_NR: Array,
        labels_N: NDArray[np.int64],
        weights_N: NDArray[np.float64],
        strength: float,
    ) -> None:
        ones_N1 = np.ones((len(rows_NR), 1), dtype=rows_NR.dtype)
        self._rows_NR = np.hstack([rows_NR, ones_N1])
        self._weights_N = weights_N.astype(rows_NR.dtype)
        self._labels_N = labels_N
        self._true = (labels_N, np.arange(len(labels_N)))
        self.penalty_R = self._penalty(strength)
        square_N = np.einsum("nr,nr->n", self._rows_NR, self._rows_NR, dtype=np.float64)
        self._bound = 0.5 * float(square_N @ weights_N)  # of the second derivative, unpenalised

    def start(self) -> Array:
        """Return parameters (K, R + 1) that answer with the classes' shares of the weight."""
        share_K = np.bincount(self._labels_N, self._weights_N) / self._weights_N.sum()
        out = np.zeros((len(share_K), self._rows_NR.shape[1]), dtype=self._rows_NR.dtype)
        out[:, -1] = np.log(share_K)
        return out

    def relax(self, strength: float) -> Array:
        """Go on with another strength; return by how much the penalty's curvature grew (R + 1)."""
        before_R, self.penalty_R = self.penalty_R, self._penalty(strength)
        grown_R: Array = self.penalty_R - before_R
        return grown_R

    def first_step(self) -> float:
        """Return a safe rate for a gradient step: one over a bound on the second derivative."""
        return 1.0 / (float(self.penalty_R[0]) + self._bound)

    def __call__(self, params_KR: Array) -> tuple[float, Array]:
        """Return value and gradient (K, R + 1)."""
        logits_KN = params_KR @ self._rows_NR.T
        logits_KN -= logits_KN.max(axis=0)
        true_N = logits_KN[self._true]
        np.exp(logits_KN, out=logits_KN)
        total_N = logits_KN.sum(axis=0)
        pulled_KR = self.penalty_R * params_KR
        lost_N = np.log(total_N) - true_N
        value = np.dot(self._weights_N.astype(np.float64), lost_N.astype(np.float64))
        value += 0.5 * np.vdot(params_KR, pulled_KR)
        logits_KN *= self._weights_N / total_N  # weighted probabilities from here on
        logits_KN[self._true] -= self._weights_N
        pulled_KR += logits_KN @ self._rows_NR
        return float(value), pulled_KR

    def second(self, params_KR: Array) -> Second:
        """Return the second derivative at ``params_KR``, to be applied to directions."""
        share_KN = params_KR.astype(self._rows_NR.dtype) @ self._rows_NR.T
        share_KN -= share_KN.max(axis=0)
        np.exp(share_KN, out=share_KN)
        share_KN /= share_KN.sum(axis=0)
        return Second(share_KN, self._weights_N, self._rows_NR, self.penalty_R)

    def _penalty(self, strength: float) -> Array:
        out = np.full(self._rows_NR.shape[1], 1 / strength, dtype=self._rows_NR.dtype)
        out[-1] = 0
        return out


class Second:
    """The second derivative at one point: a matrix over parameters (K, R + 1), never formed."""

    def __init__(self, share_KN: Array, weights_N: Array, rows_NR: Array, penalty_R: Array) -> None:
        self._share_KN, self._weights_N = share_KN, weights_N
        self._rows_NR, self._penalty_R = rows_NR, penalty_R

    def diagonal(self) -> Array:
        """Return its diagonal (K, R + 1), positive."""
        bend_KN = self._share_KN * (1 - self._share_KN) * self._weights_N
        out_KR: Array = bend_KN @ np.square(self._rows_NR)
        out_KR += self._penalty_R
        out_KR += np.finfo(out_KR.dtype).tiny  # a class that no image doubts has a flat bias
        return out_KR

    def __call__(self, params_KR: Array) -> Array:
        """Return its product with a direction (K, R + 1)."""
        moved_KN = params_KR @ self._rows_NR.T
        moved_KN -= np.einsum("kn,kn->n", self._share_KN, moved_KN)
        moved_KN *= self._share_KN
        moved_KN *= self._weights_N
        out_KR: Array = moved_KN @ self._rows_NR
        out_KR += self._penalty_R * params_KR
        return out_KR

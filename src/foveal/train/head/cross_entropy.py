"""`CrossEntropy`: what logistic regression minimises, with its first and second derivative."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from foveal.train.head.lbfgs import Array
from foveal.train.head.threads import Team

_PART = 2**20  # numbers in the rows that one thread takes at a time


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """Some of the images; logits are held class by class, (K, n), so sums run along memory."""

    rows_nR: Array
    weights_n: Array
    true: tuple[NDArray[np.int64], NDArray[np.int64]]  # where (K, n) holds the true class

    def times(self, params_KR: Array) -> Array:
        """Return parameters times rows (K, n): the long way round, which BLAS does faster.

        With few classes ``params @ rows.T`` spends its time on rearranging ``rows.T``.
        """
        return np.ascontiguousarray((self.rows_nR @ params_KR.T).T)

    def shares(self, params_KR: Array) -> tuple[Array, Array, Array]:
        """Return unscaled probabilities (K, n), their sums (n,), and the true logits (n,)."""
        logits_Kn = self.times(params_KR)
        logits_Kn -= logits_Kn.max(axis=0)
        true_n = logits_Kn[self.true]
        np.exp(logits_Kn, out=logits_Kn)
        return logits_Kn, logits_Kn.sum(axis=0), true_n

    def value_and_gradient(self, params_KR: Array) -> tuple[float, Array]:
        """Return both for these images, without the penalty."""
        share_Kn, total_n, true_n = self.shares(params_KR)
        lost_n = (np.log(total_n) - true_n).astype(np.float64)
        share_Kn *= self.weights_n / total_n
        share_Kn[self.true] -= self.weights_n
        return float(self.weights_n.astype(np.float64) @ lost_n), share_Kn @ self.rows_nR


class CrossEntropy:
    """Weighted cross-entropy of softmax(V rowsᵀ) plus |weights|² / (2 × strength), in nats.

    Parameters V are (K, R + 1); the last column is the biases, which no penalty pulls. Large
    jobs are shared out over the cores in parts of the images.
    """

    def __init__(
        self,
        rows_NR: Array,
        labels_N: NDArray[np.int64],
        weights_N: NDArray[np.float64],
        strength: float,
    ) -> None:
        count = len(rows_NR)
        self._rows_NR = np.hstack([rows_NR, np.ones((count, 1), dtype=rows_NR.dtype)])
        self._weights_N, self._labels_N = weights_N, labels_N
        self._parts = [
            _Part(
                self._rows_NR[some],
                weights_N[some].astype(rows_NR.dtype),
                (labels_N[some], np.arange(len(labels_N[some]))),
            )
            for some in _slices(count, -(-self._rows_NR.size // _PART))
        ]
        self._team = Team(len(self._parts))
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

    def slope(self) -> float:
        """Return the norm of the gradient at ``start``: what there is to learn at all."""
        return float(np.linalg.norm(self(self.start())[1]))

    def first_step(self) -> float:
        """Return a safe rate for a gradient step: one over a bound on the second derivative."""
        return 1.0 / (float(self.penalty_R[0]) + self._bound)

    def __call__(self, params_KR: Array) -> tuple[float, Array]:
        """Return value and gradient (K, R + 1)."""
        found = self._team.each(lambda part: part.value_and_gradient(params_KR), self._parts)
        gradient_KR = self.penalty_R * params_KR
        value = 0.5 * float(np.vdot(params_KR, gradient_KR))
        for some, of_some_KR in found:
            value += some
            gradient_KR += of_some_KR
        return value, gradient_KR

    def second(self, params_KR: Array) -> Second:
        """Return the second derivative at ``params_KR``, to be applied to directions."""
        params_KR = params_KR.astype(self._rows_NR.dtype)
        return Second(params_KR, self._parts, self._team, self.penalty_R)

    def _penalty(self, strength: float) -> Array:
        out = np.full(self._rows_NR.shape[1], 1 / strength, dtype=self._rows_NR.dtype)
        out[-1] = 0
        return out


class Second:
    """The second derivative at one point: a matrix over parameters (K, R + 1), never formed."""

    def __init__(
        self, params_KR: Array, parts: Sequence[_Part], team: Team, penalty_R: Array
    ) -> None:
        def certain(part: _Part) -> tuple[_Part, Array]:
            share_Kn, total_n, _ = part.shares(params_KR)
            share_Kn /= total_n
            return part, share_Kn

        self._team, self._penalty_R = team, penalty_R
        self._parts = team.each(certain, parts)  # with probabilities (K, n)

    def diagonal(self) -> Array:
        """Return its diagonal (K, R + 1), positive."""

        def of(each: tuple[_Part, Array]) -> Array:
            part, share_Kn = each
            bend_Kn = share_Kn * (1 - share_Kn) * part.weights_n
            out: Array = bend_Kn @ np.square(part.rows_nR)
            return out

        tiny = np.finfo(self._penalty_R.dtype).tiny  # a bias that no image doubts is flat
        out_KR = _sum(self._team.each(of, self._parts))
        out_KR += self._penalty_R + tiny
        return out_KR

    def __call__(self, params_KR: Array) -> Array:
        """Return its product with a direction (K, R + 1)."""

        def of(each: tuple[_Part, Array]) -> Array:
            part, share_Kn = each
            moved_Kn = part.times(params_KR)
            moved_Kn -= np.einsum("kn,kn->n", share_Kn, moved_Kn)
            moved_Kn *= share_Kn
            moved_Kn *= part.weights_n
            out: Array = moved_Kn @ part.rows_nR
            return out

        out_KR = _sum(self._team.each(of, self._parts))
        out_KR += self._penalty_R * params_KR
        return out_KR


def _sum(arrays: Sequence[Array]) -> Array:
    """Return the sum, added up in order."""
    total = arrays[0]
    for array in arrays[1:]:
        total += array
    return total


def _slices(count: int, parts: int) -> list[slice]:
    """Return ``parts`` slices of nearly equal length that cover ``range(count)``."""
    parts = min(parts, count)
    edges = [count * part // parts for part in range(parts + 1)]
    return [slice(*pair) for pair in pairwise(edges)]

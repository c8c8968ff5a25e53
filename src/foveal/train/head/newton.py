"""Newton's method for the last digits: gradients in float64, the work in float32.

A step needs the inverse of the second derivative only roughly, since the next one corrects it.
So conjugate gradients find it in float32, at half the cost, and value and gradient alone, once
a step, are taken in float64.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from foveal.train.head.lbfgs import Array, Function

_ROUGH = 0.1  # share of the residual that conjugate gradients may leave


class Second(Protocol):
    """A symmetric, positive definite matrix over the parameters."""

    def diagonal(self) -> Array:
        """Return its diagonal, in the shape of the parameters."""

    def __call__(self, direction: Array, /) -> Array:
        """Return its product with a direction."""


def polish(
    function: Function,
    second: Callable[[Array], Second],
    start: NDArray[np.float64],
    *,
    tolerance: float,
    most: int = 30,
) -> NDArray[np.float64]:
    """Return where ``function`` is least, from a ``start`` near it.

    Args:
        function: strictly convex; returns value and gradient in float64.
        second: a point -> the second derivative there, in float32.
        start: where Newton's method converges already.
        tolerance: it ends with the first step that lowers the value by less than this share.
            What then remains is about a hundredth of it, for each step leaves a tenth of the way.
        most: number of steps.

    Source:
        Nocedal and Wright, "Numerical Optimization", 2nd edition 2006, algorithms 5.3, 7.1.
    """
    here = start
    value, gradient = function(here)
    for _ in range(most):
        size = float(np.linalg.norm(gradient))
        if size == 0:
            break
        step = _solve(second(here), (gradient * (-1 / size)).astype(np.float32)) * size
        promised = -0.5 * float(np.vdot(gradient, step))
        shrink = 1.0
        while True:
            new_value, new_gradient = function(here + shrink * step)
            if new_value <= value or shrink < 1e-3:
                break
            shrink *= 0.5
        if new_value > value:
            break  # nothing but rounding is left
        here, value, gradient = here + shrink * step, new_value, new_gradient
        if promised <= tolerance * abs(value):
            break
    return here


def _solve(matrix: Second, right: Array, most: int = 500) -> NDArray[np.float64]:
    """Return x with matrix · x near ``right``, by conjugate gradients scaled by the diagonal."""
    scale: Array = 1 / matrix.diagonal()
    x = np.zeros_like(right)
    residual = right.copy()
    scaled = scale * residual
    heading = scaled.copy()
    product = float(np.vdot(residual, scaled))
    enough = _ROUGH**2 * float(np.vdot(residual, residual))
    for _ in range(most):
        pushed = matrix(heading)
        rate = np.float32(product / float(np.vdot(heading, pushed)))
        x += rate * heading
        residual -= rate * pushed
        if float(np.vdot(residual, residual)) <= enough:
            break
        scaled = scale * residual
        before, product = product, float(np.vdot(residual, scaled))
        heading = scaled + np.float32(product / before) * heading
    return x.astype(np.float64)

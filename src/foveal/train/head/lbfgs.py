"""L-BFGS: the least of a smooth convex function, in the precision of its argument."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]  # float32 or float64, any shape: the argument of the function
Function = Callable[[Array], tuple[float, Array]]  # argument -> value and gradient

_HALVINGS = 30  # of a step; after that, rounding hides any descent that is left


class Curvature:
    """What past steps taught about the function's second derivative.

    It outlives one minimisation: when the next function differs from the last by a quadratic
    term, ``add_quadratic`` corrects all that was learnt, and nothing has to be learnt again.
    """

    def __init__(self, pairs: int = 12) -> None:
        self._pairs: deque[tuple[Array, Array]] = deque(maxlen=pairs)

    def learn(self, step: Array, change: Array) -> None:
        """Remember that the gradient changed by ``change`` over ``step``."""
        if np.vdot(step, change) > 0:
            self._pairs.append((step, change))

    def add_quadratic(self, added: Array) -> None:
        """Hear that the second derivative grew by the diagonal ``added`` (broadcasts)."""
        pairs = [(step, change + added * step) for step, change in self._pairs]
        self._pairs.clear()
        for step, change in pairs:
            self.learn(step, change)

    def direction(self, gradient: Array, first_step: float) -> Array:
        """Return the step to the model's least point; ``-first_step * gradient`` at first."""
        number = gradient.dtype.type  # numpy would widen the arrays for a plain float64 scalar
        out = -gradient
        if not self._pairs:
            out *= number(first_step)
            return out
        shares = []
        for step, change in reversed(self._pairs):
            share = np.vdot(step, out) / np.vdot(step, change)
            out -= number(share) * change
            shares.append(share)
        step, change = self._pairs[-1]
        out *= number(np.vdot(step, change) / np.vdot(change, change))
        for (step, change), share in zip(self._pairs, reversed(shares), strict=True):
            out += number(share - np.vdot(change, out) / np.vdot(step, change)) * step
        return out


def minimise(
    function: Function,
    start: Array,
    *,
    tolerance: float,
    first_step: float,
    level: float = np.inf,
    curvature: Curvature | None = None,
    most: int = 500,
) -> Array:
    """Return where ``function`` is least, its value within about ``tolerance``.

    A step is taken whole where it lowers the value enough (Armijo), else halved. It ends when
    the model of the function promises less than ``tolerance`` of one more step, or when no step
    lowers the value any more: then the precision of ``start`` is exhausted.

    Args:
        function: convex, with a continuous gradient; returns value and gradient.
        start: first guess; its dtype is the precision that is worked in. Left as it is.
        tolerance: as a share of the value.
        level: norm of the gradient above which it never ends. A model that has seen the steepest
            direction alone promises too little of all others.
        first_step: rate of the first, plain gradient step: about one over the largest
            second derivative.
        curvature: what is known already; it learns from every step.
        most: number of steps after which the best so far has to do.

    Source:
        Nocedal and Wright, "Numerical Optimization", 2nd edition 2006, algorithms 7.4, 7.5.

    >>> bowl = lambda x: (float(((x - 3) ** 2).sum()) + 1, 2 * (x - 3))
    >>> minimise(bowl, np.zeros(2), tolerance=1e-12, first_step=0.1).round(5).tolist()
    [3.0, 3.0]
    """
    curvature = Curvature() if curvature is None else curvature
    here = start
    value, gradient = function(here)
    for _ in range(most):
        step = curvature.direction(gradient, first_step)
        slope = float(np.vdot(gradient, step))
        if -0.5 * slope <= tolerance * abs(value) and np.linalg.norm(gradient) <= level:
            break
        slack = 4 * float(np.finfo(here.dtype).eps) * abs(value)
        for _halving in range(_HALVINGS):
            there = here + step
            new_value, new_gradient = function(there)
            if new_value <= value + 1e-4 * slope + slack:
                break
            step, slope = step * step.dtype.type(0.5), slope * 0.5
        else:
            break
        curvature.learn(step, new_gradient - gradient)
        here, value, gradient = there, new_value, new_gradient
    return here

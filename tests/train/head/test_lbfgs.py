"""L-BFGS: it finds the bottom, keeps its precision, and forgets nothing worth keeping."""

from __future__ import annotations

import numpy as np
import pytest

from foveal.train.head.lbfgs import Array, Curvature, Function, minimise


class Valley:
    """½ xᵀ diag(curvature) x + 1, counting how often it is asked."""

    def __init__(self, curvature: Array, centre: float = 1.0) -> None:
        self.curvature, self.centre, self.asked = curvature, centre, 0

    def __call__(self, x: Array) -> tuple[float, Array]:
        self.asked += 1
        off = x - x.dtype.type(self.centre)
        pulled = self.curvature.astype(x.dtype) * off
        return 1 + 0.5 * float(np.vdot(off, pulled)), pulled


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_it_finds_the_bottom_of_a_narrow_valley(dtype: type[np.floating]) -> None:
    valley = Valley(np.geomspace(1, 1e4, 40))
    start = np.zeros(40, dtype=dtype)
    found = minimise(valley, start, tolerance=1e-10, first_step=1e-4)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, 1, atol=1e-3)
    np.testing.assert_array_equal(start, 0)


def test_what_was_learnt_is_corrected_when_the_function_grows_by_a_quadratic() -> None:
    steep, added = np.array([1.0, 10.0, 100.0]), np.array([5.0, 0.0, 5.0])
    curvature = Curvature()
    for step in np.eye(3):  # along the axes: after these it knows all there is to know
        curvature.learn(step, steep * step)
    gradient = np.array([1.0, 2.0, 3.0])
    np.testing.assert_allclose(curvature.direction(gradient, 1.0), -gradient / steep)
    curvature.add_quadratic(added)
    np.testing.assert_allclose(curvature.direction(gradient, 1.0), -gradient / (steep + added))


def test_a_step_that_met_no_curvature_is_not_learnt() -> None:
    curvature = Curvature()
    curvature.learn(np.ones(2), -np.ones(2))
    np.testing.assert_allclose(curvature.direction(np.ones(2), 0.5), [-0.5, -0.5])


def test_a_first_step_that_is_far_too_long_is_halved() -> None:
    valley = Valley(np.full(3, 100.0))
    found = minimise(valley, np.zeros(3), tolerance=1e-12, first_step=1.0)
    np.testing.assert_allclose(found, 1, atol=1e-5)


def test_it_ends_when_its_steps_are_used_up_or_nothing_lowers_the_value() -> None:
    valley = Valley(np.geomspace(1, 1e4, 40))
    minimise(valley, np.zeros(40), tolerance=0, first_step=1e-4, most=5)
    assert valley.asked <= 12

    def lying(x: Array) -> tuple[float, Array]:
        return float(np.abs(x).sum()), -np.ones_like(x)  # the gradient points the wrong way

    function: Function = lying
    np.testing.assert_array_equal(
        minimise(function, np.ones(2), tolerance=1e-9, first_step=1.0), np.ones(2)
    )

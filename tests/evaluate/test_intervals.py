"""Wilson's interval is scipy's, and the bootstrap draws what it should, the same every time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from foveal.core.errors import OutOfRange
from foveal.evaluate.intervals import affordable, draw, joined, percentile, units_of, wilson
from foveal.evaluate.metrics import mean
from foveal.model.predictions import Predictions


def predictions(images: int, groups: tuple[str, ...] | None = None) -> Predictions:
    return Predictions(
        probabilities=np.tile([0.6, 0.4], (images, 1)),
        labels=np.zeros(images, dtype=np.int64),
        classes=("a", "b"),
        paths=("",) * images,
        ids=("",) * images,
        groups=groups,
    )


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_is_scipys(drawn: tuple[int, int]) -> None:
    right, trials = drawn
    expected = binomtest(right, trials).proportion_ci(0.95, method="wilson")
    found = wilson(right / trials, trials)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize(("share", "trials"), [(1.2, 5), (-0.1, 5), (0.5, 0)])
def test_wilson_refuses_what_is_no_share(share: float, trials: int) -> None:
    with pytest.raises(OutOfRange, match="cannot work"):
        wilson(share, trials)


def test_all_right_is_not_certainty() -> None:
    found = wilson(1.0, 30)
    assert found.high == 1.0
    assert found.low == pytest.approx(0.8865, abs=1e-4)


def test_the_first_weighting_is_the_sample_itself() -> None:
    weights_RN = draw(predictions(50), resamples=200, seed=0)
    assert weights_RN.shape == (201, 50)
    assert weights_RN.dtype == np.float32
    assert (weights_RN[0] == 1).all()
    assert (weights_RN.sum(axis=1) == 50).all()
    assert weights_RN[1:].std(axis=0).min() > 0


def test_the_same_seed_draws_the_same_and_another_another() -> None:
    first, again, other = (draw(predictions(50), resamples=5, seed=s) for s in (7, 7, 8))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_a_group_is_drawn_as_one() -> None:
    groups = ("a", "b", "a", "c", "b", "a")
    weights_RN = draw(predictions(6, groups), resamples=200, seed=0)
    for members in ([0, 2, 5], [1, 4]):
        assert (weights_RN[:, members] == weights_RN[:, members[:1]]).all()
    each_RG = weights_RN[:, [0, 1, 3]]
    assert (each_RG.sum(axis=1) == 3).all()


def test_units_are_images_or_groups() -> None:
    assert units_of(predictions(3))[1] == 3
    unit_N, units = units_of(predictions(3, ("x", "y", "x")))
    assert units == 2
    assert unit_N.tolist() == [0, 1, 0]


def test_the_bootstrap_agrees_with_the_normal_interval_of_a_mean() -> None:
    values_N = np.random.default_rng(0).normal(size=400)
    found = percentile(mean(draw(predictions(400), resamples=2000, seed=0), values_N))
    half = 1.96 * values_N.std() / 20
    assert found.value == pytest.approx(values_N.mean())
    assert found.low == pytest.approx(values_N.mean() - half, abs=0.15 * half)
    assert found.high == pytest.approx(values_N.mean() + half, abs=0.15 * half)


def test_grouped_images_have_a_wider_interval() -> None:
    rng = np.random.default_rng(0)
    values_N = np.repeat(rng.normal(size=40), 10) + 0.1 * rng.normal(size=400)
    naive = predictions(400)
    grouped = replace(naive, groups=tuple(str(i // 10) for i in range(400)))

    def width(given: Predictions) -> float:
        found = percentile(mean(draw(given, resamples=500, seed=0), values_N))
        assert found.low is not None
        assert found.high is not None
        return found.high - found.low

    assert width(grouped) == pytest.approx(width(naive) * np.sqrt(10), rel=0.2)


def test_no_number_has_no_interval() -> None:
    found = percentile(np.array([np.nan, 1.0, 2.0]))
    assert (found.value, found.low, found.high) == (None, None, None)


def test_resamples_without_a_number_are_left_out_unless_they_are_most() -> None:
    some = percentile(np.array([0.5, 0.4, 0.6, np.nan]))
    assert some.low == pytest.approx(0.405)
    most = percentile(np.array([0.5, 0.4, 0.6, np.nan, np.nan, np.nan]))
    assert (most.value, most.low) == (0.5, None)


def test_a_share_that_resampling_drives_away_still_lies_in_its_interval() -> None:
    driven_R = np.array([0.3, *np.linspace(0.35, 0.5, 301)])
    assert percentile(driven_R).low > 0.3
    found = joined(driven_R)
    assert found.low < 0.3 < found.high
    assert joined(np.array([0.95, *np.linspace(0.8, 0.96, 301)])).high == 1.0


def test_many_images_get_fewer_resamples() -> None:
    assert affordable(100, 1000) == 1000
    assert affordable(20_000, 1000) == 200
    assert affordable(100, 300) == 300

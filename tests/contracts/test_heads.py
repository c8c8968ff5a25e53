"""What every head of the table promises."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from foveal.core.errors import BadData
from foveal.model.linear import LinearHead, softmax
from foveal.train.head.coordinates import cholesky_rows
from foveal.train.head.heads import HEADS, HeadFitter
from foveal.train.head.standard import Standard

SHAPES = [(60, 8, 3), (24, 90, 3), (30, 5, 2), (2, 4, 2), (12, 40, 12)]


def labelled(n: int, d: int, k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    rng = np.random.default_rng(n * d * k)
    labels_N = np.concatenate([np.arange(k), rng.integers(0, k, n - k)])
    centres_KD = rng.normal(size=(k, d)) * 2
    features_ND = (centres_KD[labels_N] + rng.normal(size=(n, d))).astype(np.float32)
    return features_ND, labels_N


def middle(head: HeadFitter) -> float:
    return head.strengths[len(head.strengths) // 2]


@pytest.fixture(params=HEADS.names())
def head(request: pytest.FixtureRequest) -> HeadFitter:
    return HEADS.pick(request.param)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
class TestEveryHead:
    def test_fits_to_finite_numbers_of_the_right_shape(
        self, head: HeadFitter, shape: tuple[int, int, int]
    ) -> None:
        features_ND, labels_N = labelled(*shape)
        for strength in (head.strengths[0], middle(head), head.strengths[-1]):
            found = head.fit(features_ND, labels_N, shape[2], strength)
            assert isinstance(found, LinearHead)
            assert found.weights_KD.shape == (shape[2], shape[1])
            assert found.bias_K.shape == (shape[2],)
            assert found.weights_KD.dtype == found.bias_K.dtype == np.float32
            assert np.isfinite(found.weights_KD).all()
            assert np.isfinite(found.bias_K).all()

    def test_gives_the_same_bits_twice_and_leaves_its_input_alone(
        self, head: HeadFitter, shape: tuple[int, int, int]
    ) -> None:
        features_ND, labels_N = labelled(*shape)
        before = features_ND.copy()
        one, two = (head.fit(features_ND, labels_N, shape[2], middle(head)) for _ in range(2))
        assert one.weights_KD.tobytes() == two.weights_KD.tobytes()
        assert one.bias_K.tobytes() == two.bias_K.tobytes()
        paths = [
            [each.weights_KD.tobytes() for each in head.path(features_ND, labels_N, shape[2], some)]
            for some in (head.strengths, head.strengths)
        ]
        assert paths[0] == paths[1]
        np.testing.assert_array_equal(features_ND, before)

    def test_answers_the_same_in_short_coordinates(
        self, head: HeadFitter, shape: tuple[int, int, int]
    ) -> None:
        features_ND, labels_N = labelled(*shape)
        rows_ND = Standard.of(features_ND).apply(features_ND, np.float64)
        rows_NN = cholesky_rows(rows_ND @ rows_ND.T).astype(np.float32)
        some = head.strengths[:6]
        long = head.path(rows_ND.astype(np.float32), labels_N, shape[2], some)
        for one, other in zip(long, head.path(rows_NN, labels_N, shape[2], some), strict=True):
            np.testing.assert_allclose(
                softmax(one.logits(rows_ND.astype(np.float32))),
                softmax(other.logits(rows_NN)),
                atol=0.02,
            )

    def test_the_unit_of_a_feature_and_a_constant_one_do_not_matter(
        self, head: HeadFitter, shape: tuple[int, int, int]
    ) -> None:
        n, d, k = shape
        features_ND, labels_N = labelled(n, d, k)
        odd_ND = np.hstack([features_ND * np.float32(64), np.full((n, 2), 3, dtype=np.float32)])
        plain = head.fit(features_ND, labels_N, k, middle(head))
        odd = head.fit(odd_ND, labels_N, k, middle(head))
        np.testing.assert_allclose(
            softmax(odd.logits(odd_ND)), softmax(plain.logits(features_ND)), atol=1e-4
        )
        np.testing.assert_array_equal(odd.weights_KD[:, d:], 0)


def test_strengths_are_at_least_twelve_from_strong_to_weak(head: HeadFitter) -> None:
    assert len(head.strengths) >= 12
    assert list(head.strengths) == sorted(set(head.strengths))
    assert head.strengths[0] > 0


def test_probabilities_grow_surer_with_weaker_regularisation(head: HeadFitter) -> None:
    features_ND, labels_N = labelled(60, 8, 3)
    sure = [
        softmax(each.logits(features_ND)).max(axis=1).mean()
        for each in head.path(features_ND, labels_N, 3, head.strengths)
    ]
    assert sure[0] < sure[-1]
    assert np.all(np.diff(sure) > -0.01)


@pytest.mark.parametrize("class_weights", ["none", "balanced"])
def test_a_class_without_images_is_improbable_not_infinite(
    head: HeadFitter, class_weights: str
) -> None:
    features_ND, labels_N = labelled(60, 8, 3)
    labels_N = labels_N * 2  # classes 0, 2, 4 of 6
    fits = [head.fit(features_ND, labels_N, 6, middle(head), class_weights)]
    fits += list(head.path(features_ND, labels_N, 6, head.strengths, class_weights))
    for found in fits:
        shares_NK = softmax(found.logits(features_ND))
        assert np.isfinite(found.bias_K).all()
        assert set(shares_NK.argmax(axis=1).tolist()) <= {0, 2, 4}
        assert np.all(shares_NK[:, [1, 3, 5]].mean(axis=0) < 0.1)


def test_one_class_is_refused(head: HeadFitter) -> None:
    features_ND = labelled(10, 4, 2)[0]
    with pytest.raises(BadData, match="at least two"):
        head.fit(features_ND, np.zeros(10, dtype=np.int64), 2, middle(head))
    with pytest.raises(BadData, match="at least two"):
        next(head.path(features_ND, np.zeros(10, dtype=np.int64), 2, head.strengths))

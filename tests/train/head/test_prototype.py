"""The prototype: nearest class mean, whatever the strength."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.neighbors import NearestCentroid

from foveal.train.head.prototype import Prototype
from foveal.train.head.standard import Standard


@pytest.mark.parametrize("strength", [1.0, 30.0])
def test_it_answers_as_scikit_learns_nearest_centroid(clouds: Any, strength: float) -> None:
    features_ND, labels_N = clouds(60, 8, 4)
    standard = Standard.of(features_ND)
    theirs = NearestCentroid().fit(standard.apply(features_ND), labels_N)
    fresh_ND = clouds(200, 8, 4, seed=1)[0]
    ours = Prototype().fit(features_ND, labels_N, 4, strength)
    np.testing.assert_array_equal(
        ours.logits(fresh_ND).argmax(axis=1), theirs.predict(standard.apply(fresh_ND))
    )


def test_logits_differ_by_half_the_difference_of_squared_distances(clouds: Any) -> None:
    features_ND, labels_N = clouds(40, 6, 3)
    z_ND = Standard.of(features_ND).apply(features_ND, np.float64)
    means_KD = np.stack([z_ND[labels_N == k].mean(axis=0) for k in range(3)])
    square_NK = ((z_ND[:, None] - means_KD) ** 2).sum(axis=2)
    spread = (z_ND**2).sum() / 40
    logits_NK = Prototype().fit(features_ND, labels_N, 3, 12.0).logits(features_ND)
    np.testing.assert_allclose(
        logits_NK - logits_NK[:, :1],
        -0.5 * 12.0 / spread * (square_NK - square_NK[:, :1]),
        atol=1e-3,
    )


def test_its_path_is_its_fit(clouds: Any) -> None:
    features_ND, labels_N = clouds(40, 6, 3)
    rows_ND = Standard.of(features_ND).apply(features_ND)
    (head,) = Prototype().path(rows_ND, labels_N, 3, [7.0])
    fitted = Prototype().fit(features_ND, labels_N, 3, 7.0)
    one, other = head.logits(rows_ND), fitted.logits(features_ND)
    np.testing.assert_allclose(one - one[:, :1], other - other[:, :1], atol=1e-3)


def test_one_image_of_each_class_is_enough_and_images_all_alike_are_a_draw() -> None:
    two_ND = np.array([[0.0, 1.0], [1.0, 0.0]], dtype=np.float32)
    labels_N = np.array([0, 1])
    logits_NK = Prototype().fit(two_ND, labels_N, 2, 5.0).logits(two_ND)
    assert logits_NK.argmax(axis=1).tolist() == [0, 1]
    alike = Prototype().fit(np.ones((2, 2), dtype=np.float32), labels_N, 2, 5.0)
    np.testing.assert_array_equal(alike.logits(two_ND), 0)

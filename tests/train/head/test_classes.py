"""What labels alone say."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_sample_weight

from foveal.core.errors import BadData
from foveal.model.linear import LinearHead, softmax
from foveal.train.head.classes import image_weights, seen_classes, with_unseen


def test_balanced_weights_are_scikit_learns() -> None:
    labels_N = np.array([0, 0, 0, 2, 2, 5])
    np.testing.assert_allclose(
        image_weights(labels_N, "balanced"), compute_sample_weight("balanced", labels_N)
    )
    np.testing.assert_array_equal(image_weights(labels_N, "none"), 1)


def test_one_class_is_nothing_to_tell_apart() -> None:
    with pytest.raises(BadData, match="at least two"):
        seen_classes(np.zeros(4, dtype=np.int64))


def test_a_class_without_images_is_improbable_and_finite_and_leaves_the_others_be() -> None:
    rng = np.random.default_rng(0)
    head = LinearHead(rng.normal(size=(2, 3)).astype("f4"), rng.normal(size=2).astype("f4"))
    features_ND = rng.normal(size=(98, 3)).astype(np.float32)
    whole = with_unseen(head, features_ND, np.array([0, 2]), 3)
    np.testing.assert_array_equal(whole.logits(features_ND)[:, [0, 2]], head.logits(features_ND))
    share_N = softmax(whole.logits(features_ND))[:, 1]
    odds = np.max(share_N / (1 - share_N))
    assert odds == pytest.approx(1 / 101, rel=1e-4)  # 98 images + 3 classes


def test_a_head_that_saw_all_classes_is_left_as_it_is() -> None:
    head = LinearHead(np.zeros((2, 1), dtype=np.float32), np.zeros(2, dtype=np.float32))
    assert with_unseen(head, np.zeros((3, 1)), np.array([0, 1]), 2) is head

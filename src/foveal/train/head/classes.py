"""What labels alone say: which classes are there, and how much each image counts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from foveal.core.errors import BadData
from foveal.model.linear import LinearHead
from foveal.train.head.class_weights import ClassWeights


def seen_classes(labels_N: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the classes that have an image, sorted.

    Raises:
        BadData: if there are fewer than two: there is nothing to tell apart.
    """
    seen_P = np.unique(labels_N)
    if len(seen_P) < 2:
        raise BadData(
            f"Only {len(seen_P)} class has images to learn from.",
            hint="A classifier needs at least two.",
        )
    return seen_P


def image_weights(labels_N: NDArray[np.int64], class_weights: ClassWeights) -> NDArray[np.float64]:
    """Return how much each image counts (N,), 1 on the mean.

    "balanced" makes the classes that are there count alike: N / (classes × images of the class).

    >>> image_weights(np.array([0, 0, 0, 1]), "balanced").round(2).tolist()
    [0.67, 0.67, 0.67, 2.0]
    """
    if class_weights == "none":
        return np.ones(len(labels_N))
    count_K = np.bincount(labels_N)
    weights: NDArray[np.float64] = len(labels_N) / (np.count_nonzero(count_K) * count_K[labels_N])
    return weights


def with_unseen(
    head: LinearHead, features_ND: NDArray[np.floating], seen_P: NDArray[np.int64], n_classes: int
) -> LinearHead:
    """Return a head over all classes from one over the ``seen_P`` alone.

    A class without an image gets no weights and a constant logit: so low that for none of the
    images that were learnt from its odds are better than 1 to N + K. So it is next to never
    answered, and nothing becomes infinite.

    Args:
        head: P rows, one for each of ``seen_P``.
        features_ND: the N images that the head was learnt from.
        seen_P: class of every row of ``head``.
        n_classes: K.
    """
    if len(seen_P) == n_classes:
        return head
    logits_NP = head.logits(features_ND.astype(np.float32, copy=False)).astype(np.float64)
    top_N = logits_NP.max(axis=1)
    total_N = top_N + np.log(np.exp(logits_NP - top_N[:, None]).sum(axis=1))
    weights_KD = np.zeros((n_classes, head.weights_KD.shape[1]), dtype=np.float32)
    rare = float(total_N.min()) - np.log(len(total_N) + n_classes)
    bias_K = np.full(n_classes, rare, dtype=np.float32)
    weights_KD[seen_P], bias_K[seen_P] = head.weights_KD, head.bias_K
    return LinearHead(weights_KD, bias_K)

"""ROC-AUC and average precision under many weightings at once, by counting pairs of images.

Every positive image is compared with all images once; a weighting then only asks how much
weight lies above it, which is a matrix product. Sorting would have to be redone for every
resample and class; this costs R · N² multiplications however many classes there are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from foveal.model.predictions import Predictions

Weights = NDArray[np.float32]  # (R, N): how often each image counts; whole numbers
Values = NDArray[np.float64]  # (R,) of the whole or (R, K) per class; NaN: no number

PAIRS_AT_ONCE = 4_000_000  # of images compared in one step: about 70 MB


def auc_and_precision(predictions: Predictions, weights_RN: Weights) -> tuple[Values, Values]:
    """Return the one-versus-rest ROC-AUC and average precision of every class.

    AUC is the chance that an image of the class gets a higher probability for it than an image
    of another class, ties counting half. Average precision is the mean, over the images of the
    class, of the precision of "at least as probable as this one".

    Args:
        predictions: N images over K classes.
        weights_RN: R weightings; whole numbers, so that float32 sums below 2^24 are exact.

    Returns:
        Two arrays (R, K) of shares in [0, 1]; NaN where a weighting has no image of the class,
        or none of another.

    Source:
        Hanley and McNeil, "The meaning and use of the area under a ROC curve", Radiology 1982;
        scikit-learn's ``average_precision_score``, whose numbers these are.
    """
    count, classes = predictions.probabilities.shape
    auc_RK = np.zeros((len(weights_RN), classes))
    precision_RK = np.zeros_like(auc_RK)
    order_N = np.argsort(predictions.labels, kind="stable")  # images of a class lie together
    labels_N = predictions.labels[order_N]
    weights_RN = np.ascontiguousarray(weights_RN[:, order_N])
    positive_RK = per_class(weights_RN, labels_N, classes)
    negative_RK = weights_RN.sum(axis=1, dtype=np.float64)[:, None] - positive_RK
    step = max(1, PAIRS_AT_ONCE // max(count, 1))
    for first in range(0, count, step):
        label_B = labels_N[first : first + step]
        block = slice(int(label_B[0]), int(label_B[-1]) + 1)
        starts = np.flatnonzero(np.r_[True, np.diff(label_B) != 0])
        scores_KN = np.ascontiguousarray(predictions.probabilities[:, block].T)[:, order_N]
        scores_BN = scores_KN[label_B - block.start]
        own_B1 = scores_BN[np.arange(len(label_B)), first + np.arange(len(label_B))][:, None]

        reached_BN = scores_BN >= own_B1
        tied_BN = scores_BN == own_B1
        same = slice(*np.searchsorted(labels_N, (block.start, block.stop)))
        fellow_BS = labels_N[same] == label_B[:, None]
        tied_BN[:, same] &= ~fellow_BS

        reached_RB = _weight(weights_RN, reached_BN)
        fellows_RB = _weight(weights_RN[:, same], reached_BN[:, same] & fellow_BS)
        ties_RB = _weight(weights_RN, tied_BN) if tied_BN.any() else 0.0
        own_RB = weights_RN[:, first : first + step].astype(np.float64)
        won_RB = own_RB * (negative_RK[:, label_B] - (reached_RB - fellows_RB) + ties_RB / 2)
        exact_RB = own_RB * fellows_RB / np.maximum(reached_RB, 1.0)
        auc_RK[:, label_B[starts]] += np.add.reduceat(won_RB, starts, axis=1)
        precision_RK[:, label_B[starts]] += np.add.reduceat(exact_RB, starts, axis=1)
    known_RK = (positive_RK > 0) & (negative_RK > 0)
    auc_RK /= np.where(known_RK, positive_RK * negative_RK, np.nan)
    precision_RK /= np.where(known_RK, positive_RK, np.nan)
    return auc_RK, precision_RK


def per_class(
    weights_RN: NDArray[np.floating], classes_N: NDArray[np.int64], classes: int
) -> Values:
    """Return how much weight falls on every class (R, K).

    >>> per_class(np.array([[1.0, 2.0, 4.0]]), np.array([0, 2, 0]), 3).tolist()
    [[5.0, 0.0, 2.0]]
    """
    out_RK = np.empty((len(weights_RN), classes))
    for row_K, weights_N in zip(out_RK, weights_RN, strict=True):
        row_K[:] = np.bincount(classes_N, weights=weights_N, minlength=classes)
    return out_RK


def _weight(weights_RN: Weights, marked_BN: NDArray[np.bool_]) -> Values:
    """Return how much weight lies on the marked images (R, B): exact, whatever order BLAS takes."""
    out: Values = (weights_RN @ marked_BN.T.astype(np.float32)).astype(np.float64)
    return out

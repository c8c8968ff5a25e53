"""The metrics: one definition each, for the test part itself and for every resample of it.

An evaluator takes predictions and R weightings of their images and yields ``(name, values)``:
(R,) for a number of the whole, (R, K) for one per class, NaN where there is no number. Weights
of one give the plain metric; how often a bootstrap drew each image gives its resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from foveal.core.table import Table
from foveal.evaluate.calibration import gaps
from foveal.evaluate.ranking import Values, Weights, auc_and_precision, per_class
from foveal.model.predictions import Predictions

Evaluator = Callable[[Predictions, Weights], Iterator[tuple[str, Values]]]

TOP = 5
LEAST = float(np.finfo(np.float64).eps)  # a probability of 0 counts as this in the log loss


def shares(predictions: Predictions, weights_RN: Weights) -> Iterator[tuple[str, Values]]:
    """Yield the shares of images whose class is the first answer, and among the first five.

    Equally probable classes are answered in the order of their numbers. With five classes or
    fewer top-5 is always right: it says nothing and has no number.
    """
    place_N = places(predictions)
    yield "top1", mean(weights_RN, place_N < 1)
    if len(predictions.classes) > TOP:
        yield f"top{TOP}", mean(weights_RN, place_N < TOP)
    else:
        yield f"top{TOP}", np.full(len(weights_RN), np.nan)


def by_class(predictions: Predictions, weights_RN: Weights) -> Iterator[tuple[str, Values]]:
    """Yield recall, precision and F1 of every class, and their plain means.

    The means are over the classes that have images; a class that has some and is never
    answered has no precision of its own but counts as 0 in the mean, as in scikit-learn.
    """
    classes = len(predictions.classes)
    right_N = predictions.answers == predictions.labels
    right_RK = per_class(weights_RN * right_N, predictions.labels, classes)
    support_RK = per_class(weights_RN, predictions.labels, classes)
    answered_RK = per_class(weights_RN, predictions.answers, classes)
    there_RK = support_RK > 0
    recall_RK = right_RK / np.where(there_RK, support_RK, np.nan)
    precision_RK = right_RK / np.where(answered_RK > 0, answered_RK, np.nan)
    f1_RK = 2 * right_RK / np.where(there_RK, support_RK + answered_RK, np.nan)
    yield "balanced_accuracy", mean_of_classes(recall_RK)
    yield (
        "macro_precision",
        mean_of_classes(np.where(there_RK, np.nan_to_num(precision_RK), np.nan)),
    )
    yield "macro_recall", mean_of_classes(recall_RK)
    yield "macro_f1", mean_of_classes(f1_RK)
    yield "precision", precision_RK
    yield "recall", recall_RK
    yield "f1", f1_RK


def ranking(predictions: Predictions, weights_RN: Weights) -> Iterator[tuple[str, Values]]:
    """Yield ROC-AUC and average precision: how well the images are put in order.

    Means over the classes that have images, while other classes have some too. With two classes
    the ROC-AUC is the usual one, of the second class: the first one's is the same.
    """
    auc_RK, precision_RK = auc_and_precision(predictions, weights_RN)
    yield "roc_auc", auc_RK[:, 1] if auc_RK.shape[1] == 2 else mean_of_classes(auc_RK)
    yield "average_precision", mean_of_classes(precision_RK)
    yield "average_precision", precision_RK


def probabilities(predictions: Predictions, weights_RN: Weights) -> Iterator[tuple[str, Values]]:
    """Yield how good the probabilities are: log loss, Brier score, calibration, overconfidence.

    Sources:
        Brier, "Verification of forecasts expressed in terms of probability", Monthly Weather
        Review 1950 (the sum over classes, in [0, 2]); calibration: see ``calibration.gaps``.
    """
    p_NK, labels_N = predictions.probabilities, predictions.labels
    own_N = p_NK[np.arange(len(labels_N)), labels_N]
    yield "log_loss", mean(weights_RN, -np.log(np.clip(own_N, LEAST, None)))
    yield "brier", mean(weights_RN, np.square(p_NK).sum(axis=1) - 2 * own_N + 1)
    gaps_RB = gaps(predictions, weights_RN)
    yield "calibration_error", np.abs(gaps_RB).sum(axis=1)
    yield "overconfidence", gaps_RB.sum(axis=1)


EVALUATORS: Table[Evaluator] = Table(
    "evaluator",
    {
        "shares": shares,
        "by_class": by_class,
        "ranking": ranking,
        "probabilities": probabilities,
    },
)


def measure(predictions: Predictions, weights_RN: Weights) -> tuple[dict[str, Values], ...]:
    """Return what all evaluators yield: (R,) by name, and (R, K) by name."""
    whole: dict[str, Values] = {}
    classwise: dict[str, Values] = {}
    for kind in EVALUATORS.names():
        for name, values in EVALUATORS.pick(kind)(predictions, weights_RN):
            (whole if values.ndim == 1 else classwise)[name] = values
    return whole, classwise


def places(predictions: Predictions) -> NDArray[np.int64]:
    """Return how many classes come before the true one in each answer (N,), in [0, K)."""
    p_NK, labels_N = predictions.probabilities, predictions.labels
    own_N1 = np.take_along_axis(p_NK, labels_N[:, None], axis=1)
    earlier_NK = np.arange(p_NK.shape[1]) < labels_N[:, None]
    place_N: NDArray[np.int64] = ((p_NK > own_N1) | ((p_NK == own_N1) & earlier_NK)).sum(axis=1)
    return place_N


def mean(weights_RN: NDArray[np.floating], values_N: NDArray[np.generic]) -> Values:
    """Return the weighted mean (R,) of one number per image.

    >>> mean(np.array([[1.0, 1.0], [2.0, 0.0]]), np.array([1.0, 0.0])).tolist()
    [0.5, 1.0]
    """
    total_R = weights_RN.sum(axis=1, dtype=np.float64)
    summed_R = np.einsum("rn,n->r", weights_RN, values_N.astype(np.float64), dtype=np.float64)
    out: Values = summed_R / total_R
    return out


def mean_of_classes(values_RK: Values) -> Values:
    """Return the plain mean (R,) over the classes that have a number; NaN where none has."""
    there_RK = ~np.isnan(values_RK)
    found_R = there_RK.sum(axis=1)
    out: Values = np.where(there_RK, values_RK, 0.0).sum(axis=1) / np.where(
        found_R, found_R, np.nan
    )
    return out

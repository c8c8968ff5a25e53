"""`judge`: from predictions to a `Judgement`: which number gets which interval."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from foveal.core.errors import BadData, OutOfRange
from foveal.evaluate.calibration import BINS, bin_of, error_interval, gaps
from foveal.evaluate.difference import paired, tells_apart
from foveal.evaluate.interval import Interval
from foveal.evaluate.intervals import FEWEST, affordable, draw, joined, percentile, units_of, wilson
from foveal.evaluate.judgement import Baseline, ClassRow, Judgement, ReliabilityBin
from foveal.evaluate.metrics import measure
from foveal.evaluate.ranking import Values, Weights, per_class
from foveal.evaluate.sentences import sentences
from foveal.model.predictions import Predictions

__all__ = ["Judgement", "ReliabilityBin", "judge", "majority"]

SHARES = ("top1", "top5")  # right answers ÷ images
SWAYED = ("average_precision", "f1", "macro_f1")  # by resampling: see ``intervals.joined``
CLASS_SHARES = ("recall", "precision")  # right answers ÷ images, ÷ answers of the class


def judge(
    predictions: Predictions,
    *,
    baselines: Mapping[str, Predictions] | None = None,
    promised: Mapping[str, Interval] | None = None,
    seed: int = 0,
    resamples: int = 1000,
) -> Judgement:
    """Return every number about these predictions, each with its 95 % interval.

    Args:
        predictions: N images over K classes; whole groups are resampled where there are any.
        baselines: name -> another model's answers to the same images in the same order.
        promised: what cross-validation said of some of the metrics: ``{"top1": …}``.
        seed: of the bootstrap: the same one gives the same numbers.
        resamples: of the bootstrap; fewer are drawn from more than 7,000 images.

    Raises:
        BadData: if there is no image: an empty mean would look like a number.
        OutOfRange: if a baseline answers other images, or ``resamples`` is below 200.
    """
    if not len(predictions):
        raise BadData(
            "There is no image to test on.", hint="Give the test part some, or other images."
        )
    if resamples < FEWEST:
        raise OutOfRange("resamples", resamples, f"at least {FEWEST}, for the ends of an interval")
    count = affordable(len(predictions), resamples)
    weights_RN = draw(predictions, resamples=count, seed=seed)
    whole, classwise = measure(predictions, weights_RN)
    judgement = Judgement(
        images=len(predictions),
        classes=predictions.classes,
        groups=None if predictions.groups is None else units_of(predictions)[1],
        resamples=count,
        seed=seed,
        metrics=_metrics(predictions, weights_RN, whole),
        per_class=_class_rows(predictions, classwise),
        confusion=_confusion(predictions),
        reliability=_reliability(predictions, weights_RN),
        baselines=tuple(
            _baseline(name, predictions, other, weights_RN)
            for name, other in (baselines or {}).items()
        ),
        promised=dict(promised or {}),
        tells_apart=tells_apart(predictions, whole["top1"]),
        said=(),
    )
    return replace(judgement, said=sentences(judgement))


def majority(predictions: Predictions, train_counts_K: NDArray[np.int64]) -> Predictions:
    """Return the baseline that never looks: each class as probable as it was in training.

    Args:
        predictions: whose images are answered.
        train_counts_K: training images of every class, in the order of ``classes``.

    Raises:
        OutOfRange: if there is not one count per class, or none is above 0.
    """
    if len(train_counts_K) != len(predictions.classes):
        raise OutOfRange(
            "train_counts", len(train_counts_K), f"{len(predictions.classes)} counts, one per class"
        )
    if min(train_counts_K) < 0 or not sum(train_counts_K):
        raise OutOfRange("train_counts", list(train_counts_K), "counts, not all of them 0")
    share_K = np.asarray(train_counts_K, dtype=np.float64) / np.sum(train_counts_K)
    return replace(predictions, probabilities=np.tile(share_K, (len(predictions), 1)))


def _metrics(
    predictions: Predictions, weights_RN: Weights, whole: Mapping[str, Values]
) -> dict[str, Interval]:
    unit_N, units = units_of(predictions)
    grouped = predictions.groups is not None
    out: dict[str, Interval] = {}
    for name, values_R in whole.items():
        if name in SHARES:
            out[name] = _share(values_R, len(unit_N), units, grouped=grouped)
        elif name == "calibration_error":
            out[name] = error_interval(gaps(predictions, weights_RN))
        else:
            out[name] = _number(name, values_R)
    return out


def _number(name: str, values_R: Values) -> Interval:
    return joined(values_R) if name in SWAYED else percentile(values_R)


def _share(values_R: Values, trials: int, units: int, *, grouped: bool) -> Interval:
    """Wilson's interval for independent images, the bootstrap's for grouped ones.

    The bootstrap is blind where every group is all right or all wrong; then each group counts
    as one trial of Wilson's. One group alone tells nothing of how groups differ.
    """
    value = float(values_R[0])
    if np.isnan(value):
        return Interval(None)
    if not grouped:
        return wilson(value, trials)
    if value in (0.0, 1.0) and units > 1:
        return wilson(value, units)
    return percentile(values_R)


def _class_rows(predictions: Predictions, classwise: Mapping[str, Values]) -> tuple[ClassRow, ...]:
    unit_N, _ = units_of(predictions)
    classes = len(predictions.classes)
    of_N = {"recall": predictions.labels, "precision": predictions.answers}
    trials_K = {name: np.bincount(of_N[name], minlength=classes) for name in CLASS_SHARES}
    units_K = {
        name: np.bincount(np.unique(np.stack([unit_N, of_N[name]]), axis=1)[1], minlength=classes)
        for name in CLASS_SHARES
    }

    def number(name: str, number: int) -> Interval:
        values_R = classwise[name][:, number]
        if name not in CLASS_SHARES:
            return _number(name, values_R)
        trials, units = int(trials_K[name][number]), int(units_K[name][number])
        return _share(values_R, trials, units, grouped=predictions.groups is not None)

    return tuple(
        ClassRow(
            name=name,
            support=int(trials_K["recall"][row]),
            answered=int(trials_K["precision"][row]),
            numbers={metric: number(metric, row) for metric in classwise},
        )
        for row, name in enumerate(predictions.classes)
    )


def _confusion(predictions: Predictions) -> NDArray[np.int64]:
    classes = len(predictions.classes)
    cell_N = predictions.labels * classes + predictions.answers
    return np.bincount(cell_N, minlength=classes * classes).reshape(classes, classes)


def _reliability(predictions: Predictions, weights_RN: Weights) -> tuple[ReliabilityBin, ...]:
    confidence_N = predictions.probabilities.max(axis=1)
    right_N = predictions.answers == predictions.labels
    bin_N = bin_of(confidence_N)
    unit_N, _ = units_of(predictions)
    sum_B = np.bincount(bin_N, weights=confidence_N, minlength=BINS)
    right_RB = per_class(weights_RN * right_N, bin_N, BINS)
    count_RB = per_class(weights_RN, bin_N, BINS)
    accuracy_RB = right_RB / np.where(count_RB > 0, count_RB, np.nan)
    grouped = predictions.groups is not None
    out = []
    for number in range(BINS):
        count = int(count_RB[0, number])
        units = len(np.unique(unit_N[bin_N == number]))
        out.append(
            ReliabilityBin(
                low=number / BINS,
                high=(number + 1) / BINS,
                count=count,
                confidence=float(sum_B[number]) / count if count else None,
                accuracy=_share(accuracy_RB[:, number], count, units, grouped=grouped),
            )
        )
    return tuple(out)


def _baseline(
    name: str, predictions: Predictions, other: Predictions, weights_RN: Weights
) -> Baseline:
    difference = paired(predictions, other, weights_RN)
    whole, _ = measure(other, weights_RN)
    return Baseline(
        name=name,
        metrics=_metrics(replace(other, groups=predictions.groups), weights_RN, whole),
        difference=difference,
    )

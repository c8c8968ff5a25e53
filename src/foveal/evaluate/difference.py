"""Differences: between two models on the same images, and between a promise and its test."""

from __future__ import annotations

import math

import numpy as np

from foveal.core.errors import OutOfRange
from foveal.evaluate.interval import Interval
from foveal.evaluate.intervals import Z, percentile, units_of, wilson
from foveal.evaluate.metrics import mean
from foveal.evaluate.ranking import Values, Weights
from foveal.model.predictions import Predictions

FEWEST_DISAGREEMENTS = 6  # all one way: 2 · ½⁶ = 0.03 is the first below 0.05
SHARED = 0.5  # disagreement of two models, as a share of what two unrelated ones would show


def paired(model: Predictions, other: Predictions, weights_RN: Weights) -> Interval:
    """Return top-1 of ``model`` minus that of ``other`` on the same images, as a share.

    Both are resampled together, so what makes an image hard for both cancels out. Where every
    image (or group) shows the same difference, the chance of another one is bounded by Wilson's
    interval. One image or group alone gives no interval.

    Args:
        model: N images.
        other: the same images in the same order, over the same classes.
        weights_RN: as ``intervals.draw`` makes them.

    Raises:
        OutOfRange: if the two do not speak of the same images and classes.
    """
    if model.classes != other.classes:
        raise OutOfRange("classes of the baseline", other.classes[:3], "those of the model")
    if model.ids != other.ids or not np.array_equal(model.labels, other.labels):
        raise OutOfRange("images of the baseline", len(other), "the model's, in the same order")
    right_N = (model.answers == model.labels).astype(np.int64)
    found = percentile(mean(weights_RN, right_N - (other.answers == other.labels)))
    units = units_of(model)[1]
    if found.value is None or found.low is not None or units < 2:
        return found
    unseen = 1 - (wilson(1.0, units).low or 0.0)
    low = found.value - unseen * (1 + found.value)
    return Interval(found.value, low, found.value + unseen * (1 - found.value))


def tells_apart(predictions: Predictions, top1_R: Values) -> float | None:
    """Return the least difference in top-1 between two models that these images can show.

    It is the paired difference at which the exact or normal McNemar test reaches 95 %: at least
    six images on which only one of the two is right, and 1.96 standard errors of it. How often
    two models disagree is not known beforehand; half of what unrelated ones of this accuracy
    would is assumed. (Pairs of resnet18, resnet50 and vgg16 showed 32 to 36 % of it on ImageNet's
    validation images and on ImageNetV2; a network and a simple baseline are less alike.)

    Args:
        predictions: N images, with groups or without.
        top1_R: top-1 of the sample, then of every resample.

    Returns:
        A share in (0, 1]; None where not even all against nothing could be told.

    Source:
        McNemar, "Note on the sampling error of the difference between correlated proportions",
        Psychometrika 1947; groups count by the design effect: Kish, "Survey Sampling", 1965.
    """
    share = float(top1_R[0])
    images = float(units_of(predictions)[1])
    if predictions.groups is not None and (scatter := float(np.var(top1_R[1:]))) > 0:
        images = min(share * (1 - share) / scatter, float(len(predictions)))
    disagreement = SHARED * 2 * share * (1 - share)
    least = max(Z * math.sqrt(disagreement / (images + Z * Z)), FEWEST_DISAGREEMENTS / images)
    return least if least <= 1 else None


def kept(promised: Interval, found: Interval) -> bool | None:
    """Return whether a promise was kept: whether the two may be the same number, at 95 %.

    None where one of them has no number, or the test no interval. A promise without an interval
    is taken as exact.

    Source:
        Zou and Donner, "Construction of confidence limits about effect measures: a general
        approach", Statistics in Medicine 2008 (limits of a difference from those of its parts).

    >>> kept(Interval(0.90, 0.86, 0.93), Interval(0.84, 0.78, 0.89))
    True
    >>> kept(Interval(0.97, 0.96, 0.98), Interval(0.80, 0.74, 0.85))
    False
    """
    if promised.value is None or found.value is None or found.low is None or found.high is None:
        return None
    low = promised.value if promised.low is None else promised.low
    high = promised.value if promised.high is None else promised.high
    difference = found.value - promised.value
    below = math.hypot(found.value - found.low, high - promised.value)
    above = math.hypot(found.high - found.value, promised.value - low)
    return difference - below <= 0 <= difference + above

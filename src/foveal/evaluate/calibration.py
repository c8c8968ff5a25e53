"""Calibration: whether "80 % sure" is right four times out of five, bin by bin."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from foveal.evaluate.interval import Interval
from foveal.evaluate.intervals import TAILS, percentile
from foveal.evaluate.ranking import Values, Weights, per_class
from foveal.model.predictions import Predictions

BINS = 15  # equal widths over [0, 1]


def bin_of(confidence_N: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the bin of each confidence in [0, 1]; bins are closed on the left, the last on both.

    >>> bin_of(np.array([0.0, 0.5, 1.0])).tolist()
    [0, 7, 14]
    """
    return np.minimum((confidence_N * BINS).astype(np.int64), BINS - 1)


def gaps(predictions: Predictions, weights_RN: Weights) -> Values:
    """Return confidence minus accuracy of every bin (R, BINS), times the bin's share of images.

    The sum of their sizes is the expected calibration error, their plain sum the overconfidence.

    Source:
        Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, section 2.

    Always 80 % sure and right four times out of five:

    >>> sure = Predictions(probabilities=np.tile([0.8, 0.2], (5, 1)),
    ...     labels=np.array([0, 0, 0, 0, 1]), classes=("a", "b"), paths=("",) * 5, ids=("",) * 5)
    >>> float(np.abs(gaps(sure, np.ones((1, 5), np.float32))).sum().round(6))
    0.0
    """
    confidence_N = predictions.probabilities.max(axis=1)
    gap_N = confidence_N - (predictions.answers == predictions.labels)
    total_R = weights_RN.sum(axis=1, dtype=np.float64)
    gaps_RB: Values = per_class(weights_RN * gap_N, bin_of(confidence_N), BINS) / total_R[:, None]
    return gaps_RB


def error_interval(gaps_RB: Values) -> Interval:
    """Return the calibration error with its interval.

    Sizes of noisy gaps add up, so a perfectly calibrated model shows an error above 0 and its
    resamples a larger one still: the plain bootstrap interval would never hold the truth. Here
    the low end is 0 unless the error is larger than what the gaps' own scatter would show at a
    true error of 0, else the bootstrap's high end mirrored at the value; the high end is the
    bootstrap's. In simulations it held the truth in 92 to 98 % of trials, over 100 to 2,000
    images, grouped or not, from perfect calibration to an error of 0.2; the plain one in 0 to 95 %.

    Args:
        gaps_RB: as ``gaps`` returns them; the first row is the sample, the others resamples.
    """
    errors_R = np.abs(gaps_RB).sum(axis=1)
    straight = percentile(errors_R)
    if straight.value is None or straight.high is None:
        return straight
    noise = np.quantile(np.abs(gaps_RB[1:] - gaps_RB[0]).sum(axis=1), TAILS[1])
    low = 0.0 if straight.value <= noise else max(2 * straight.value - straight.high, 0.0)
    return Interval(straight.value, low, straight.high)

"""`temperature`: one number that makes probabilities mean what they say."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from foveal.core.errors import OutOfRange
from foveal.model.linear import softmax

_COLDEST, _HOTTEST = 0.25, 4.0  # beyond which logits mean something else


def temperature(logits_NK: NDArray[np.floating], labels_N: NDArray[np.int64]) -> float:
    """Return the temperature, in [0.25, 4], that logits are best divided by.

    It minimises the log loss of ``softmax(logits / temperature)`` against labels that are true
    but for one in N + 2 (the rule of succession, as Platt's): 16 answers that are all right do not
    ask for certainty, 1,500 nearly may. In 1 / temperature that is convex: its derivative only
    rises, so Newton's method within a bracket finds where it is 0. Which class is most probable
    never changes.

    Args:
        logits_NK: of images that the head was not fitted on, or it comes out too small.
        labels_N: the true class of each, in [0, K).

    Raises:
        OutOfRange: if there are no images, or the lengths disagree.

    Source:
        Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, section 4.2;
        Platt, "Probabilistic Outputs for Support Vector Machines", 1999, for the labels.

    Sure with odds of e² : 1, but right three times out of four (3 : 1, e^1.0986):

    >>> sure = np.tile([2.0, 0.0], (4000, 1))
    >>> round(temperature(sure, np.arange(4000) % 4 // 3), 2)
    1.82
    """
    if not len(labels_N) or len(labels_N) != len(logits_NK):
        raise OutOfRange(
            "labels_N", len(labels_N), f"as many labels as logits ({len(logits_NK)}), and some"
        )
    logits = np.asarray(logits_NK, dtype=np.float64)
    logits = logits - logits.max(axis=1, keepdims=True)
    doubt = 1 / (len(labels_N) + 2)
    true_N = logits[np.arange(len(labels_N)), labels_N]
    others_N = (logits.sum(axis=1) - true_N) / max(logits.shape[1] - 1, 1)
    true_N = (1 - doubt) * true_N + doubt * others_N
    low, high = 1 / _HOTTEST, 1 / _COLDEST
    cold = 1.0  # 1 / temperature
    for _ in range(100):
        share_NK = softmax(logits * cold)
        mean_N = np.einsum("nk,nk->n", share_NK, logits)
        slope = float((mean_N - true_N).sum())
        bend = float((np.einsum("nk,nk,nk->n", share_NK, logits, logits) - mean_N**2).sum())
        if slope == 0:
            break
        low, high = (low, cold) if slope > 0 else (cold, high)
        newton = cold - slope / bend if bend > 0 else 0.0
        following = newton if low < newton < high else (low * high) ** 0.5
        if abs(following - cold) <= 1e-12 * cold:
            break
        cold = following
    return 1 / cold

"""`Prototype`: the nearest class mean, for few images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from foveal.model.linear import LinearHead
from foveal.train.head.class_weights import ClassWeights
from foveal.train.head.classes import seen_classes, with_unseen
from foveal.train.head.standard import Standard


class Prototype:
    """Nearest class mean by Euclidean distance of standardised features.

    The logit of class k is ``strength`` × (x·m_k − |m_k|²/2) / v, with m_k its mean and v the
    mean squared distance of the images from their common mean. Up to what all classes share,
    that is minus the squared distance to the class mean. ``strength`` so counts how many
    independent features the distance is worth: it decides how sure the answers are, never which.

    Every class is as likely as any other beforehand, and its mean is the plain one: class
    weights change nothing.

    Source:
        Snell et al., "Prototypical Networks for Few-shot Learning", NeurIPS 2017, section 2.4.
    """

    strengths: tuple[float, ...] = tuple(10 ** (power / 4) for power in range(13))

    def fit(
        self,
        features_ND: NDArray[np.float32],
        labels_N: NDArray[np.int64],
        n_classes: int,
        strength: float,
        class_weights: ClassWeights = "none",  # noqa: ARG002 — means need none
    ) -> LinearHead:
        """Return the head to be applied to plain features."""
        standard = Standard.of(features_ND)
        rows_ND = standard.apply(features_ND)
        seen_P = seen_classes(labels_N)
        weights_PD, bias_P = _distances(rows_ND, labels_N, seen_P)
        head = standard.folded(weights_PD * strength, bias_P * strength)
        return with_unseen(head, features_ND, seen_P, n_classes)

    def path(
        self,
        rows_NR: NDArray[np.float32],
        labels_N: NDArray[np.int64],
        n_classes: int,
        strengths: Sequence[float],
        class_weights: ClassWeights = "none",  # noqa: ARG002 — means need none
    ) -> Iterator[LinearHead]:
        """Yield a head over ``rows_NR`` for every strength."""
        seen_P = seen_classes(labels_N)
        weights_PR, bias_P = _distances(rows_NR, labels_N, seen_P)
        for strength in strengths:
            head = LinearHead(
                (weights_PR * strength).astype(np.float32), (bias_P * strength).astype(np.float32)
            )
            yield with_unseen(head, rows_NR, seen_P, n_classes)


def _distances(
    rows_NR: NDArray[np.floating], labels_N: NDArray[np.int64], seen_P: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return weights (P, R) and biases (P,) of the logits at strength 1."""
    member_PN = (labels_N == seen_P[:, None]).astype(rows_NR.dtype)
    count_P = member_PN.sum(axis=1, dtype=np.float64)
    means_PR = (member_PN @ rows_NR).astype(np.float64) / count_P[:, None]
    centre_R = rows_NR.mean(axis=0, dtype=np.float64)
    square = np.einsum("nr,nr->", rows_NR, rows_NR, dtype=np.float64) / len(rows_NR)
    spread = float(square - centre_R @ centre_R)
    bias_P = -0.5 * np.einsum("pr,pr->p", means_PR, means_PR)
    scale = 1 / spread if spread > 0 else 0.0  # all images alike: every class is as near
    return means_PR * scale, bias_P * scale

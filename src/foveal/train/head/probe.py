"""`Probe`: multinomial logistic regression on standardised features."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from foveal.model.linear import LinearHead
from foveal.train.head.class_weights import ClassWeights
from foveal.train.head.classes import image_weights, seen_classes, with_unseen
from foveal.train.head.coordinates import cholesky_rows, weights_on_features
from foveal.train.head.cross_entropy import CrossEntropy
from foveal.train.head.lbfgs import Curvature, minimise
from foveal.train.head.newton import polish
from foveal.train.head.standard import Standard
from foveal.train.head.threads import own_threads

# Shares of the loss that a fit may lie above its optimum; see docs/decisions/0007-probe.md.
_PATH = 3e-4  # fits that only tell strengths and blocks apart
_SINGLE = 1e-6  # where float32 hands over to float64
_EXACT = 1e-10  # the last step of the final fit
_LEVEL = 0.02  # share of the gradient at the start that must be gone before anything ends


class Probe:
    """Multinomial logistic regression, an L2 penalty on its weights, none on its biases.

    It minimises the sum over images of weight × cross-entropy, plus |W|² / (2 × strength). So
    ``strength`` is scikit-learn's C: small is strongly regularised. With two classes each has
    weights of its own; scikit-learn's single vector is the same at twice the C.
    """

    strengths: tuple[float, ...] = tuple(10 ** (power / 2) for power in range(-10, 3))

    def fit(
        self,
        features_ND: NDArray[np.float32],
        labels_N: NDArray[np.int64],
        n_classes: int,
        strength: float,
        class_weights: ClassWeights = "none",
    ) -> LinearHead:
        """Return the exact fit: found in float32, finished in float64.

        With more features than images it is found in the images' own coordinates.
        """
        seen_P = seen_classes(labels_N)
        index_N = np.searchsorted(seen_P, labels_N)
        weights_N = image_weights(labels_N, class_weights)
        standard = Standard.of(features_ND)
        z_ND = standard.apply(features_ND, np.float64)
        with own_threads():
            weights_PD, bias_P = _exact(z_ND, index_N, weights_N, strength)
            head = standard.folded(weights_PD, bias_P)
            return with_unseen(head, features_ND, seen_P, n_classes)

    def path(
        self,
        rows_NR: NDArray[np.float32],
        labels_N: NDArray[np.int64],
        n_classes: int,
        strengths: Sequence[float],
        class_weights: ClassWeights = "none",
    ) -> Iterator[LinearHead]:
        """Yield a head over ``rows_NR`` for every strength, good enough to compare by.

        Each starts from the one before, with all that was learnt of the loss's curvature: give
        ``strengths`` from strong to weak.
        """
        seen_P = seen_classes(labels_N)
        index_N = np.searchsorted(seen_P, labels_N)
        weights_N = image_weights(labels_N, class_weights)
        loss = CrossEntropy(rows_NR, index_N, weights_N, strengths[0])
        params_PR, level = loss.start(), _LEVEL * loss.slope()
        curvature = Curvature()
        for strength in strengths:
            curvature.add_quadratic(loss.relax(strength))
            params_PR = minimise(
                loss,
                params_PR,
                tolerance=_PATH,
                first_step=loss.first_step(),
                level=level,
                curvature=curvature,
            )
            head = LinearHead(params_PR[:, :-1], params_PR[:, -1])
            yield with_unseen(head, rows_NR, seen_P, n_classes)


def _exact(
    z_ND: NDArray[np.float64],
    labels_N: NDArray[np.int64],
    weights_N: NDArray[np.float64],
    strength: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return weights (P, D) and biases (P,) for standardised features."""
    wide = z_ND.shape[1] > len(z_ND)
    rows_NR = cholesky_rows(z_ND @ z_ND.T) if wide else z_ND
    rough = CrossEntropy(rows_NR.astype(np.float32), labels_N, weights_N, strength)
    exact = CrossEntropy(rows_NR, labels_N, weights_N, strength)
    near_PR = minimise(
        rough,
        rough.start(),
        tolerance=_SINGLE,
        first_step=rough.first_step(),
        level=_LEVEL * rough.slope(),
    )
    params_PR = polish(exact, rough.second, near_PR.astype(np.float64), tolerance=_EXACT)
    weights_PR, bias_P = params_PR[:, :-1], params_PR[:, -1]
    return weights_on_features(weights_PR, rows_NR, z_ND) if wide else weights_PR, bias_P

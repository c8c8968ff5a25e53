"""The table of heads: what may be fitted to features, the simplest first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from foveal.core.table import Table
from foveal.model.linear import LinearHead
from foveal.train.head.class_weights import ClassWeights
from foveal.train.head.probe import Probe
from foveal.train.head.prototype import Prototype


class HeadFitter(Protocol):
    """A kind of head: how labelled features become a linear one.

    It sees standardised features through their inner products alone, so that it may be tried
    in any coordinates that keep them. A class that no image has gets a constant, low logit.
    """

    @property
    def strengths(self) -> tuple[float, ...]:
        """The values that are tried, from strong to weak regularisation; at least 12."""

    def fit(
        self,
        features_ND: NDArray[np.float32],
        labels_N: NDArray[np.int64],
        n_classes: int,
        strength: float,
        class_weights: ClassWeights = "none",
    ) -> LinearHead:
        """Return the head for plain features (N, D), exactly; standardising is folded in.

        Raises:
            BadData: if fewer than two of the ``n_classes`` have an image.
        """

    def path(
        self,
        rows_NR: NDArray[np.float32],
        labels_N: NDArray[np.int64],
        n_classes: int,
        strengths: Sequence[float],
        class_weights: ClassWeights = "none",
    ) -> Iterator[LinearHead]:
        """Yield a head over standardised rows for every strength, good enough to compare by.

        Raises:
            BadData: if fewer than two of the ``n_classes`` have an image.
        """


HEADS: Table[HeadFitter] = Table(
    "head",
    {
        "prototype": Prototype(),
        "probe": Probe(),
    },
)

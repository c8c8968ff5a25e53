"""`Predictions`: what was answered and what was true; all that ``evaluate`` ever takes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foveal.core.errors import OutOfRange


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Predictions:
    """The answers to N labelled images over K classes; also of models Foveal did not train.

    Raises:
        OutOfRange: if the shapes disagree, rows do not sum to 1, or a label is no class.
    """

    probabilities: NDArray[np.float64]  # (N, K), rows sum to 1
    labels: NDArray[np.int64]  # (N,), the true class, in [0, K)
    classes: tuple[str, ...]  # K names
    paths: tuple[str, ...]  # N, for people
    ids: tuple[str, ...]  # N, SHA-256 of each file's bytes
    groups: tuple[str, ...] | None = None  # N; images of one group are resampled together

    def __post_init__(self) -> None:
        """Refuse what cannot be judged."""
        n, k = self.probabilities.shape
        if k != len(self.classes):
            raise OutOfRange("classes", len(self.classes), f"{k} names, one per column")
        for name in ("labels", "paths", "ids", "groups"):
            value = getattr(self, name)
            if value is not None and len(value) != n:
                raise OutOfRange(name, len(value), f"{n} entries, one per row")
        if n and not np.allclose(self.probabilities.sum(axis=1), 1.0, atol=1e-4):
            raise OutOfRange("probabilities", "rows", "that sum to 1")
        if n and (self.labels.min() < 0 or self.labels.max() >= k):
            raise OutOfRange("labels", int(self.labels.max()), f"class numbers in [0, {k})")

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)

    @property
    def answers(self) -> NDArray[np.int64]:
        """The most probable class of each image (N,); the first of equals."""
        best: NDArray[np.int64] = self.probabilities.argmax(axis=1)
        return best

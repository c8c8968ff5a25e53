"""`Pool`: several classifiers that answer as one, each with its weight."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foveal.core.errors import OutOfRange
from foveal.image.preprocess import Preprocess
from foveal.model.classifier import Classifier

SEEN = ("size_px", "crop", "shape", "interpolation")  # what decides which pixels a network gets


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pool:
    """Classifiers over the same classes, whose log-probabilities are averaged.

    Each member says what it would alone, its own temperature included; see ``pooled_logits``
    for what is made of that. All of them see the same pixels, so one decoded picture serves all.

    Raises:
        OutOfRange: if there are fewer than two members, they differ in classes or pixels, or
            weights and temperature are none.
    """

    members: tuple[Classifier, ...]
    weights: tuple[float, ...]  # one per member, above 0; they sum to 1
    temperature: float = 1.0  # above 0; the average is divided by it

    def __post_init__(self) -> None:
        """Refuse members that do not fit each other."""
        if len(self.members) < 2:
            raise OutOfRange("members", len(self.members), "two classifiers at least")
        if len(self.weights) != len(self.members):
            raise OutOfRange("weights", self.weights, f"{len(self.members)}, one per member")
        if not min(self.weights) > 0 or not math.isclose(sum(self.weights), 1, abs_tol=1e-6):
            raise OutOfRange(
                "weights", self.weights, "numbers above 0 that sum to 1: leave out who has none"
            )
        if not 0 < self.temperature < math.inf:
            raise OutOfRange("temperature", self.temperature, "a number above 0")
        first = self.members[0]
        for other in self.members[1:]:
            if other.classes != first.classes:
                raise OutOfRange("classes", other.classes, f"those of all members: {first.classes}")
            _check_pixels(first, other)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the logits."""
        return self.members[0].classes

    @property
    def names(self) -> Mapping[str, str]:
        """Class -> what to show people."""
        return self.members[0].names

    @property
    def preprocess(self) -> Preprocess:
        """How a picture becomes the pixels that all members see; mean and std are the first's."""
        return self.members[0].preprocess

    @property
    def shares(self) -> tuple[float, ...]:
        """What every member's log-probabilities are multiplied with in the pool's logits."""
        return tuple(weight / self.temperature for weight in self.weights)

    def logits(self, members_MNK: Sequence[NDArray[np.floating]]) -> NDArray[np.float32]:
        """Return the pool's logits (N, K) float32 from those of its members, in their order."""
        return pooled_logits(members_MNK, self.weights, temperature=self.temperature)


def pooled_logits(
    logits_MNK: Sequence[NDArray[np.floating]],
    weights_M: Sequence[float],
    *,
    temperature: float = 1.0,
) -> NDArray[np.float32]:
    """Return Σ weight · log_softmax(logits) / temperature: softmax of it is the pool's answer.

    Where one member is sure that a class is none, it is none; where members say the same, the
    pool says it too, no surer than they are. The temperature is fitted after pooling: members
    whose mistakes differ are right more often together than their average is sure.

    Args:
        logits_MNK: for each of M members its logits (N, K).
        weights_M: how much each member counts.
        temperature: above 0.

    Returns:
        Logits (N, K) float32.

    Source:
        Genest and Zidek, "Combining Probability Distributions", Statistical Science 1986 (the
        logarithmic opinion pool).

    One says three to one, the other is undecided: together it is the root of three to one.

    >>> from foveal.model.linear import softmax
    >>> both = [np.log([[0.75, 0.25]]), np.zeros((1, 2))]
    >>> softmax(pooled_logits(both, (0.5, 0.5))).round(3).tolist()
    [[0.634, 0.366]]
    """
    shares = [weight / temperature for weight in weights_M]
    total_NK = sum(
        share * _log_softmax(logits_NK) for share, logits_NK in zip(shares, logits_MNK, strict=True)
    )
    return np.asarray(total_NK, dtype=np.float32)


def _log_softmax(logits_NK: NDArray[np.floating]) -> NDArray[np.float64]:
    shifted = np.asarray(logits_NK, dtype=np.float64)
    shifted = shifted - shifted.max(axis=1, keepdims=True)
    out: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return out


def _check_pixels(first: Classifier, other: Classifier) -> None:
    """Refuse two networks that would need a picture to be resized or cropped twice."""
    for field in SEEN:
        mine, theirs = getattr(first.preprocess, field), getattr(other.preprocess, field)
        if mine != theirs:
            raise OutOfRange(
                field,
                theirs,
                f"{mine!r}: {other.host.spec.name} is to be pooled with {first.host.spec.name} "
                "and must see the same pixels",
            )

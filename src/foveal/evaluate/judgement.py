"""`Judgement`: everything that the numbers say about one set of predictions, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from foveal.evaluate.interval import Interval

Weight = Literal["warning", "note", "fact"]  # from heavy to light


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassRow:
    """How one class fared."""

    name: str
    support: int  # test images of this class
    answered: int  # test images that were taken for this class
    numbers: Mapping[str, Interval]  # precision, recall, f1, average_precision; shares in [0, 1]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReliabilityBin:
    """The answers whose confidence lay in [low, high); the last bin includes 1."""

    low: float
    high: float
    count: int
    confidence: float | None  # mean probability of the answers; None in an empty bin
    accuracy: Interval  # share of them that was right


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """Another model's answers to the same images."""

    name: str  # "majority", "classical", …
    metrics: Mapping[str, Interval]
    difference: Interval  # top-1 of the judged model minus this one's, paired image by image


@dataclass(frozen=True, slots=True)
class Sentence:
    """What the numbers mean, and how much it matters.

    A ``warning`` says that the model should not be trusted as it is, a ``note`` that the numbers
    say less than they seem to.
    """

    text: str
    weight: Weight = "fact"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judgement:
    """What the numbers say about N images over K classes, as plain data."""

    images: int
    classes: tuple[str, ...]
    groups: int | None  # None: every image is resampled on its own
    resamples: int  # of the bootstrap; fewer than asked for where N is large
    seed: int
    metrics: Mapping[str, Interval]  # top1, top5, …: see docs/metrics.md
    per_class: tuple[ClassRow, ...]  # K, in the order of ``classes``
    confusion: NDArray[np.int64]  # (K, K): row is the true class, column the answer
    reliability: tuple[ReliabilityBin, ...]  # 15 bins over [0, 1]
    baselines: tuple[Baseline, ...]
    promised: Mapping[str, Interval]  # what cross-validation had said of some of the metrics
    tells_apart: float | None  # smallest difference in top-1, as a share, that this test shows
    said: tuple[Sentence, ...]  # for a person, most important first

    @property
    def sentences(self) -> tuple[str, ...]:
        """What is said, without its weight."""
        return tuple(sentence.text for sentence in self.said)

    def to_mapping(self) -> dict[str, Any]:
        """Return it JSON-ready: each metric at the top level as ``{value, low, high}``.

        Where there is no number stands None, never NaN.
        """
        return {
            **{name: _plain(interval) for name, interval in self.metrics.items()},
            "images": self.images,
            "groups": self.groups,
            "classes": list(self.classes),
            "resamples": self.resamples,
            "seed": self.seed,
            "tells_apart": self.tells_apart,
            "sentences": list(self.sentences),
            "warnings": [each.text for each in self.said if each.weight == "warning"],
            "promised": {name: _plain(interval) for name, interval in self.promised.items()},
            "baselines": {
                baseline.name: {
                    **{name: _plain(value) for name, value in baseline.metrics.items()},
                    "difference": _plain(baseline.difference),
                }
                for baseline in self.baselines
            },
            "per_class": [
                {
                    "name": row.name,
                    "support": row.support,
                    "answered": row.answered,
                    **{name: _plain(value) for name, value in row.numbers.items()},
                }
                for row in self.per_class
            ],
            "confusion": self.confusion.tolist(),
            "reliability": [
                {
                    "low": each.low,
                    "high": each.high,
                    "count": each.count,
                    "confidence": each.confidence,
                    "accuracy": _plain(each.accuracy),
                }
                for each in self.reliability
            ],
        }


def _plain(interval: Interval) -> dict[str, float | None]:
    return {"value": interval.value, "low": interval.low, "high": interval.high}

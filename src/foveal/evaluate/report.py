"""`Report`: everything that is said about a tested model, as plain data; and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foveal.core.errors import OutOfRange
from foveal.core.settings import to_mapping
from foveal.evaluate.curves import Course
from foveal.evaluate.judgement import Judgement


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Picture:
    """One tested image, to be looked at.

    ``thumbnail`` is a JPEG of what the network saw (after the crop), so that ``heat`` lies on
    it; ``gallery.thumbnail`` makes one.
    """

    path: str
    truth: int  # class number, in [0, K)
    answer: int  # class number, in [0, K)
    confidence: float  # probability of the answer, in [0, 1]
    thumbnail: bytes
    heat: NDArray[np.float32] | None = None  # (h, w), signed: evidence for the answer
    unexplained: float | None = None  # share of the evidence that no map explains, in [0, 1]

    def __post_init__(self) -> None:
        """Refuse shares that are none, and heat that is no map."""
        for name in ("confidence", "unexplained"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise OutOfRange(name, value, f"a share in [0, 1] for {self.path}")
        if self.heat is not None and self.heat.ndim != 2:
            raise OutOfRange("heat", self.heat.shape, f"rows and columns for {self.path}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One row of the choice that cross-validation made."""

    head: str
    blocks: tuple[str, ...]
    strength: float | None  # None where the head has no regularisation
    log_loss: float  # out of fold, nats
    standard_error: float  # of the log loss
    accuracy: float  # out of fold, in [0, 1]
    chosen: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CutPicture:
    """A whole picture, to draw the frame of the centre crop on."""

    path: str
    thumbnail: bytes  # JPEG of the whole picture
    size: tuple[int, int]  # width and height, in the unit of ``frame``
    frame: tuple[float, float, float, float]  # left, top, right, bottom of what is kept


@dataclass(frozen=True, slots=True, kw_only=True)
class CutAway:
    """How much of the pictures the centre crop never shows to the network."""

    share: float  # of the area, on the mean, in [0, 1]
    examples: tuple[CutPicture, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSummary:
    """What was read, and what was wrong with it."""

    source: str  # in words: "class folders photos/"
    counts: Mapping[str, tuple[int, ...]]  # part -> images of every class, K numbers
    groups: Mapping[str, int] = field(default_factory=dict)  # part -> groups; empty: ungrouped
    sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)  # "median" -> width, height
    findings: tuple[str, ...] = ()  # sentences
    broken: tuple[tuple[str, str], ...] = ()  # path, reason: left out
    left_out: int = 0  # images of the training part that were there and were not scored
    cut_away: CutAway | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberFacts:
    """One of several networks that answer together."""

    backbone: str
    weights: str  # where they came from, in words
    blocks: tuple[str, ...]
    weight: float  # how much it counts, in (0, 1)
    licence: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """What was tested."""

    backbone: str
    weights: str  # where they came from, in words
    head: str
    blocks: tuple[str, ...]
    temperature: float
    input: str  # in words: "224 × 224 pixels, central crop of 87.5 %, bicubic"
    licence: str | None = None
    assumed: tuple[str, ...] = ()  # sentences: what nobody said and was taken for granted
    members: tuple[MemberFacts, ...] = ()  # of a pool; empty: one network alone


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What it took."""

    seconds: Mapping[str, float]  # stage -> wall time, in order; of fit and test
    images_per_second: float | None = None  # of the test
    peak_mb: float | None = None  # of the test, memory in 10^6 bytes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Report:
    """Everything that is said about a tested model.

    Raises:
        OutOfRange: if a picture's class is none, or a part does not count every class.
    """

    title: str
    judgement: Judgement
    model: ModelFacts
    data: DataSummary
    cost: Cost
    pictures: tuple[Picture, ...] = ()  # in any order; `gallery.worth_showing` says which to make
    choice: tuple[Option, ...] = ()  # simplest first
    course: Course | None = None  # of the network's training; None: it was not trained, or unknown
    settings: Mapping[str, Any] = field(default_factory=dict)  # complete, JSON-ready
    command: str = ""  # what was typed
    environment: Mapping[str, str] = field(default_factory=dict)  # "numpy" -> "2.4.6"

    def __post_init__(self) -> None:
        """Refuse what would point outside the list of classes."""
        count = len(self.judgement.classes)
        for picture in self.pictures:
            if not (0 <= picture.truth < count and 0 <= picture.answer < count):
                numbers = (picture.truth, picture.answer)
                raise OutOfRange("truth, answer", numbers, f"class numbers in [0, {count})")
        for part, counts in self.data.counts.items():
            if len(counts) != count:
                raise OutOfRange(f"counts of {part}", len(counts), f"{count}, one per class")

    def to_mapping(self) -> dict[str, Any]:
        """Return it JSON-ready: the judgement at the top level, the rest beside it.

        Of the pictures, path, truth, answer and confidence are kept, not the bytes.
        """
        cut_away = self.data.cut_away
        return {
            **self.judgement.to_mapping(),
            "title": self.title,
            "model": to_mapping(self.model),
            "data": {
                **to_mapping(replace(self.data, cut_away=None)),
                "cut_away": cut_away.share if cut_away else None,
            },
            "cost": to_mapping(self.cost),
            "choice": [to_mapping(option) for option in self.choice],
            "course": to_mapping(self.course) if self.course else None,
            "pictures": [
                {
                    "path": picture.path,
                    "truth": self.judgement.classes[picture.truth],
                    "answer": self.judgement.classes[picture.answer],
                    "confidence": picture.confidence,
                }
                for picture in self.pictures
            ],
            "settings": dict(self.settings),
            "command": self.command,
            "environment": dict(self.environment),
        }

"""`Fitted`: a classifier and everything that is known about how it came to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foveal.evaluate.interval import Interval
from foveal.model.classifier import Classifier
from foveal.model.linear import LinearHead
from foveal.model.pool import Pool
from foveal.model.predictions import Predictions
from foveal.recipes.clock import Clock
from foveal.recipes.orders import FitSettings
from foveal.recipes.prepare import Prepared


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """What pictures that were not learnt from said of the classifier before any test."""

    how: str  # the pictures in words: "In 5-fold cross-validation"
    predictions: Predictions  # for those pictures
    metrics: Mapping[str, Interval]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fitted:
    """A classifier and everything that is known about how it came to be."""

    classifier: Classifier | Pool
    prepared: Prepared
    settings: FitSettings
    story: Mapping[str, Any]  # JSON-ready, for the card: head, strength, the table of the choice, …
    promise: Promise
    baseline: LinearHead | None  # over the classical block; None where that is the host
    proof: tuple[tuple[Path, ...], NDArray[np.float32]]  # files and their logits
    broken: tuple[tuple[str, str], ...]  # path, reason: found on decoding
    clock: Clock
    course: Mapping[str, Any] | None = None  # of a training, epoch by epoch, for ``run.json``

"""The promise: what pictures that were held out in the fit say of a classifier, with intervals."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from foveal.evaluate.intervals import affordable, draw, percentile, wilson
from foveal.evaluate.metrics import by_class, probabilities, shares
from foveal.model.predictions import Predictions
from foveal.recipes.fitted import Promise
from foveal.recipes.rows import Rows

PROMISED = ("top1", "log_loss", "balanced_accuracy")
RESAMPLES = 500


def held_out(
    rows: Rows, held: NDArray[np.int64], probabilities_MK: NDArray[np.float64]
) -> Predictions:
    """Return the answers that the rows ``held`` (M,) got as predictions."""
    paths, ids = rows.manifest.paths, rows.manifest.table["sha256"].to_list()
    grouped = len(rows.units) < len(rows.labels_N)  # copies of a picture are a group too
    chosen = held.tolist()
    return Predictions(
        probabilities=probabilities_MK,
        labels=rows.labels_N[held],
        classes=rows.prepared.manifest.classes,
        paths=tuple(paths[row] for row in chosen),
        ids=tuple(ids[row] for row in chosen),
        groups=tuple(str(rows.units.of_N[row]) for row in chosen) if grouped else None,
    )


def promise_of(predictions: Predictions, how: str) -> Promise:
    """Return what held-out pictures say of the answers they got, with 95 % intervals."""
    weights_RN = draw(predictions, resamples=affordable(len(predictions), RESAMPLES), seed=0)
    found = {
        name: percentile(values_R)
        for evaluator in (shares, by_class, probabilities)
        for name, values_R in evaluator(predictions, weights_RN)
        if name in PROMISED
    }
    if predictions.groups is None:
        found["top1"] = wilson(float(found["top1"].value or 0), len(predictions))
    return Promise(how=how, predictions=predictions, metrics=found)

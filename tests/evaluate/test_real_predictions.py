"""Published predictions of real networks get the accuracies that others computed from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from foveal.evaluate.difference import SHARED, paired, tells_apart
from foveal.evaluate.intervals import draw, wilson
from foveal.evaluate.metrics import mean, shares
from foveal.model.predictions import Predictions

RANKS = np.array([0.4, 0.3, 0.15, 0.1, 0.05])  # any falling numbers: only ranks are published
AT_ONCE = 10_000  # images; full rows of a thousand classes for all 50,000 would take 400 MB


def from_top5(ids_N5: np.ndarray, labels_N: np.ndarray) -> Predictions:
    count = len(labels_N)
    p_NK = np.zeros((count, 1000))
    np.put_along_axis(p_NK, ids_N5.astype(np.int64), np.tile(RANKS, (count, 1)), axis=1)
    return Predictions(
        probabilities=p_NK,
        labels=labels_N.astype(np.int64),
        classes=tuple(map(str, range(1000))),
        paths=("",) * count,
        ids=("",) * count,
    )


def top_shares(ids_N5: np.ndarray, labels_N: np.ndarray) -> tuple[float, float]:
    """Return top-1 and top-5 in per cent, over pieces of ``AT_ONCE`` images."""
    found = []
    for first in range(0, len(labels_N), AT_ONCE):
        piece = from_top5(ids_N5[first : first + AT_ONCE], labels_N[first : first + AT_ONCE])
        found.append([v[0] for _, v in shares(piece, np.ones((1, len(piece)), np.float32))])
    top1, top5 = 100 * np.mean(found, axis=0)
    return float(top1), float(top5)


def ids(shared: Path, kind: str, model: str) -> np.ndarray:
    folder = shared / "imagenet_meta" / "imagenetv2"
    return np.load(folder / f"predictions_{kind}_{model}.npz")["topk"]


def v2_labels(shared: Path) -> np.ndarray:
    return np.loadtxt(shared / "imagenet_meta/imagenetv2/labels_imagenetv2-b-33.txt", dtype=int)


@pytest.mark.parametrize(
    ("model", "top1", "top5"),
    [("resnet18", 57.18, 80.19), ("resnet50", 63.33, 84.65), ("vgg16", 58.84, 81.66)],
)
def test_imagenet_v2(shared: Path, model: str, top1: float, top5: float) -> None:
    found = top_shares(ids(shared, "imagenetv2-b-33", model), v2_labels(shared))
    assert found == pytest.approx((top1, top5), abs=1e-6)


@pytest.mark.parametrize(
    ("model", "top1", "top5"),
    [("resnet18", 69.758, 89.076), ("resnet50", 76.130, 92.862), ("vgg16", 71.592, 90.382)],
)
def test_imagenet_validation(shared: Path, model: str, top1: float, top5: float) -> None:
    labels_N = np.repeat(np.arange(1000), 50)
    found = top_shares(ids(shared, "imagenet-validation-original", model), labels_N)
    assert found == pytest.approx((top1, top5), abs=1e-6)


def test_real_networks_disagree_less_than_is_assumed_and_are_told_apart_as_said(
    shared: Path,
) -> None:
    labels_N = v2_labels(shared)
    right = {
        m: ids(shared, "imagenetv2-b-33", m)[:, 0] == labels_N for m in ("resnet18", "resnet50")
    }
    a, b = right["resnet18"].mean(), right["resnet50"].mean()
    disagree = (right["resnet18"] != right["resnet50"]).mean()
    assert 0.3 < disagree / (a * (1 - b) + b * (1 - a)) < SHARED
    every = slice(None, None, 10)
    small, large = (
        from_top5(ids(shared, "imagenetv2-b-33", m)[every], labels_N[every]) for m in right
    )
    weights_RN = draw(small, resamples=300, seed=0)
    least = tells_apart(small, mean(weights_RN, small.answers == small.labels))
    gain = paired(large, small, weights_RN)
    assert 0.02 < least < 0.05
    assert gain.value > least
    assert gain.low > 0


def test_wilsons_interval_from_a_sample_holds_the_accuracy_of_all(shared: Path) -> None:
    right_N = ids(shared, "imagenetv2-b-33", "resnet18")[:, 0] == v2_labels(shared)
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        found = wilson(right_N[rng.integers(len(right_N), size=90)].mean(), 90)
        held += found.low <= right_N.mean() <= found.high
    assert 0.92 <= held / 400 <= 0.98

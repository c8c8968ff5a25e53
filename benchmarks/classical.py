"""Claim: ``classical`` costs a few milliseconds a picture; squashing suits it as cropping does.

Speed: images/s of the graph on ONNX Runtime, batch 32, the best of 9 runs, by threads and side.
Shape: out-of-fold log loss and accuracy on the train parts of the five shared sets (the val parts
are never read), 4 stratified folds that keep the tracks of gtsrb together, scikit-learn's
logistic regression on standardised features, the best of three strengths by log loss, seeds 0-2.

Run: python benchmarks/classical.py SHARED/data/domains (15 minutes of one AVX2 core; scikit-learn
comes with the extra ``dev``). Results: docs/decisions/0006-classical.md.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.preprocessing import StandardScaler

from foveal.backbone.classical import DEFAULT_PREPROCESS, classical
from foveal.image.preprocess import Preprocess
from foveal.image.stream import stream

SETS = ("hymenoptera", "neu_surface", "mednist", "chest_xray", "gtsrb")
STRENGTHS = (1e-4, 1e-3, 1e-2)  # scikit-learn's C


def images_per_second(side_px: int, *, threads: int) -> float:
    """Return how many pictures of noise the graph takes in a second."""
    backbone = classical(Preprocess(size_px=side_px), threads=threads)
    pixels = np.random.default_rng(0).integers(0, 256, (32, side_px, side_px, 3), dtype=np.uint8)
    seconds = []
    for _ in range(10):
        start = time.perf_counter()
        backbone.embed(pixels, ["last"])
        seconds.append(time.perf_counter() - start)
    return len(pixels) / min(seconds[1:])


def out_of_fold(train: Path, preprocess: Preprocess, *, seed: int) -> tuple[float, float]:
    """Return log loss and accuracy of a probe on ``classical``, on pictures it did not see."""
    files = sorted(train.glob("*/*"))
    labels_N = np.array([file.parent.name for file in files])
    tracks = train.parent.name == "gtsrb"
    groups_N = [f"{f.parent.name}/{f.name.split('_')[0] if tracks else f.name}" for f in files]
    features_ND = StandardScaler().fit_transform(embedded(files, preprocess))
    folds = StratifiedGroupKFold(4, shuffle=True, random_state=seed)
    splits = list(folds.split(features_ND, labels_N, groups_N))
    results = []
    for strength in STRENGTHS:
        probe = LogisticRegression(C=strength, max_iter=300, tol=1e-3)
        probabilities_NK = cross_val_predict(
            probe, features_ND, labels_N, cv=splits, method="predict_proba"
        )
        answers_N = np.unique(labels_N)[probabilities_NK.argmax(axis=1)]
        accuracy = float(np.mean(answers_N == labels_N))
        results.append((float(log_loss(labels_N, probabilities_NK)), accuracy))
    return min(results)


def embedded(files: list[Path], preprocess: Preprocess) -> NDArray[np.float32]:
    """Return the features (N, D) of whole, readable pictures."""
    backbone = classical(preprocess)
    batches = stream(files, preprocess)
    return np.concatenate([backbone.embed(batch.pixels, ["last"])["last"] for batch in batches])


def main() -> None:
    """Print both tables."""
    for threads in (1, 2):
        for side_px in (96, 224, 384):
            speed = images_per_second(side_px, threads=threads)
            print(f"{threads} threads, {side_px} px: {speed:.0f} images/s")
    for name in SETS:
        for shape in ("crop", "squash", "pad"):
            preprocess = Preprocess(
                size_px=96, crop=1.0, shape=shape, interpolation=DEFAULT_PREPROCESS.interpolation
            )
            train = Path(sys.argv[1]) / name / "train"
            runs = [out_of_fold(train, preprocess, seed=seed) for seed in range(3)]
            loss, accuracy = np.mean(runs, axis=0)
            print(f"{name}, {shape}: log loss {loss:.3f}, accuracy {100 * accuracy:.1f} %")


if __name__ == "__main__":
    main()

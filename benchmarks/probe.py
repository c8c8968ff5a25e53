"""Claim: choosing among six sets of blocks and 13 strengths costs seconds, the exact fit less.

Run with ``python benchmarks/probe.py [real|synthetic …]``. ``real``: resnet18's blocks and
``classical`` of the ``train`` parts of five small sets, 3 folds (whole tracks on gtsrb). The first
run exports resnet18, which needs the extra ``train``; it also needs the shared data
(``FOVEAL_SHARED`` or ``../shared``). ``synthetic``: normal clouds with a falling spectrum. One line
of JSON per set: wall and CPU seconds of the choice and of the final fit, what was chosen, and, with
``oracle``, the seconds scikit-learn takes for the same fit and how far its log loss is from ours.

CPU seconds are to be compared with OPENBLAS_NUM_THREADS=1: idle BLAS threads spin.
Results: docs/decisions/0007-probe.md.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

import foveal
from foveal.backbone.catalog import pick
from foveal.backbone.classical import classical
from foveal.backbone.settings import BackboneSettings
from foveal.backbone.spec import LAST
from foveal.data.scan import scan
from foveal.data.split import folds
from foveal.data.units import units_of
from foveal.image.stream import stream
from foveal.model.classifier import CLASSICAL
from foveal.model.feature_store import FeatureStore
from foveal.model.features import Source, features
from foveal.model.linear import LinearHead, softmax
from foveal.train.head.choice import candidates, choose
from foveal.train.head.heads import HEADS
from foveal.train.head.standard import Standard

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Job:
    """Labelled features, the sets of blocks to compare, and who judges whom."""

    name: str
    blocks: Mapping[str, NDArray[np.float32]]
    sets: Sequence[tuple[str, ...]]
    labels_N: NDArray[np.int64]
    unit_N: NDArray[np.int64]
    fold_N: NDArray[np.int64]  # in [0, FOLDS)


ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("FOVEAL_SHARED", ROOT.parent / "shared")) / "data"
SETS = ("hymenoptera", "gtsrb", "neu_surface", "mednist", "chest_xray")
WIDTHS = {"last": 512, "means": 448, "near": 1280, "classical": 1812}  # as resnet18's
FOLDS = 3
MADE = ((2000, 10, 0.1), (10_000, 10, 0.1), (10_000, 100, 0.25))  # images, classes, how far apart


def timed(work: Callable[[], T]) -> tuple[T, dict[str, float]]:
    """Do ``work``; return its result with wall and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    done = work()
    seconds = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    return done, {name: round(value, 2) for name, value in seconds.items()}


def real(name: str) -> Job:
    """Return one of the real sets, its ``train`` part alone."""
    groups = {"group_pattern": r"^(\d+)_"} if name == "gtsrb" else {}
    data = scan(foveal.read(SHARED / "domains" / name / "train", **groups))
    host = pick(
        BackboneSettings(backbone="resnet18", weights=SHARED / "weights" / "resnet18.safetensors")
    )
    sets = candidates(host.spec)
    own = dict.fromkeys(b for blocks in sets for b in blocks if b != CLASSICAL)
    sources = [
        Source(host, {block: block for block in own}),
        Source(classical(host.spec.preprocess), {CLASSICAL: LAST}),
    ]
    files = [data.file(path) for path in data.paths]
    hashes = data.table["sha256"].to_list()
    found, _ = features(sources, files, hashes, batches=stream, store=FeatureStore())
    data = data.rows(found.rows)
    units = units_of(data)
    return Job(
        name=name,
        blocks=found.blocks,
        sets=sets,
        labels_N=data.label_indices,
        unit_N=units.of_N,
        fold_N=folds(data.label_indices, units, k=FOLDS, seed=0),
    )


def synthetic(n: int, k: int, apart: float) -> Job:
    """Return n points of k clouds that overlap, their spectrum falling as that of features."""
    rng = np.random.default_rng(n + k)
    labels_N = rng.integers(0, k, n)
    blocks = {}
    for block, width in WIDTHS.items():
        falling_D = 1 / np.sqrt(1 + np.arange(width))
        centres_KD = rng.normal(size=(k, width)) * falling_D
        cloud_ND = centres_KD[labels_N] * apart + rng.normal(size=(n, width)) * falling_D
        blocks[block] = (cloud_ND @ rng.normal(size=(width, width))).astype(np.float32)
    plain = [("last",), ("last", "means"), ("last", "near")]
    rows = np.arange(n)
    return Job(
        name=f"synthetic {n} × {k}",
        blocks=blocks,
        sets=[*plain, *((*each, "classical") for each in plain)],
        labels_N=labels_N,
        unit_N=rows,
        fold_N=rows % FOLDS,
    )


def measure(job: Job, *, oracle: bool) -> dict[str, object]:
    """Choose and fit; return what it took."""
    labels_N, k = job.labels_N, int(job.labels_N.max()) + 1
    pairs = [
        (np.flatnonzero(job.fold_N != fold), np.flatnonzero(job.fold_N == fold))
        for fold in range(FOLDS)
    ]
    choice, took = timed(lambda: choose(job.blocks, job.sets, labels_N, k, pairs, job.unit_N))
    joined = np.hstack([job.blocks[block] for block in choice.chosen.blocks])
    strength = choice.chosen.strength
    head, fitted = timed(lambda: HEADS.pick(choice.chosen.head).fit(joined, labels_N, k, strength))
    line = {
        "set": job.name,
        "images": len(labels_N),
        "classes": k,
        "features": sum(block.shape[1] for block in job.blocks.values()),
        "choice": took,
        "fit": {**fitted, "features": joined.shape[1]},
        "chosen": "+".join(choice.chosen.blocks),
        "strength": strength,
        "log_loss": round(choice.chosen.log_loss, 4),
        "accuracy": round(choice.chosen.accuracy, 4),
        "table": [
            [round(row.log_loss, 4), round(row.accuracy, 4), row.strength]
            for row in choice.rows_table
        ],
    }
    if oracle:
        line["scikit-learn"] = against(joined, labels_N, strength, head)
    return line


def against(
    joined_ND: NDArray[np.float32], labels_N: NDArray[np.int64], strength: float, ours: LinearHead
) -> dict[str, object]:
    """Return how long scikit-learn takes for the same fit, and how far apart the two end."""
    from sklearn.linear_model import LogisticRegression

    two = labels_N.max() == 1
    standard = Standard.of(joined_ND)
    z_ND = standard.apply(joined_ND, np.float64)
    model = LogisticRegression(C=strength * (2 if two else 1), tol=1e-8, max_iter=20_000)
    model, took = timed(lambda: model.fit(z_ND, labels_N))
    weights_KD, bias_K = model.coef_, model.intercept_
    if two:
        weights_KD, bias_K = np.vstack([-weights_KD, weights_KD]) / 2, np.r_[-bias_K, bias_K] / 2
    theirs = standard.folded(weights_KD, bias_K)
    size = np.linalg.norm(theirs.weights_KD)
    losses = [
        -np.log(softmax(head.logits(joined_ND))[np.arange(len(labels_N)), labels_N]).mean()
        for head in (ours, theirs)
    ]
    return {
        **took,
        "weights_apart": float(np.linalg.norm(ours.weights_KD - theirs.weights_KD) / size),
        "log_loss_apart": float(losses[0] - losses[1]),
    }


def main() -> None:
    """Print a line per set."""
    words = sys.argv[1:]
    oracle = "oracle" in words
    if "synthetic" not in words:
        for name in SETS:
            print(json.dumps(measure(real(name), oracle=oracle)), flush=True)
    if "real" not in words:
        for made in MADE:
            print(json.dumps(measure(synthetic(*made), oracle=False)), flush=True)


if __name__ == "__main__":
    main()

"""Claim: only a split that remembers is stratified, stable and within 2 points at once.

A dataset of 20 classes, their sizes falling as 1/rank, grows from 400 to 2,000 images in 20
additions. After each, one fifth is held out in three ways:

- ``hash``: an image is held out if its hash falls below the share; nothing is remembered.
- ``quota``: the exact split by class is made anew each time; nothing is remembered.
- ``remembered``: the exact split, given where the images known so far were. What ``fit`` does.

Counted: the largest deviation of any class of at least 25 images from its share, in points, over
all additions; and how many images ever changed their part. A second table holds out groups of
1 to 30 images and compares Pearson's chi-squared, which ``assign`` minimises, with plain squared
deviations: mean size of a held-out group against that of a training group.

Run: python benchmarks/split_stability.py (10 seconds of one core; pure arithmetic, the same on
every machine: seeds 0 to 9, polars for the table).
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import polars as pl

from foveal.data.balance import assign, contents_of
from foveal.data.manifest import Manifest, Part
from foveal.data.split import parts_by_prefix, prefixes, split
from foveal.data.units import join

SHARE = 0.2
CLASSES = 20


def manifest_of(labels: list[int], name: str) -> Manifest:
    """Return a scanned manifest of made-up images."""
    n = len(labels)
    hashes = [hashlib.sha256(f"{name}/{row}".encode()).hexdigest() for row in range(n)]
    table = pl.DataFrame(
        {
            "path": [f"{row}.jpg" for row in range(n)],
            "labels": [[f"class {label:02d}"] for label in labels],
            "group": pl.Series([None] * n, dtype=pl.String),
            "part": pl.Series([None] * n, dtype=pl.String),
            "sha256": hashes,
        }
    )
    classes = tuple(f"class {label:02d}" for label in range(CLASSES))
    return Manifest(root=Path(), classes=classes, table=table)


def by_hash(manifest: Manifest, _kept: dict[str, Part]) -> dict[str, Part]:
    """Hold out what hashes low."""
    return {
        name: "test" if int(name, 16) < SHARE * 16 ** len(name) else "train"
        for name in prefixes(manifest)
    }


def by_quota(manifest: Manifest, _kept: dict[str, Part]) -> dict[str, Part]:
    """Split anew."""
    return parts_by_prefix(manifest, split(manifest, test_share=SHARE))


def by_memory(manifest: Manifest, kept: dict[str, Part]) -> dict[str, Part]:
    """Split, knowing what was kept."""
    return parts_by_prefix(manifest, split(manifest, test_share=SHARE, kept=kept))


WAYS = {"hash": by_hash, "quota": by_quota, "remembered": by_memory}


def growth(way: str, seed: int) -> tuple[float, int]:
    """Return the largest deviation of a class's share in points, and the images that moved."""
    rng = np.random.default_rng(seed)
    weights_K = 1 / np.arange(1, CLASSES + 1)
    labels = rng.choice(CLASSES, size=2000, p=weights_K / weights_K.sum()).tolist()
    kept: dict[str, Part] = {}
    worst, moved = 0.0, set()
    for n in range(400, 2001, 80):
        manifest = manifest_of(labels[:n], str(seed))
        parts = WAYS[way](manifest, kept)
        moved |= {name for name, part in kept.items() if parts[name] != part}
        kept = parts
        test_N = np.array([parts[name] == "test" for name in prefixes(manifest)])
        label_N = manifest.label_indices
        for k in range(CLASSES):
            if (label_N == k).sum() >= 25:
                worst = max(worst, abs(float(test_N[label_N == k].mean()) - SHARE))
    return 100 * worst, len(moved)


def group_sizes(seed: int, *, pearson: bool) -> float:
    """Return how large a held-out group is on the average, as a multiple of a training group."""
    rng = np.random.default_rng(seed)
    size_U = rng.integers(1, 31, size=300)
    label_U = rng.integers(0, 5, size=300)
    group_N = np.repeat(np.arange(300), size_U)
    units = join([f"{row:08x}" for row in rng.permutation(len(group_N))], [*map(str, group_N)])
    label_N = label_U[group_N]
    contents = contents_of(units, np.arange(len(group_N)), label_N, 5)
    targets = [[(1 - SHARE) * t for t in contents.totals], [SHARE * t for t in contents.totals]]
    shares = [1 - SHARE, SHARE]
    if pearson:
        out_U = np.array(assign(units, contents, targets, shares, seed=seed))
    else:  # each unit where most is lacking, large units first: plain squared deviations
        lack = np.array(targets)
        out_U = np.zeros(len(units), dtype=int)
        for unit in np.argsort(-np.array(contents.sizes), kind="stable"):
            ((k, number),) = contents.labels[unit]
            out_U[unit] = lack[:, k].argmax()
            lack[out_U[unit], k] -= number
    sizes = np.array(contents.sizes)
    return float(sizes[out_U == 1].mean() / sizes[out_U == 0].mean())


def main() -> None:
    """Print both tables."""
    print(f"{'way':12} {'worst class, points':>20} {'images moved of 2,000':>22}")
    for way in WAYS:
        points, moved = zip(*(growth(way, seed) for seed in range(10)), strict=True)
        print(f"{way:12} {max(points):20.1f} {np.mean(moved):22.0f}")
    for pearson in (False, True):
        ratios = [group_sizes(seed, pearson=pearson) for seed in range(10)]
        name = "chi-squared" if pearson else "plain squares"
        print(f"held-out group / training group, {name}: {np.mean(ratios):.2f}")


if __name__ == "__main__":
    main()

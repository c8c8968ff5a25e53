"""Rows: the readable pictures to learn from, with their features, and which judge which."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from foveal.backbone.spec import LAST, Backbone
from foveal.core.errors import BadData
from foveal.core.listener import Listener
from foveal.data.finding import Finding
from foveal.data.manifest import Manifest
from foveal.data.scan import broken_check
from foveal.data.split import folds
from foveal.data.units import Units, join
from foveal.image.preprocess import Preprocess
from foveal.image.stream import stream
from foveal.model.classifier import CLASSICAL
from foveal.model.feature_store import FeatureStore
from foveal.model.features import Features, Source, features
from foveal.recipes.orders import FitSettings
from foveal.recipes.prepare import Prepared

PROOF = 16  # pictures that go both ways at saving, file to answer


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """What is learnt from: the readable rows of the train and val parts, with their features."""

    prepared: Prepared
    manifest: Manifest  # of these rows alone
    features: Features
    labels_N: NDArray[np.int64]
    units: Units
    train: NDArray[np.int64]  # rows that heads are fitted on
    pairs: tuple[tuple[NDArray[np.int64], NDArray[np.int64]], ...]  # (fitted on, held out)
    how: str  # the pairs in words: "In 5-fold cross-validation"
    broken: tuple[tuple[str, str], ...]  # path, reason: found on decoding


def sources_of(
    host: Backbone, extra: Backbone | None, sets: Sequence[tuple[str, ...]]
) -> list[Source]:
    """Return who embeds what: the host its own blocks of ``sets``, ``extra`` the classical one."""
    wanted = list(dict.fromkeys(block for blocks in sets for block in blocks))
    sources = [Source(host, {block: block for block in wanted if block != CLASSICAL})]
    if extra is not None:  # the baseline reads it whatever the head may read
        sources.append(Source(extra, {CLASSICAL: LAST}))
    return sources


def rows_of(
    prepared: Prepared, settings: FitSettings, listener: Listener, sources: list[Source]
) -> Rows:
    """Return the rows to learn from with their features.

    They stand in the order of their hashes: sums of floats depend on the order of their terms,
    and neither a file's name nor its place may change a bit of the model.
    """
    table = prepared.manifest.table
    ids, labels = table["sha256"].to_list(), table["labels"].to_list()
    both = np.concatenate([prepared.split.train, prepared.split.val]).tolist()
    used = np.array(sorted(both, key=lambda row: (ids[row], labels[row])), dtype=np.int64)
    manifest = prepared.manifest.rows(used)
    found, broken = features(
        sources,
        [manifest.file(path) for path in manifest.paths],
        manifest.table["sha256"].to_list(),
        batches=stream,
        listener=listener,
        store=FeatureStore(listener=listener),
    )
    named = tuple(sorted((manifest.paths[row], reason) for row, reason in broken))
    broken_check(
        [Finding(kind="broken", path=path, message=reason) for path, reason in named],
        len(prepared.manifest),
        strict=settings.prepare.strict,
        max_broken=settings.prepare.max_broken,
    )
    for path, reason in named:
        listener.say(f"{path} is left out: {reason}")
    is_val_N = np.isin(used[found.rows], prepared.split.val)
    manifest = manifest.rows(found.rows)
    units = join(manifest.table["sha256"].to_list(), manifest.table["group"].to_list())
    labels_N = manifest.label_indices
    train = np.flatnonzero(~is_val_N)
    pairs, how = _pairs(labels_N, units, train, np.flatnonzero(is_val_N), settings)
    return Rows(
        prepared=prepared,
        manifest=manifest,
        features=found,
        labels_N=labels_N,
        units=units,
        train=train,
        pairs=pairs,
        how=how,
        broken=named,
    )


def _pairs(
    labels_N: NDArray[np.int64],
    units: Units,
    train: NDArray[np.int64],
    val: NDArray[np.int64],
    settings: FitSettings,
) -> tuple[tuple[tuple[NDArray[np.int64], NDArray[np.int64]], ...], str]:
    """Return (rows to fit on, rows held out): the val part where one was given, else folds."""
    if len(val):
        return ((train, val),), "On the val part,"
    count = min(settings.probe.folds_of(len(labels_N)), len(units))
    if count < 2:
        raise BadData(
            "All pictures to train on are one group.",
            hint="At least two groups are needed to choose by cross-validation.",
        )
    fold_N = folds(labels_N, units, k=count, seed=settings.prepare.seed)
    pairs = tuple((np.flatnonzero(fold_N != k), np.flatnonzero(fold_N == k)) for k in range(count))
    whole = ", whole groups in a fold" if len(units) < len(labels_N) else ""
    return pairs, f"In {count}-fold cross-validation{whole},"


def proof_rows(rows: Rows) -> list[int]:
    """Return rows spread over the classes: the least hash of each in turn, until enough."""
    turns: Counter[int] = Counter()
    order = []
    for row in rows.train.tolist():  # by hash already
        turns[int(rows.labels_N[row])] += 1
        order.append((turns[int(rows.labels_N[row])], row))
    return [row for _, row in sorted(order)[:PROOF]]


def files_of(rows: Rows) -> list[Path]:
    """Return the file of every row."""
    return [rows.manifest.file(path) for path in rows.manifest.paths]


def pixels_of(rows: Rows, chosen: Sequence[int], preprocess: Preprocess) -> NDArray[np.uint8]:
    """Return chosen rows' pictures (N, size, size, 3) as a network sees them in use."""
    files = files_of(rows)
    return np.concatenate(
        [batch.pixels for batch in stream([files[row] for row in chosen], preprocess)]
    )

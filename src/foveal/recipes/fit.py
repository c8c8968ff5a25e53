"""Fit: features once, the choice by cross-validation, the head, its temperature, a baseline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from foveal.backbone.catalog import default_backbone, pick
from foveal.backbone.classical import classical
from foveal.backbone.settings import BackboneSettings
from foveal.backbone.spec import LAST, Backbone
from foveal.core.errors import BadData
from foveal.core.listener import Listener
from foveal.data.finding import Finding
from foveal.data.manifest import Manifest
from foveal.data.scan import broken_check
from foveal.data.split import folds
from foveal.data.units import Units, join
from foveal.evaluate.interval import Interval
from foveal.evaluate.intervals import affordable, draw, percentile, wilson
from foveal.evaluate.metrics import by_class, probabilities, shares
from foveal.image.stream import stream
from foveal.model.classifier import CLASSICAL, Classifier
from foveal.model.feature_store import FeatureStore
from foveal.model.features import Features, Source, features
from foveal.model.linear import LinearHead, softmax
from foveal.model.predictions import Predictions
from foveal.recipes.clock import Clock
from foveal.recipes.orders import AUTO, FitSettings
from foveal.recipes.prepare import Prepared, prepare
from foveal.train.head.choice import Choice, candidates, choose
from foveal.train.head.heads import HEADS
from foveal.train.head.temperature import temperature

PROMISED = ("top1", "log_loss", "balanced_accuracy")
RESAMPLES = 500  # of the promise
PROOF = 16  # pictures that go both ways at saving, file to answer
REFERENCES = 4  # of them are kept in the bundle
ENOUGH = 500  # held-out pictures to find the baseline's strength and temperature by


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """What is learnt from: the readable rows of the train and val parts, with their features."""

    manifest: Manifest  # of these rows alone
    features: Features
    labels_N: NDArray[np.int64]
    units: Units
    train: NDArray[np.int64]  # rows that heads are fitted on
    pairs: tuple[tuple[NDArray[np.int64], NDArray[np.int64]], ...]  # (fitted on, held out)
    how: str  # the pairs in words: "In 5-fold cross-validation"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fitted:
    """A classifier and everything that is known about how it came to be."""

    classifier: Classifier
    prepared: Prepared
    settings: FitSettings
    choice: Choice
    how: str
    promised: dict[str, Interval]
    baseline: LinearHead | None  # over the classical block; None where that is the host
    proof: tuple[tuple[Path, ...], NDArray[np.float32]]  # files and their logits
    broken: tuple[tuple[str, str], ...]  # path, reason: found on decoding
    clock: Clock


def fit_classifier(
    data: Manifest, settings: FitSettings, listener: Listener, clock: Clock
) -> Fitted:
    """Return the classifier that cross-validation, or the val part, prefers.

    Args:
        data: labelled, one class a picture.
        settings: every choice that is not the data's.
        listener: hears what was assumed, left out and chosen.
        clock: counts the seconds of each stage.

    Raises:
        BadData: where there is nothing to learn from.
        FovealError: from reading, from the backbone; see there.
    """
    with clock("backbone"):
        host = pick(_named(settings.backbone, listener), listener)
        own = host.spec.name == CLASSICAL
        extra = None if own else classical(host.spec.preprocess)
    with clock("reading files"):
        prepared = prepare(data, settings.prepare, listener)
    sets = candidates(host.spec, settings.probe.features)
    with clock("features"):
        rows, broken = _rows(prepared, settings, listener, _sources(host, extra, sets))
    with clock("choice"):
        choice = choose(
            rows.features.blocks,
            sets,
            rows.labels_N,
            len(prepared.manifest.classes),
            rows.pairs,
            rows.units.of_N,
            settings=settings.probe,
            listener=listener,
        )
    best = choice.chosen
    listener.say(
        f"{rows.how} log loss prefers {best.head} over {' + '.join(best.blocks)}, "
        f"strength {best.strength:.2g}."
    )
    with clock("final fit"):
        cool = temperature(choice.logits, rows.labels_N[choice.rows])
        head = _final(rows, prepared, choice, settings).cooled(cool)
    with clock("baseline"):
        baseline = None if own else _baseline(rows, prepared, settings, listener)
    blocks = choice.chosen.blocks
    joined = rows.features.joined(blocks)
    classifier = Classifier(
        host=host,
        classical=extra if CLASSICAL in blocks else None,
        blocks=blocks,
        head=head,
        centre_D=joined[rows.train].mean(axis=0, dtype=np.float64).astype(np.float32),
        classes=prepared.manifest.classes,
        temperature=cool,
    )
    with clock("promise"):
        promised = _promise(rows, choice, cool, prepared)
    shown = _proof_rows(rows)
    files = tuple(rows.manifest.file(rows.manifest.paths[row]).absolute() for row in shown)
    return Fitted(
        classifier=classifier,
        prepared=prepared,
        settings=settings,
        choice=choice,
        how=rows.how,
        promised=promised,
        baseline=baseline,
        proof=(files, head.logits(joined[shown])),
        broken=broken,
        clock=clock,
    )


def _named(settings: BackboneSettings, listener: Listener) -> BackboneSettings:
    """Return the settings with the default backbone in place of "auto"."""
    if settings.backbone != AUTO:
        return settings
    name, why = default_backbone()
    listener.say(why)
    return replace(settings, backbone=name)


def _sources(
    host: Backbone, extra: Backbone | None, sets: Sequence[tuple[str, ...]]
) -> list[Source]:
    wanted = list(dict.fromkeys(block for blocks in sets for block in blocks))
    sources = [Source(host, {block: block for block in wanted if block != CLASSICAL})]
    if extra is not None:  # the baseline reads it whatever the head may read
        sources.append(Source(extra, {CLASSICAL: LAST}))
    return sources


def _rows(
    prepared: Prepared, settings: FitSettings, listener: Listener, sources: list[Source]
) -> tuple[Rows, tuple[tuple[str, str], ...]]:
    """Return the rows to learn from with their features, and what broke on decoding.

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
        manifest=manifest,
        features=found,
        labels_N=labels_N,
        units=units,
        train=train,
        pairs=pairs,
        how=how,
    ), named


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


def _final(rows: Rows, prepared: Prepared, choice: Choice, settings: FitSettings) -> LinearHead:
    """Fit the chosen head exactly, on every picture of the train part."""
    joined = rows.features.joined(choice.chosen.blocks)
    return HEADS.pick(choice.chosen.head).fit(
        joined[rows.train],
        rows.labels_N[rows.train],
        len(prepared.manifest.classes),
        strength=choice.chosen.strength,
        class_weights=settings.probe.class_weights,
    )


def _baseline(
    rows: Rows, prepared: Prepared, settings: FitSettings, listener: Listener
) -> LinearHead:
    """Return what a probe on the classical block alone makes of the same pictures.

    Its strength is found on the first folds that hold out enough, not on all of them: it is
    there to be compared with, and promises nothing.
    """
    held = np.cumsum([len(held) for _, held in rows.pairs])
    first = int(np.searchsorted(held, ENOUGH)) + 1
    choice = choose(
        {CLASSICAL: rows.features.blocks[CLASSICAL]},
        [(CLASSICAL,)],
        rows.labels_N,
        len(prepared.manifest.classes),
        rows.pairs[:first],
        rows.units.of_N,
        settings=settings.probe,
        listener=listener,
    )
    cool = temperature(choice.logits, rows.labels_N[choice.rows])
    return _final(rows, prepared, choice, settings).cooled(cool)


def _promise(rows: Rows, choice: Choice, cool: float, prepared: Prepared) -> dict[str, Interval]:
    """Return what the held-out rows say of the chosen head, with intervals."""
    paths, ids = rows.manifest.paths, rows.manifest.table["sha256"].to_list()
    grouped = len(rows.units) < len(rows.labels_N)  # copies of a picture are a group too
    held = choice.rows.tolist()
    predictions = Predictions(
        probabilities=softmax(choice.logits / cool),
        labels=rows.labels_N[choice.rows],
        classes=prepared.manifest.classes,
        paths=tuple(paths[row] for row in held),
        ids=tuple(ids[row] for row in held),
        groups=tuple(str(rows.units.of_N[row]) for row in held) if grouped else None,
    )
    weights_RN = draw(predictions, resamples=affordable(len(held), RESAMPLES), seed=0)
    found = {
        name: percentile(values_R)
        for evaluator in (shares, by_class, probabilities)
        for name, values_R in evaluator(predictions, weights_RN)
        if name in PROMISED
    }
    if not grouped:
        found["top1"] = wilson(float(found["top1"].value or 0), len(held))
    return found


def _proof_rows(rows: Rows) -> list[int]:
    """Return rows spread over the classes: the least hash of each in turn, until enough."""
    turns: Counter[int] = Counter()
    order = []
    for row in rows.train.tolist():  # by hash already
        turns[int(rows.labels_N[row])] += 1
        order.append((turns[int(rows.labels_N[row])], row))
    return [row for _, row in sorted(order)[:PROOF]]

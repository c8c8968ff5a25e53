"""The choice by cross-validation: which head, which blocks, how strongly regularised.

Judged by out-of-fold log loss. Each candidate stands at its own best strength; of those whose
loss lies within one standard error of the least, paired, the simplest is taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foveal.backbone.spec import LAST, BackboneSpec
from foveal.core.errors import OutOfRange, UnknownName
from foveal.core.listener import SILENT, Listener
from foveal.model.classifier import CLASSICAL
from foveal.train.head.folds import Folds, Pairs, Rows
from foveal.train.head.heads import HEADS
from foveal.train.head.settings import AUTO, ProbeSettings
from foveal.train.head.trials import Field, Trial

_NEAR = 3  # strengths tried on all images: the sample's best and its neighbours


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceRow:
    """How one candidate fared, at its best strength."""

    head: str
    blocks: tuple[str, ...]
    strength: float
    log_loss: float  # out of fold, nats
    standard_error: float  # of the log loss, over units
    accuracy: float  # out of fold, in [0, 1]; weighted as the loss is
    chosen: bool


@dataclass(frozen=True, slots=True)
class Behind:
    """How much more a candidate lost than the best one, image by image."""

    log_loss: float  # mean difference, nats; 0 for the best itself
    standard_error: float  # of that difference, over units


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Choice:
    """What was chosen, why, and what it answered to the images it was not fitted on."""

    chosen: ChoiceRow  # on all images
    rows_table: tuple[ChoiceRow, ...]  # every candidate, simplest first
    behind: tuple[Behind, ...]  # of each row of the table
    curves: tuple[tuple[tuple[float, float], ...], ...]  # its (strength, log loss), all tried
    judged_on: int  # held-out images behind the table: fewer than ``rows`` where sampled
    rows: Rows  # (M,): rows that were held out, of a class that could be known
    logits: NDArray[np.float32]  # (M, K): the chosen candidate's answers to them


def candidates(spec: BackboneSpec, features: str = AUTO) -> tuple[tuple[str, ...], ...]:
    """Return the sets of blocks that are worth comparing, simplest first.

    Args:
        spec: of the backbone whose blocks are read.
        features: "auto"; "last"; or blocks by name, "last,stage3/mean".

    Returns:
        For "auto": the last features; with the means of all stages; with mean and 2×2 of the
        next-to-last stage; then the three again with ``classical``. A stage whose mean is the
        last features once more is left out.

    Raises:
        UnknownName: for a block that the backbone does not have.
        OutOfRange: for a block that is named twice.

    Source:
        Evci et al., "Head2Toe: Utilizing Intermediate Representations for Better Transfer
        Learning", ICML 2022.
    """
    extra = () if spec.name == CLASSICAL else (CLASSICAL,)
    if features != AUTO:
        known = (*spec.widths(), *extra)
        blocks = tuple(name.strip() for name in features.split(","))
        for block in blocks:
            if block not in known:
                raise UnknownName("block", block, known)
            if blocks.count(block) > 1:
                raise OutOfRange("features", features, f"the block {block!r} once")
        return (blocks,)
    plain: list[tuple[str, ...]] = [(LAST,)]
    if means := [
        stage.mean
        for stage in spec.stages
        if not (
            spec.last_is_mean and (stage.channels, stage.grid) == (spec.features, spec.last_grid)
        )
    ]:
        plain.append((LAST, *means))
    if len(spec.stages) > 1:
        near = spec.stages[-2]
        plain.append((LAST, near.mean, near.quarters))
    return (*plain, *((*blocks, *extra) for blocks in plain if extra))


def choose(  # noqa: PLR0913 — the first six say what the data are, two how to look at them
    blocks: Mapping[str, NDArray[np.float32]],
    candidates: Sequence[tuple[str, ...]],
    labels_N: NDArray[np.int64],
    n_classes: int,
    pairs: Pairs,
    units_N: NDArray[np.int64],
    *,
    settings: ProbeSettings | None = None,
    listener: Listener = SILENT,
) -> Choice:
    """Choose head, blocks and strength by out-of-fold log loss.

    Of more than ``settings.choice_rows`` images, a sample compares the candidates: whole units,
    every class by its share. The winner then finds its strength on all images, among the
    sample's best and its neighbours.

    Args:
        blocks: name -> (N, D) float32.
        candidates: sets of blocks, simplest first; each is tried with each head.
        labels_N: class of every image, in [0, n_classes).
        n_classes: K.
        pairs: (rows to fit on, rows held out): of k folds, or one with a validation part.
        units_N: images with one number belong together (a group): standard errors are over
            units, and none may be on both sides of a pair.
        settings: heads, class weights and the size of the sample.
        listener: hears every fit.

    Raises:
        BadData: if no held-out image is of a class that its fit side knows.
        OutOfRange: if pairs, labels and units do not fit each other.
        UnknownName: for a candidate with a block that there is not.
    """
    settings = ProbeSettings() if settings is None else settings
    wanted = dict.fromkeys(block for names in candidates for block in names)
    for name in wanted:
        if name not in blocks:
            raise UnknownName("block", name, blocks)
    folds = Folds(labels=labels_N, classes=n_classes, pairs=tuple(pairs), units=units_N)
    rows = folds.sample(settings.choice_rows)
    sampled = len(rows) < len(folds.used)
    few = folds.among(rows) if sampled else folds
    field = Field(
        {name: blocks[name][rows] if sampled else blocks[name] for name in wanted},
        few,
        settings.class_weights,
    )
    tried = {head: HEADS.pick(head).strengths for head in settings.heads()}
    more = _NEAR * len(folds.answerable()) if sampled else 0
    fits = len(candidates) * len(few.answerable()) * sum(map(len, tried.values()))
    told = _Count(listener, fits + more)
    trials = [
        field.trial(head, names, strengths, told)
        for names in candidates
        for head, strengths in tried.items()
    ]
    best = min(trials, key=lambda trial: trial.log_loss)
    behind = [trial.behind(best) for trial in trials]
    number = next(n for n, (mean, error) in enumerate(behind) if mean <= error)
    winner = trials[number]
    if sampled:
        strengths = tried[winner.head]
        first = min(max(winner.best - 1, 0), len(strengths) - _NEAR)
        near = strengths[first : first + _NEAR]
        everywhere = Field(blocks, folds, settings.class_weights)
        winner = everywhere.trial(winner.head, winner.blocks, near, told)
    chosen = _row(winner, chosen=True)
    return Choice(
        chosen=chosen,
        rows_table=tuple(_row(trial, chosen=n == number) for n, trial in enumerate(trials)),
        behind=tuple(Behind(mean, error) for mean, error in behind),
        curves=tuple(trial.curve for trial in trials),
        judged_on=len(best.rows),
        rows=winner.rows,
        logits=winner.logits,
    )


def _row(trial: Trial, *, chosen: bool) -> ChoiceRow:
    return ChoiceRow(
        head=trial.head,
        blocks=trial.blocks,
        strength=trial.strength,
        log_loss=trial.log_loss,
        standard_error=trial.standard_error,
        accuracy=trial.accuracy,
        chosen=chosen,
    )


class _Count:
    """Tells a listener, over all trials, how many fits are done."""

    def __init__(self, listener: Listener, total: int) -> None:
        self._listener, self._done, self._total = listener, 0, total
        listener.progress("choice", 0, total, "fits")

    def __call__(self, fits: int) -> None:
        self._done += fits
        self._listener.progress("choice", self._done, self._total, "fits")

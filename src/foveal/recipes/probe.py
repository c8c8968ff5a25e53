"""The strategy "probe": the network stays frozen; cross-validation chooses what a head reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from foveal.backbone.classical import classical
from foveal.backbone.spec import Backbone
from foveal.core.listener import Listener
from foveal.model.classifier import CLASSICAL, Classifier
from foveal.model.linear import LinearHead, softmax
from foveal.recipes.fitted import Fitted
from foveal.recipes.orders import FitSettings
from foveal.recipes.prepare import Prepared
from foveal.recipes.promise import held_out, promise_of
from foveal.recipes.rows import Rows, proof_rows, rows_of, sources_of
from foveal.recipes.task import Task
from foveal.train.head.choice import Choice, candidates, choose
from foveal.train.head.heads import HEADS
from foveal.train.head.temperature import temperature

ENOUGH = 500  # held-out pictures to find the baseline's strength and temperature by


def probe(task: Task) -> Fitted:
    """Return the classifier on a frozen network that held-out pictures prefer.

    Raises:
        BadData: where there are too few groups to choose by.
    """
    sets = candidates(task.host.spec, task.settings.probe.features)
    return probe_on(rows_for(task, task.prepared, sets), sets, task)


def rows_for(task: Task, prepared: Prepared, sets: Sequence[tuple[str, ...]]) -> Rows:
    """Return the rows of ``prepared`` with every block of ``sets``, and the classical one."""
    sources = sources_of(task.host, _extra(task.host), sets)
    with task.clock("features"):
        return rows_of(prepared, task.settings, task.listener, sources)


def probe_on(rows: Rows, sets: Sequence[tuple[str, ...]], task: Task) -> Fitted:
    """Return the classifier on a frozen network that the held-out rows prefer."""
    host, settings, listener, clock = task.host, task.settings, task.listener, task.clock
    prepared, extra = rows.prepared, _extra(task.host)
    with clock("choice"):
        choice = chosen(rows, sets, settings, listener)
    best = choice.chosen
    listener.say(
        f"{rows.how} log loss prefers a head that reads {' + '.join(best.blocks)} "
        f"({best.head}, strength {best.strength:.2g})."
    )
    with clock("final fit"):
        cool = temperature(choice.logits, rows.labels_N[choice.rows])
        head = final_head(rows, choice, settings).cooled(cool)
    with clock("baseline"):
        baseline = None if extra is None else baseline_of(rows, settings, listener)
    joined = rows.features.joined(best.blocks)
    classifier = Classifier(
        host=host,
        classical=extra if CLASSICAL in best.blocks else None,
        blocks=best.blocks,
        head=head,
        centre_D=joined[rows.train].mean(axis=0, dtype=np.float64).astype(np.float32),
        classes=prepared.manifest.classes,
        temperature=cool,
    )
    with clock("promise"):
        answers = held_out(rows, choice.rows, softmax(choice.logits / cool))
        promise = promise_of(answers, rows.how)
    shown = proof_rows(rows)
    files = tuple(rows.manifest.file(rows.manifest.paths[row]).absolute() for row in shown)
    return Fitted(
        classifier=classifier,
        prepared=prepared,
        settings=settings,
        story=_story(choice),
        promise=promise,
        baseline=baseline,
        proof=(files, head.logits(joined[shown])),
        broken=rows.broken,
        clock=clock,
    )


def _extra(host: Backbone) -> Backbone | None:
    """Return who embeds the classical block; None where that is the host itself."""
    return None if host.spec.name == CLASSICAL else classical(host.spec.preprocess)


def chosen(
    rows: Rows, sets: Sequence[tuple[str, ...]], settings: FitSettings, listener: Listener
) -> Choice:
    """Return the head, blocks and strength that the held-out rows prefer."""
    return choose(
        rows.features.blocks,
        sets,
        rows.labels_N,
        len(rows.prepared.manifest.classes),
        rows.pairs,
        rows.units.of_N,
        settings=settings.probe,
        listener=listener,
    )


def final_head(rows: Rows, choice: Choice, settings: FitSettings) -> LinearHead:
    """Fit the chosen head exactly, on every picture of the train part."""
    joined = rows.features.joined(choice.chosen.blocks)
    return HEADS.pick(choice.chosen.head).fit(
        joined[rows.train],
        rows.labels_N[rows.train],
        len(rows.prepared.manifest.classes),
        strength=choice.chosen.strength,
        class_weights=settings.probe.class_weights,
    )


def baseline_of(rows: Rows, settings: FitSettings, listener: Listener) -> LinearHead:
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
        len(rows.prepared.manifest.classes),
        rows.pairs[:first],
        rows.units.of_N,
        settings=settings.probe,
        listener=listener,
    )
    cool = temperature(choice.logits, rows.labels_N[choice.rows])
    return final_head(rows, choice, settings).cooled(cool)


def _story(choice: Choice) -> dict[str, Any]:
    return {
        "head": choice.chosen.head,
        "strength": choice.chosen.strength,
        "choice": [asdict(row) for row in choice.rows_table],
    }

"""Schooling: a network, however it begins, is trained on the rows and becomes a classifier."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from foveal.backbone.catalog import not_installed
from foveal.backbone.spec import LAST
from foveal.core.duration import parse_duration
from foveal.core.errors import MissingExtra
from foveal.core.settings import to_mapping
from foveal.core.words import number_of
from foveal.model import parts
from foveal.model.classifier import Classifier
from foveal.model.linear import LinearHead, softmax
from foveal.recipes.fitted import Fitted
from foveal.recipes.promise import held_out, promise_of
from foveal.recipes.rows import files_of, pixels_of, proof_rows
from foveal.recipes.task import Task
from foveal.recipes.training.begun import Begun, no_gain, start_of
from foveal.recipes.training.diary import Diary, course_of
from foveal.recipes.training.tracking import trackers
from foveal.train.head.temperature import temperature

if TYPE_CHECKING:
    from foveal.train.network.forecast import Forecast
    from foveal.train.network.machine import Machine
    from foveal.train.network.planning import Lesson
    from foveal.train.network.run import Network, Plan, Trained

MEASURED = 20  # steps that a forecast is made from; fewer where the training is short
CENTRE = 512  # pictures that the mean of the features is taken over, for heat maps
NO_GAIN = "None was better than the network as it was, with the probe's head: none is kept."
HOW = "On the val part, which also chose the epoch,"
_NOT_THE_RUN = ("workers", "device", "track", "budget")  # what may differ when a run is resumed


@contextmanager
def machine_of(task: Task) -> Iterator[Machine]:
    """Yield what the network is trained on, joined with other ranks where there are some.

    Raises:
        MissingExtra: in a base install.
        UnknownName: for a policy, loss, optimiser or tracker that is none.
        NotThere: for a device that is not there.
    """
    if not_installed():
        raise MissingExtra("Training a network", "train")
    from foveal.train.network.allocator import keep_freed_memory
    from foveal.train.network.machine import machine
    from foveal.train.network.planning import check_names

    check_names(task.settings.train)
    trackers(task.settings.train.track, Path())
    keep_freed_memory()
    with machine(task.settings.train.device, task.settings.train.precision) as here:
        yield here


def schooled(task: Task, begun: Begun, here: Machine) -> Fitted:
    """Train a network and return it as a classifier, at the epoch that val preferred.

    Where no epoch is better than what it began from, it is returned as it was, with the probe's
    head, and its story says ``"kept": None`` of the training.

    Args:
        task: settings, and where the state is kept.
        begun: the network.
        here: of this process; in the precision that suits the network, where none was named.
    """
    from foveal.train.network.run import train

    here = here.suited_to(begun.network)
    with ready(task, begun, here) as (learning, whole):
        task, plan = within_budget(task, learning, whole, here)
        start = start_of(begun, learning, plan)
        with task.clock("training"), Diary(task, plan) as diary:
            trained = train(
                learning,
                plan,
                machine=here,
                checkpoints=diary.checkpoints,
                listener=task.listener,
                tell=diary.tell,
            )
    begun.network.eval()  # where only a part of it was trained, by that part's name
    stays = start is not None and no_gain(_best(trained), start.loss)
    if start is not None and stays:
        begun.network.load_state_dict(start.state)
        task.listener.say(
            f"No epoch had less log loss on val than the network as it was, with the probe's head "
            f"({_best(trained):.3f}, {start.loss:.3f}): none is kept."
        )
    with task.clock("graph"):
        return _fitted(task, begun, trained, here, stays=stays)


def _best(trained: Trained) -> float:
    return trained.epochs[trained.kept - 1].scores["log_loss"]


@contextmanager
def ready(task: Task, begun: Begun, here: Machine) -> Iterator[tuple[Network, Plan]]:
    """Yield what is to be trained, and how; inside the block its pictures are there.

    That is the network on its device, or, where stages are frozen, what lies above them, fed
    with what they answered once.
    """
    from foveal.train.network.freezing import freeze_until, keep_statistics
    from foveal.train.network.frozen_once import frozen_once
    from foveal.train.network.planning import plan_of

    wanted, seed = task.settings.train, task.settings.prepare.seed
    network = here.place(begun.network)
    if wanted.freeze_until is not None:
        freeze_until(network, wanted.freeze_until)
    if wanted.norms == "kept":
        keep_statistics(network)
    with task.clock("decoding"):
        lesson = lesson_of(task, begun)
    plan = plan_of(
        lesson,
        wanted,
        seed=seed,
        balanced=task.settings.probe.class_weights == "balanced",
        machine=here,
        listener=task.listener,
        facts=facts_of(task, begun, here),
    )
    with (
        lesson.canvases,
        frozen_once(
            network, plan, lesson, wanted, seed=seed, machine=here, listener=task.listener
        ) as (learning, shorter),
    ):
        yield learning, shorter


def within_budget(task: Task, network: Network, plan: Plan, here: Machine) -> tuple[Task, Plan]:
    """Say what the training will cost, and return it with as many epochs as its budget allows.

    A training that goes on keeps the epochs it was begun with.

    Raises:
        OutOfRange: for a budget that is none, or too small for one epoch.
    """
    from foveal.train.network.forecast import epochs_within
    from foveal.train.network.planning import shortened

    wanted = task.settings.train
    if here.from_leader(task.workplace is not None and task.workplace.worth_keeping):
        return task, plan
    expected = expected_of(task, network, plan, here)
    fits = wanted.epochs
    if wanted.budget is not None:
        fits = min(fits, epochs_within(expected, parse_duration(wanted.budget), plan))
    task.listener.say(expected.sentence())
    if fits < wanted.epochs:
        task.listener.say(f"{fits} of them fit into the budget of {wanted.budget}.")
    train = replace(wanted, epochs=fits, budget=None)
    if task.workplace is not None and here.leads:
        task.workplace.amend_training(to_mapping(train))
    shorter = task.with_settings(replace(task.settings, train=train))
    facts = {**plan.facts, "settings": _settings(shorter)}
    return shorter, shortened(plan, train, facts=facts)


def expected_of(task: Task, network: Network, plan: Plan, here: Machine) -> Forecast:
    """Return what the training will cost, measured on a few of its steps."""
    from foveal.train.network.forecast import forecast

    with task.clock("measuring"):
        steps = min(MEASURED, max(plan.steps // 20, 4))
        return forecast(network, plan, machine=here, steps=steps, listener=task.listener)


def lesson_of(task: Task, begun: Begun) -> Lesson:
    """Return the decoded pictures of train and val."""
    from foveal.train.network.pictures.canvas import canvas_side, canvases
    from foveal.train.network.planning import Lesson

    rows, preprocess = begun.rows, begun.spec.preprocess
    ((train, val),) = rows.pairs
    files = files_of(rows)
    learnt = canvases(
        [files[row] for row in train.tolist()],
        preprocess,
        side_px=canvas_side(preprocess.size_px),
        listener=task.listener,
    )
    judging = canvases(
        [files[row] for row in val.tolist()],
        preprocess,
        side_px=preprocess.size_px,
        crop=preprocess.crop,
        listener=task.listener,
    )
    return Lesson(
        canvases=learnt,
        labels_n=rows.labels_N[train][learnt.rows],
        val_pixels=judging.pixels,
        val_labels_M=rows.labels_N[val][judging.rows],
        classes=len(rows.prepared.manifest.classes),
        preprocess=preprocess,
        score=score,
        called=lambda row: rows.manifest.paths[int(train[row])],
    )


def score(logits_MK: NDArray[np.float32], labels_M: NDArray[np.int64]) -> Mapping[str, float]:
    """Return log loss and share right; the log loss at the best temperature, as it will be used."""
    cool = temperature(logits_MK, labels_M)
    right_M = softmax(logits_MK / cool)[np.arange(len(labels_M)), labels_M]
    return {
        "log_loss": float(-np.log(np.maximum(right_M, 1e-30)).mean()),
        "top1": float((logits_MK.argmax(1) == labels_M).mean()),
    }


def facts_of(task: Task, begun: Begun, here: Machine) -> dict[str, Any]:
    """Return what a resumed run must have in common with the one that was cut off."""
    known = dict(begun.rows.prepared.parts)
    return {
        "settings": _settings(task),
        "data": f"{len(known):,} pictures, {hashlib.sha256(parts.to_text(known)).hexdigest()}",
        "classes": list(begun.rows.prepared.manifest.classes),
        "backbone": begun.spec.fingerprint,
        "precision": here.precision,
    }


def _settings(task: Task) -> dict[str, Any]:
    settings = to_mapping(task.settings)
    settings["train"] = {k: v for k, v in settings["train"].items() if k not in _NOT_THE_RUN}
    return settings


def _fitted(task: Task, begun: Begun, trained: Trained, here: Machine, *, stays: bool) -> Fitted:
    """Return the trained network as a classifier, with everything known of it."""
    from foveal.backbone.torch_trained import backbone_of, head_of
    from foveal.train.network.answers import last_features_of, logits_of
    from foveal.train.network.inputs import Inputs

    network, spec, rows = begun.network, begun.spec, begun.rows
    classes = rows.prepared.manifest.classes
    inputs = Inputs(preprocess=spec.preprocess, classes=len(classes), machine=here)
    ((learnt, val),) = rows.pairs
    shown = proof_rows(rows)
    logits_MK = logits_of(network, pixels_of(rows, val.tolist(), spec.preprocess), inputs)
    proof_NK = logits_of(network, pixels_of(rows, shown, spec.preprocess), inputs)
    some = pixels_of(rows, learnt[:CENTRE].tolist(), spec.preprocess)
    centre_D = last_features_of(network, some, inputs).mean(axis=0, dtype=np.float64)
    cool = temperature(logits_MK, rows.labels_N[val])
    host = backbone_of(network, spec, weights=f"{spec.weights}, trained further on these pictures")
    classifier = Classifier(
        host=host,
        classical=None,
        blocks=(LAST,),
        head=LinearHead(*head_of(network, spec.name)).cooled(cool),
        centre_D=centre_D.astype(np.float32),
        classes=classes,
        temperature=cool,
    )
    with task.clock("promise"):
        promise = promise_of(held_out(rows, val, softmax(logits_MK / cool)), HOW)
    files = files_of(rows)
    training = _training(task, begun, trained, here, stays=stays)
    return Fitted(
        classifier=classifier,
        prepared=rows.prepared,
        settings=task.settings,
        story={"head": "trained with the network", "training": training},
        promise=promise,
        baseline=begun.baseline,
        proof=(tuple(files[row].absolute() for row in shown), proof_NK / np.float32(cool)),
        broken=rows.broken,
        clock=task.clock,
        course=course_of(task, trained, begun.probe, training),
    )


def _training(
    task: Task, begun: Begun, trained: Trained, here: Machine, *, stays: bool
) -> dict[str, Any]:
    """Return what the card says of the training; no times are in it."""
    wanted, judges = task.settings.train, len(begun.rows.pairs[0][1])
    facts = {
        "strategy": wanted.strategy,
        "epochs": len(trained.epochs),
        "kept": None if stays else trained.kept,  # None: the network as it was
        "policy": wanted.policy,
        "optimizer": wanted.optimizer,
        "batch": wanted.batch,
        "precision": here.precision,
        "size_px": begun.spec.preprocess.size_px,
        "frozen_until": wanted.freeze_until,
        "val_images": judges,
    }
    frozen = f", frozen up to {wanted.freeze_until}" if wanted.freeze_until else ""
    sentence = (
        f"{number_of(len(trained.epochs), 'epoch')} of {wanted.optimizer} at {facts['size_px']} "
        f"pixels with the policy {wanted.policy!r}{frozen}, judged on "
        f"{number_of(judges, 'val picture')}."
    )
    if stays:
        sentence += f" {NO_GAIN}"
    return {**facts, "sentence": sentence}

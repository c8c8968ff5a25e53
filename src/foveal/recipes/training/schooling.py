"""Schooling: a network, however it begins, is trained on the rows, as long as its budget allows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from foveal.backbone.catalog import not_installed
from foveal.core.errors import MissingExtra
from foveal.core.settings import to_mapping
from foveal.model import parts
from foveal.model.linear import softmax
from foveal.recipes.requested import NOT_THE_RUN
from foveal.recipes.rows import files_of
from foveal.recipes.task import Task
from foveal.recipes.training.begun import Begun, no_gain, start_of
from foveal.recipes.training.diary import Diary
from foveal.recipes.training.outcome import Outcome
from foveal.recipes.training.tracking import trackers
from foveal.recipes.workplace import Workplace
from foveal.train.head.temperature import temperature

if TYPE_CHECKING:
    from foveal.train.network.forecast import Forecast
    from foveal.train.network.machine import Machine
    from foveal.train.network.planning import Lesson
    from foveal.train.network.run import Network, Plan


@contextmanager
def machine_of(task: Task) -> Iterator[Machine]:
    """Yield what the network is trained on, joined with other ranks where there are some.

    Raises:
        MissingExtra: in a base install.
        UnknownName: for a policy, loss, optimiser or tracker that is none.
        NotThere: for a device that is not there.
        FovealError: where the network shall be compiled, and torch cannot.
    """
    if not_installed():
        raise MissingExtra("Training a network", "train")
    with task.clock("libraries"):
        from foveal.train.network.allocator import keep_freed_memory
        from foveal.train.network.compiling import check_compiles
        from foveal.train.network.machine import machine
        from foveal.train.network.planning import check_names

    check_names(task.settings.train)
    trackers(task.settings.train.track, Path())
    keep_freed_memory()
    with machine(task.settings.train.device, task.settings.train.precision) as here:
        if task.settings.train.compile:
            check_compiles(here.device)
        yield here


def check_stages(network: Network, task: Task) -> None:
    """Refuse a stage that a network does not have, before any work is done.

    Raises:
        UnknownName, OutOfRange: for what ``freeze_until`` cannot be for this network.
    """
    from foveal.train.network.frozen.freezing import stages_until

    if task.settings.train.freeze_until is not None:
        stages_until(network, task.settings.train.freeze_until)


def schooled(task: Task, begun: Begun, here: Machine) -> Outcome:
    """Train a network and return what came of it: the epoch that val preferred.

    Where no epoch is better than what it began from, that is the network as it was, with the
    probe's head.

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
        diary = Diary(task, plan)
        with task.clock("training"), diary.tracking:
            trained = train(
                learning,
                plan,
                machine=here,
                checkpoints=diary.checkpoints,
                listener=task.listener,
                tell=diary.tell,
            )
    begun.network.eval()  # where only a part of it was trained, by that part's name
    best = trained.epochs[trained.kept - 1].scores["log_loss"]
    stays = start is not None and no_gain(best, start.loss)
    if start is not None and stays:
        begun.network.load_state_dict(start.state)
        task.listener.say(
            f"No epoch had less log loss on val ({best:.3f} at best) than the network as it was, "
            f"with the probe's head ({start.loss:.3f}): none is kept."
        )
    return Outcome(task=task, begun=begun, trained=trained, here=here, stays=stays)


@contextmanager
def ready(task: Task, begun: Begun, here: Machine) -> Iterator[tuple[Network, Plan]]:
    """Yield what is to be trained, and how; inside the block its pictures are there.

    That is the network on its device, or, where stages are frozen, what lies above them, fed
    with what they answered once.
    """
    from foveal.train.network.frozen.freezing import freeze_until, keep_statistics
    from foveal.train.network.frozen.once import frozen_once
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
    once = frozen_once(
        network, plan, lesson, wanted, seed=seed, machine=here, listener=task.listener
    )
    with lesson.canvases, ExitStack() as files:
        with task.clock("frozen part") if wanted.freeze_until else nullcontext():
            learning = files.enter_context(once)
        yield learning


def within_budget(task: Task, network: Network, plan: Plan, here: Machine) -> tuple[Task, Plan]:
    """Say what the training will cost, and return it with as many epochs as its budget allows.

    A training that goes on keeps the epochs it was begun with.

    Raises:
        OutOfRange: for a budget that is none, or too small for one epoch.
    """
    from foveal.train.network.forecast import fitting
    from foveal.train.network.planning import shortened

    wanted = task.settings.train
    if here.from_leader(task.workplace is not None and task.workplace.worth_keeping):
        return task, plan
    expected = expected_of(task, network, plan, here)
    fits = fitting(expected, plan, wanted.budget, task.listener).epochs
    train = replace(wanted, epochs=fits, budget=None)
    if task.workplace is not None and here.leads:
        task.workplace.amend_training(to_mapping(train))
    shorter = task.with_settings(replace(task.settings, train=train))
    facts = {**plan.facts, "settings": _settings(shorter)}
    return shorter, shortened(plan, train, facts=facts)


def expected_of(
    task: Task, network: Network, plan: Plan, here: Machine, goes_on: Workplace | None = None
) -> Forecast:
    """Return what the training will cost, measured on a few of its steps.

    Args:
        task: what is to be done.
        network: on its device.
        plan: of its training.
        here: of this process.
        goes_on: where a training was cut off that goes on; what is left of it counts.
    """
    from foveal.train.network.forecast import NOTHING
    from foveal.train.network.measuring import done_before, forecast, worth_measuring
    from foveal.train.network.saving.checkpoint import Checkpoints

    done = NOTHING
    if goes_on is not None:
        kept = Checkpoints(goes_on.checkpoints, listener=task.listener)
        done = done_before(kept, plan, here)
    with task.clock("measuring"):
        return forecast(
            network,
            plan,
            machine=here,
            steps=worth_measuring(plan),
            done=done,
            listener=task.listener,
        )


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
    settings["train"] = {k: v for k, v in settings["train"].items() if k not in NOT_THE_RUN}
    return settings

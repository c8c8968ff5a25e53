"""The frozen part of a network runs once: what lies above is trained alone, by the same plan.

    with frozen_once(network, plan, lesson, settings) as (learning, shorter):
        train(learning, shorter)

Afterwards the network is trained, since ``learning`` shares its parameters.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from torch import nn

from foveal.core.listener import SILENT, Listener
from foveal.train.network.frozen.activations import (
    Activations,
    above_inputs,
    above_logits,
    activation_feed,
    activations,
)
from foveal.train.network.frozen.part import CannotSplit, Split, split
from foveal.train.network.inputs import Inputs
from foveal.train.network.machine import ALONE, Machine
from foveal.train.network.pictures.augment import POLICIES, augmented
from foveal.train.network.pictures.canvas import Canvases
from foveal.train.network.pictures.feed import Batch, FeedSettings
from foveal.train.network.planning import Lesson, feed_settings_of
from foveal.train.network.run import Plan
from foveal.train.network.settings import TrainSettings

Labels = NDArray[np.int64]

VIEWS = 4  # of each picture: epochs take turns with them
STILL = "none"  # the policy without chance


@contextmanager
def frozen_once(
    network: nn.Module,
    plan: Plan,
    lesson: Lesson,
    settings: TrainSettings,
    *,
    seed: int = 0,
    machine: Machine = ALONE,
    listener: Listener = SILENT,
) -> Iterator[tuple[nn.Module, Plan]]:
    """Yield what is left to be trained and a plan for it; inside the block its files exist.

    Where nothing is frozen, or the frozen part has to run every epoch (the network cannot be
    cut there, the policy mixes the pictures of a batch), they are the network and the plan
    as they are. Which it is depends on the network and the settings alone, so that a run goes
    on as it began.

    Args:
        network: on the machine's device, frozen by ``freeze_until``.
        plan: of its training, by ``plan_of``.
        lesson: what the plan was made of.
        settings: what the plan was made of.
        seed: what the plan was made of.
        machine: of this process.
        listener: hears what is kept, and why nothing is.

    Raises:
        DiskFull: if the activations fit neither into memory nor onto the disk.
    """
    stage, learning = settings.freeze_until, (network, plan)
    with ExitStack() as files:
        if stage is not None and POLICIES.pick(settings.policy).mixes:
            listener.say(
                f"The policy {settings.policy!r} mixes the pictures of a batch: the frozen part "
                "has to run every epoch."
            )
        elif stage is not None:
            try:
                cut = split(network, stage, size_px=lesson.preprocess.size_px)
                order = feed_settings_of(settings, seed=seed, machine=machine)
                learnt, judged = _computed(cut, lesson, settings, order, machine, listener)
                files.enter_context(learnt)
                files.enter_context(judged)
                learning = cut.above, _plan_above(plan, lesson, order, learnt, judged, machine)
            except CannotSplit as refused:
                listener.say(str(refused))
        yield learning


def _computed(
    cut: Split,
    lesson: Lesson,
    settings: TrainSettings,
    order: FeedSettings,
    machine: Machine,
    listener: Listener,
) -> tuple[Activations, Activations]:
    """Return the activations of the pictures to learn from, and of those that judge."""
    inputs = Inputs(preprocess=lesson.preprocess, classes=lesson.classes, machine=machine)
    val = Canvases(lesson.val_pixels, np.arange(len(lesson.val_pixels)))

    def compute(canvases: Canvases, labels_n: Labels, policy: str, views: int) -> Activations:
        change = partial(augmented, POLICIES.pick(policy).make(lesson.preprocess.size_px))
        return activations(
            cut, canvases, labels_n, change, order, inputs=inputs, views=views, listener=listener
        )

    views = 1 if settings.policy == STILL else min(VIEWS, settings.epochs)
    return (
        compute(lesson.canvases, lesson.labels_n, settings.policy, views),
        compute(val, lesson.val_labels_M, STILL, 1),
    )


def _plan_above(
    plan: Plan,
    lesson: Lesson,
    order: FeedSettings,
    learnt: Activations,
    judged: Activations,
    machine: Machine,
) -> Plan:
    """Return the plan with activations in the place of pictures."""

    def batches(first_step: int) -> Iterator[Batch]:
        return activation_feed(
            learnt, lesson.labels_n, order, steps=plan.steps, first_step=first_step
        )

    def judge(above: nn.Module) -> Mapping[str, float]:
        return lesson.score(above_logits(above, judged, machine), lesson.val_labels_M)

    prepare = partial(above_inputs, machine=machine)
    return replace(plan, batches=batches, prepare=prepare, judge=judge)

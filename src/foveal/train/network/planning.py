"""From pictures and settings to the plan of a run: here the parts of training meet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from foveal.core.listener import SILENT, Listener
from foveal.image.preprocess import Preprocess
from foveal.train.network.answers import logits_of
from foveal.train.network.inputs import Inputs
from foveal.train.network.loop import StepSettings
from foveal.train.network.losses import LOSSES, LossSettings
from foveal.train.network.machine import ALONE, Machine
from foveal.train.network.optimizers import OPTIMIZERS, groups_of
from foveal.train.network.pictures.augment import POLICIES, augmented
from foveal.train.network.pictures.canvas import Canvases
from foveal.train.network.pictures.feed import Batch, FeedSettings, feed
from foveal.train.network.pictures.order import steps_per_epoch
from foveal.train.network.run import Plan
from foveal.train.network.schedule import warmup_cosine
from foveal.train.network.settings import TrainSettings

Score = Callable[[NDArray[np.float32], NDArray[np.int64]], Mapping[str, float]]
"""(logits (M, K), labels (M,)) -> scores by name, ``log_loss`` among them."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lesson:
    """The pictures to learn from, and those that judge."""

    canvases: Canvases  # n pictures, a little larger than the network's input
    labels_n: NDArray[np.int64]
    val_pixels: NDArray[np.uint8]  # (M, size, size, 3), as the network will see them in use
    val_labels_M: NDArray[np.int64]
    classes: int  # K
    preprocess: Preprocess
    score: Score  # what val's logits are worth
    called: Callable[[int], str]  # the name of a canvas's row


def check_names(settings: TrainSettings) -> None:
    """Refuse names that no table holds, before any work is done.

    Raises:
        UnknownName: with the nearest name there is.
    """
    POLICIES.pick(settings.policy)
    LOSSES.pick(settings.loss)
    OPTIMIZERS.pick(settings.optimizer)


def plan_of(
    lesson: Lesson,
    settings: TrainSettings,
    *,
    seed: int = 0,
    balanced: bool = False,
    machine: Machine = ALONE,
    listener: Listener = SILENT,
    facts: Mapping[str, Any] | None = None,
) -> Plan:
    """Return the plan of a run over ``lesson``.

    Args:
        lesson: the pictures; its canvases stay open as long as the plan is used.
        settings: see there.
        seed: of order, augmentation, mixing and dropout.
        balanced: whether rare classes weigh as much as common ones in the loss.
        machine: of this process.
        listener: hears of a batch that is larger than the set, and of trouble with workers.
        facts: what a resumed run must have in common with this one.

    Raises:
        UnknownName: for a policy, loss or optimiser that is none.
    """
    policy, loss = POLICIES.pick(settings.policy), LOSSES.pick(settings.loss)
    make_optimizer = OPTIMIZERS.pick(settings.optimizer)
    inputs = Inputs(
        preprocess=lesson.preprocess,
        classes=lesson.classes,
        mixes=policy.mixes,
        seed=seed,
        machine=machine,
    )
    n = len(lesson.canvases)
    per_epoch = steps_per_epoch(n, batch=settings.batch)
    if settings.batch > n:
        listener.say(
            f"A batch of {settings.batch:,} is more than the {n:,} pictures to learn from: a step "
            f"shows each of them {settings.batch / n:.1f} times."
        )
    total = per_epoch * settings.epochs

    def batches(first_step: int) -> Iterable[Batch]:
        return feed(
            lesson.canvases,
            lesson.labels_n,
            partial(augmented, policy.make(lesson.preprocess.size_px)),
            feed_settings_of(settings, seed=seed, machine=machine),
            steps=total,
            first_step=first_step,
            listener=listener,
        )

    def optimizer(network: nn.Module) -> torch.optim.Optimizer:
        return make_optimizer(
            groups_of(
                network,
                rate=settings.rate,
                head_rate=settings.head_rate,
                layer_decay=settings.decay_by_layer,
                weight_decay=settings.weight_decay,
            )
        )

    return Plan(
        steps=total,
        steps_per_epoch=per_epoch,
        batch=settings.batch,
        batches=batches,
        prepare=inputs,
        optimizer=optimizer,
        loss=loss,
        loss_settings=LossSettings(
            smoothing=settings.smoothing, weights_K=_weights(lesson) if balanced else None
        ),
        rate=_rate(settings, total),
        judge=lambda network: lesson.score(
            logits_of(network, lesson.val_pixels, inputs), lesson.val_labels_M
        ),
        step_settings=StepSettings(clip=settings.clip, micro=settings.micro),
        average=settings.average,
        patience=settings.patience,
        seed=seed,
        compiled=settings.compile,
        facts=facts or {},
        called=lesson.called,
    )


def feed_settings_of(settings: TrainSettings, *, seed: int, machine: Machine) -> FeedSettings:
    """Return what the batches of a run depend on."""
    return FeedSettings(
        batch=settings.batch,
        seed=seed,
        sampling=cast(Literal["natural", "balanced"], settings.sampling),
        rank=machine.rank,
        ranks=machine.ranks,
        workers=settings.workers,
    )


def shortened(plan: Plan, settings: TrainSettings, *, facts: Mapping[str, Any]) -> Plan:
    """Return a plan of fewer epochs, those of ``settings``: its rate ends with it."""
    total = plan.steps_per_epoch * settings.epochs
    return replace(plan, steps=total, rate=_rate(settings, total), facts=facts)


def _rate(settings: TrainSettings, total: int) -> Callable[[int], float]:
    return partial(warmup_cosine, total=total, warmup=int(settings.warmup * total))


def _weights(lesson: Lesson) -> torch.Tensor:
    """Return weights (K,) with which every class counts as much, however few pictures it has."""
    counts_K = np.bincount(lesson.labels_n, minlength=lesson.classes)
    return torch.from_numpy(1 / np.maximum(counts_K, 1)).float()

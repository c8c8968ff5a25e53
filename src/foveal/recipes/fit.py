"""Fit: the strategies by name, and the classifier that the one asked for makes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from foveal.core.listener import Listener
from foveal.core.table import Table
from foveal.data.manifest import Manifest
from foveal.recipes.clock import Clock
from foveal.recipes.fitted import Fitted
from foveal.recipes.orders import AUTO_BUDGET, FitSettings
from foveal.recipes.probe import probe
from foveal.recipes.task import Task
from foveal.recipes.workplace import Workplace

if TYPE_CHECKING:
    from foveal.recipes.training.begun import Begun
    from foveal.train.network.machine import Machine


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """One way from pictures to a classifier."""

    fit: Callable[[Task], Fitted]
    begin: Callable[[Task, Machine], Begun] | None  # the network to be trained; None: none is
    says: str  # one line for people
    budget: str | None = None  # of wall time for the training, where none was named


def _of_torch(module: str, name: str) -> Callable[..., Any]:
    """Return a function of a module that is imported, with torch, when it is called."""

    def call(*arguments: object) -> object:
        return getattr(import_module(f"foveal.recipes.{module}"), name)(*arguments)

    return call


STRATEGIES: Table[Strategy] = Table(
    "strategy",
    {
        "probe": Strategy(fit=probe, begin=None, says="the network stays frozen, a head reads it"),
        "finetune": Strategy(
            fit=_of_torch("training.finetune", "finetune"),
            begin=_of_torch("training.finetune", "begin"),
            says="the head first, then the network with it",
        ),
        "scratch": Strategy(
            fit=_of_torch("training.scratch", "scratch"),
            begin=_of_torch("training.scratch", "begin"),
            says="a network that knows nothing yet",
        ),
        "auto": Strategy(
            fit=_of_torch("training.auto", "auto"),
            begin=_of_torch("training.finetune", "begin"),
            says="the probe, the fine-tuned network or both, as val prefers",
            budget=AUTO_BUDGET,
        ),
    },
)


def fit_classifier(
    data: Manifest,
    settings: FitSettings,
    listener: Listener,
    clock: Clock,
    workplace: Workplace | None = None,
) -> Fitted:
    """Return the classifier that the strategy of ``settings`` makes.

    Args:
        data: labelled, one class a picture.
        settings: every choice that is not the data's.
        listener: hears what was assumed, left out and chosen.
        clock: counts the seconds of each stage.
        workplace: where a training keeps its state; None: nowhere.

    Raises:
        UnknownName: for a strategy that is none.
        BadData: where there is nothing to learn from.
        FovealError: from reading, from the backbone, see there.
    """
    strategy = STRATEGIES.pick(settings.train.strategy)
    return strategy.fit(
        Task(data=data, settings=settings, listener=listener, clock=clock, workplace=workplace)
    )

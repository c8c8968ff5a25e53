"""Fit: the strategies by name, and the classifier that the one asked for makes."""

from __future__ import annotations

from collections.abc import Callable

from foveal.core.listener import Listener
from foveal.core.table import Table
from foveal.data.manifest import Manifest
from foveal.recipes.clock import Clock
from foveal.recipes.fitted import Fitted
from foveal.recipes.orders import FitSettings
from foveal.recipes.probe import probe
from foveal.recipes.task import Task
from foveal.recipes.workplace import Workplace

Strategy = Callable[[Task], Fitted]


def _finetune(task: Task) -> Fitted:
    from foveal.recipes.finetune import finetune  # torch: only where a network is trained

    return finetune(task)


STRATEGIES: Table[Strategy] = Table(
    "strategy",
    {
        "probe": probe,
        "finetune": _finetune,
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
    return strategy(
        Task(data=data, settings=settings, listener=listener, clock=clock, workplace=workplace)
    )

"""A dry run: everything up to the training, of which a few steps are measured and thrown away."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from foveal.core.errors import BadUsage
from foveal.core.listener import Listener
from foveal.data.readers import read
from foveal.recipes.clock import Clock
from foveal.recipes.fit import STRATEGIES
from foveal.recipes.requested import FitOrder
from foveal.recipes.task import Task
from foveal.recipes.workplace import Workplace

if TYPE_CHECKING:
    from foveal.train.network.forecast import Forecast


def dry_run(order: FitOrder, listener: Listener, goes_on: Workplace | None = None) -> Forecast:
    """Return what the training of a fit will take on this machine; nothing is written.

    Args:
        order: of the fit.
        listener: hears what was assumed, and what fits into a budget.
        goes_on: where a training was cut off that would go on: what is left of it.

    Raises:
        BadUsage: for a strategy that trains no network.
        OutOfRange: for a budget too small for one epoch.
        CannotResume: for settings or data that are not those of the training that goes on.
        FovealError: whatever the fit itself would raise before it trains.
    """
    name = order.fit.train.strategy
    strategy = STRATEGIES.pick(name)
    if (begin := strategy.begin) is None:
        raise BadUsage(
            f"--dry-run forecasts a training, and --strategy {name} trains no network.",
            hint="Name one that does, such as --strategy finetune, or go without --dry-run.",
        )
    from foveal.recipes.training.schooling import expected_of, machine_of, ready
    from foveal.train.network.forecast import fitting

    task = Task(
        data=read(order.data, settings=order.read),
        settings=order.fit,
        listener=listener,
        clock=Clock(),
    )
    with machine_of(task) as machine, ExitStack() as own:
        if goes_on is not None and machine.leads:
            own.enter_context(goes_on.kept_out())
        begun = begin(task, machine)
        here = machine.suited_to(begun.network)
        with ready(task, begun, here) as (network, plan):
            expected = expected_of(task, network, plan, here, goes_on)
            budget = order.fit.train.budget or strategy.budget
            if budget is None or goes_on is not None:
                return expected
            return fitting(expected, plan, budget, listener)

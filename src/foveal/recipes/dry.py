"""A dry run: everything up to the training, of which a few steps are measured and thrown away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from foveal.core.errors import OutOfRange
from foveal.core.listener import Listener
from foveal.data.readers import read
from foveal.recipes.clock import Clock
from foveal.recipes.fit import STRATEGIES
from foveal.recipes.requested import FitOrder
from foveal.recipes.task import Task

if TYPE_CHECKING:
    from foveal.train.network.forecast import Forecast


def dry_run(order: FitOrder, listener: Listener) -> Forecast:
    """Return what the training of a fit will take on this machine; nothing is written.

    Raises:
        OutOfRange: for a strategy that trains no network; a budget too small for one epoch.
        FovealError: whatever the fit itself would raise before it trains.
    """
    name = order.fit.train.strategy
    if (begin := STRATEGIES.pick(name).begin) is None:
        raise OutOfRange("strategy", name, "one that trains a network, to forecast what it costs")
    from foveal.recipes.training.schooling import expected_of, machine_of, ready, within_budget

    task = Task(
        data=read(order.data, settings=order.read),
        settings=order.fit,
        listener=listener,
        clock=Clock(),
    )
    with machine_of(task) as machine:
        begun = begin(task, machine)
        here = machine.suited_to(begun.network)
        with ready(task, begun, here) as (network, whole):
            if order.fit.train.budget is None:
                return expected_of(task, network, whole, here)
            _, plan = within_budget(task, network, whole, here)
            return expected_of(task, network, plan, here)

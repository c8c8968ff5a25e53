"""The strategy "scratch": a network that knows nothing yet, for pictures unlike any other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from foveal.backbone.classical import classical
from foveal.backbone.spec import LAST
from foveal.core.errors import OutOfRange
from foveal.model.classifier import CLASSICAL
from foveal.model.features import Source
from foveal.recipes.fitted import Fitted
from foveal.recipes.holding import with_val
from foveal.recipes.orders import AUTO
from foveal.recipes.probe import baseline_of
from foveal.recipes.rows import rows_of
from foveal.recipes.task import Task
from foveal.recipes.training.begun import Begun
from foveal.recipes.training.schooling import check_stages, machine_of, schooled

if TYPE_CHECKING:
    from foveal.train.network.machine import Machine


def scratch(task: Task) -> Fitted:
    """Return a network trained from chance, at the epoch that val preferred.

    Raises:
        MissingExtra: in a base install.
        UnknownName: for a network that timm does not have.
        OutOfRange: if no network, or weights for it, were named.
        BadData: where there is nothing to learn from, or to choose by.
    """
    with machine_of(task) as here:
        return schooled(task, begin(task, here), here).fitted()


def begin(task: Task, here: Machine) -> Begun:
    """Return the network as chance makes it, the same for the same seed."""
    from foveal.backbone.torch_trained import new_network

    settings, seed = task.settings.backbone, task.settings.prepare.seed
    if settings.backbone == AUTO:
        raise OutOfRange("backbone", AUTO, "the name of a network of timm's to train from scratch")
    if settings.weights is not None:
        raise OutOfRange(
            "weights", str(settings.weights), "nothing: from scratch, or --strategy finetune"
        )
    # Names, arguments and stages are checked before any work is done.
    check_stages(new_network(settings, 2, seed=seed)[0], task)
    with here.leader_first():
        prepared = with_val(
            task.prepared,
            share=task.settings.train.val_share,
            seed=seed,
            listener=task.listener,
        )
        network, spec = new_network(settings, len(prepared.manifest.classes), seed=seed)
        plain = Source(classical(spec.preprocess), {CLASSICAL: LAST})
        with task.clock("features"):
            rows = rows_of(prepared, task.settings, task.listener, [plain])
    with task.clock("baseline"):
        baseline = baseline_of(rows, task.settings, task.listener)
    return Begun(network=network, spec=spec, rows=rows, baseline=baseline)

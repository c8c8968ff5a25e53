"""The strategy "finetune": the head first, on frozen features; then the network with it.

A head that begins at random sends its first, large errors through the whole network and spoils
what it knew. So the probe's comes first, and the network starts from where it stands (LP-FT).

Source:
    Kumar et al., "Fine-Tuning can Distort Pretrained Features and Underperform
    Out-of-Distribution", ICLR 2022.
"""

from __future__ import annotations

from dataclasses import dataclass

from foveal.backbone.spec import LAST
from foveal.model.linear import LinearHead
from foveal.recipes.fitted import Fitted
from foveal.recipes.holding import with_val
from foveal.recipes.probe import chosen, final_head, probe_on, rows_for
from foveal.recipes.rows import Rows
from foveal.recipes.schooling import Begun, machine_of, schooled
from foveal.recipes.task import Task
from foveal.train.head.choice import candidates


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Start:
    """Where fine-tuning starts from: what the frozen network reaches on the same val part."""

    rows: Rows
    probe: Fitted
    head: LinearHead  # over the last features


def finetune(task: Task) -> Fitted:
    """Return the fine-tuned network, at the epoch that val preferred.

    Raises:
        MissingExtra: in a base install.
        BadWeights: for a backbone that is only a graph.
        BadData: where there is nothing to learn from, or to choose by.
    """
    with machine_of(task) as here:
        from foveal.backbone.torch_trained import check_trainable

        check_trainable(task.host)
        with here.leader_first():
            found = start(task)
        return schooled(task, begun_from(found, task), found.rows, here)


def start(task: Task) -> Start:
    """Return the probe on a train part without val, and a head on the last features alone."""
    sets = candidates(task.host.spec, task.settings.probe.features)
    prepared = with_val(
        task.prepared, share=task.settings.train.val_share, seed=task.settings.prepare.seed
    )
    rows = rows_for(task, prepared, [*sets, (LAST,)])
    fitted = probe_on(rows, sets, task)
    with task.clock("choice"):
        choice = chosen(rows, [(LAST,)], task.settings, task.listener)
        head = final_head(rows, choice, task.settings)
    return Start(rows=rows, probe=fitted, head=head)


def begun_from(found: Start, task: Task) -> Begun:
    """Return the network with the probe's head in the place of its classifier."""
    from foveal.backbone.torch_trained import network_of, put_head

    network = network_of(task.host, len(found.rows.prepared.manifest.classes))
    put_head(network, found.head.weights_KD, found.head.bias_K, task.host.spec.name)
    return Begun(network=network, spec=task.host.spec, probe=found.probe)

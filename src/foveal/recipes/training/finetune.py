"""The strategy "finetune": the head first, on frozen features; then the network with it.

A head that begins at random sends its first, large errors through the whole network and spoils
what it knew. So the probe's comes first, and the network starts from where it stands (LP-FT).

Source:
    Kumar et al., "Fine-Tuning can Distort Pretrained Features and Underperform
    Out-of-Distribution", ICLR 2022.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from foveal.backbone.spec import LAST
from foveal.recipes.fitted import Fitted
from foveal.recipes.holding import with_val
from foveal.recipes.probe import chosen, final_head, probe, probe_on, rows_for
from foveal.recipes.task import Task
from foveal.recipes.training.begun import Begun
from foveal.recipes.training.schooling import check_stages, machine_of, schooled
from foveal.train.head.choice import candidates

if TYPE_CHECKING:
    from foveal.train.network.machine import Machine

INSTEAD = "The model is the probe, as the strategy of that name fits it."


def finetune(task: Task) -> Fitted:
    """Return the fine-tuned network, at the epoch that val preferred.

    Where val preferred none, that is the probe: it learns from val's pictures too, unless val is
    a part of the data's own.

    Raises:
        MissingExtra: in a base install.
        BadWeights: for a backbone that is only a graph.
        BadData: where there is nothing to learn from, or to choose by.
    """
    with machine_of(task) as here:
        outcome = schooled(task, begin(task, here), here)
        if not outcome.stays:
            return outcome.fitted()
    frozen = probe(task)
    said = {**outcome.training, "sentence": f"{outcome.training['sentence']} {INSTEAD}"}
    return replace(
        frozen,
        story={**frozen.story, "training": said},
        settings=outcome.task.settings,  # with the epochs that the budget allowed
        course={**outcome.course, "sentence": said["sentence"]},
    )


def begin(task: Task, here: Machine) -> Begun:
    """Return the network with a probe's head in the place of its classifier.

    The probe beside it, over all blocks, is what it is compared with on the same val part.
    """
    with task.clock("libraries"):
        from foveal.backbone.torch_trained import check_trainable, network_of, put_head

    check_trainable(task.host)
    check_stages(network_of(task.host, 2), task)  # a head that cannot be replaced is said here too
    sets = candidates(task.host.spec, task.settings.probe.features)
    with here.leader_first():
        prepared = with_val(
            task.prepared,
            share=task.settings.train.val_share,
            seed=task.settings.prepare.seed,
            listener=task.listener,
        )
        rows = rows_for(task, prepared, [*sets, (LAST,)])
    fitted = probe_on(rows, sets, task)
    with task.clock("choice"):
        choice = chosen(rows, [(LAST,)], task.settings, task.listener)
        head = final_head(rows, choice, task.settings)
    network = network_of(task.host, len(prepared.manifest.classes))
    put_head(network, head.weights_KD, head.bias_K, task.host.spec.name)
    return Begun(
        network=network,
        spec=task.host.spec,
        rows=rows,
        baseline=fitted.baseline,
        probe=fitted,
    )

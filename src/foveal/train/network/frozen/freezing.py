"""Freezing: stages that learn nothing, and statistics of BatchNorm that stay as they are."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from foveal.core.errors import OutOfRange
from foveal.train.network.stages import HEAD, Stage, pick_stage, stages


def stages_until(network: nn.Module, stage_name: str) -> tuple[Stage, ...]:
    """Return the stages up to and with the one called ``stage_name``, shallow to deep.

    Raises:
        UnknownName: if the network has no stage of that name.
        OutOfRange: for the head, since nothing would be learnt.
    """
    last = pick_stage(network, stage_name)
    found = stages(network)
    if last.name == HEAD:
        below = [stage.name for stage in found][:-1]
        raise OutOfRange("freeze_until", stage_name, f"one of {', '.join(below)}: the head learns")
    return found[: found.index(last) + 1]


def freeze_until(network: nn.Module, stage_name: str) -> tuple[Stage, ...]:
    """Freeze every stage up to and with the one called ``stage_name``.

    Their parameters get no gradient, and their modules stay in eval mode whenever
    ``network.train()`` is called: else BatchNorm's statistics would drift, and what lies
    above would be trained on features that no longer exist.

    Returns:
        The frozen stages, shallow to deep.

    Raises:
        UnknownName, OutOfRange: for a name that is none, see ``stages_until``.
    """
    frozen = stages_until(network, stage_name)
    for stage in frozen:
        for name in stage.parameters:
            network.get_parameter(name).requires_grad_(False)
    _keep_in_eval(
        network, [network.get_submodule(name) for stage in frozen for name in stage.modules]
    )
    return frozen


def keep_statistics(network: nn.Module) -> None:
    """Let every BatchNorm go on with the statistics it has; its scale and shift still learn.

    Then the network answers in training as it does in use, so that a head that was fitted on its
    frozen features fits from the first step on. With the statistics of each batch it does not,
    where pictures are unlike those the network knows: on steel surfaces the first epoch's loss
    was 18.5 instead of 0.8, and what the network knew was spoilt before it could learn.
    """
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    _keep_in_eval(network, norms)


def _keep_in_eval(network: nn.Module, modules: Sequence[nn.Module]) -> None:
    """Keep these modules, and those kept before, in eval mode whenever the network is trained."""
    before = vars(network).get("train")
    kept = before.args[1] if isinstance(before, partial) else ()
    # On the instance, since no one class fits all networks; ``train`` is asked for by name.
    vars(network)["train"] = partial(_train, network, [*kept, *modules])
    network.train(network.training)


def _train(
    network: nn.Module,
    frozen: Sequence[nn.Module],
    mode: bool = True,  # the signature of nn.Module.train
) -> nn.Module:
    """Do what ``nn.Module.train`` does, and keep what is frozen in eval mode."""
    type(network).train(network, mode)
    for module in frozen:
        module.eval()
    return network

"""Freezing the shallow stages of a network: they learn nothing, BatchNorm's statistics included."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import nn

from foveal.core.errors import OutOfRange
from foveal.train.network.stages import HEAD, Stage, pick_stage, stages


def freeze_until(network: nn.Module, stage_name: str) -> tuple[Stage, ...]:
    """Freeze every stage up to and with the one called ``stage_name``.

    Their parameters get no gradient, and their modules stay in eval mode whenever
    ``network.train()`` is called: else BatchNorm's statistics would drift, and what lies
    above would be trained on features that no longer exist.

    Returns:
        The frozen stages, shallow to deep.

    Raises:
        UnknownName: if the network has no stage of that name.
        OutOfRange: for the head, since nothing would be learnt.
    """
    last = pick_stage(network, stage_name)
    if last.name == HEAD:
        below = [stage.name for stage in stages(network)][:-1]
        raise OutOfRange("freeze_until", stage_name, f"one of {', '.join(below)}: the head learns")
    found = stages(network)
    frozen = found[: found.index(last) + 1]
    for stage in frozen:
        for name in stage.parameters:
            network.get_parameter(name).requires_grad_(False)
    modules = [network.get_submodule(name) for stage in frozen for name in stage.modules]
    # On the instance, since no one class fits all networks; ``train`` is asked for by name.
    vars(network)["train"] = partial(_train, network, modules)
    network.train(network.training)
    return frozen


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

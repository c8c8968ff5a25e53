"""BatchNorm over several ranks: on cards, each layer takes the statistics of all their pictures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from foveal.train.network.machine import Machine


@contextmanager
def synchronised(network: nn.Module, machine: Machine) -> Iterator[None]:
    """Let BatchNorm see the whole batch inside the block, where ranks have a card each.

    Between processors there is no such layer in torch: there each rank normalises by its own
    part. Layers that do not learn are left as they are, for they keep their statistics; so is
    the network, after the block, but for the numbers that its layers have learnt.
    """
    if machine.ranks == 1 or machine.device.type != "cuda":
        yield
        return
    own = {name: layer for name, layer in network.named_modules() if _learns(layer)}
    for name, layer in own.items():
        network.set_submodule(name, synchronised_layer(layer))
    try:
        yield
    finally:
        for name, layer in own.items():
            network.set_submodule(name, layer.train(network.get_submodule(name).training))


def synchronised_layer(layer: nn.Module) -> nn.Module:
    """Return a layer that shares weights and statistics with ``layer``, an activation included.

    timm's BatchNorms have their activation inside, which torch's own conversion would lose.
    """
    from timm.layers import norm_act

    return cast(nn.Module, cast(Any, norm_act).convert_sync_batchnorm(layer))


def _learns(layer: nn.Module) -> bool:
    return isinstance(layer, _BatchNorm) and any(p.requires_grad for p in layer.parameters())

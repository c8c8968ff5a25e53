"""Optimisers by name, and the groups of parameters that each learn at a rate of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import nn

from foveal.core.table import Table
from foveal.train.network.stages import HEAD, stages

Groups = list[dict[str, Any]]
MakeOptimizer = Callable[[Groups], torch.optim.Optimizer]


def groups_of(
    network: nn.Module, *, rate: float, head_rate: float, layer_decay: float, weight_decay: float
) -> Groups:
    """Return the parameters that learn, in groups from shallow to deep, the head's last.

    The deepest stage learns at ``rate``, each one above it at ``layer_decay`` times the next
    deeper one's: what a network learnt first, edges and colours, changes least. Biases,
    the scales of norms and what timm says should not decay do not.

    Args:
        network: parameters without gradient (frozen ones) are left out.
        rate: peak of the deepest stage.
        head_rate: peak of the classifier.
        layer_decay: in (0, 1]; 1: all stages learn alike.
        weight_decay: of the other weights.

    Returns:
        ``{"name", "params", "lr", "weight_decay"}`` each; none of them is empty.

    Source:
        Howard and Ruder, "Universal Language Model Fine-tuning", ACL 2018, section 3.2 (rates by
        layer); Clark et al., "ELECTRA", ICLR 2020 (the geometric form).
    """
    skip = cast(Any, network).no_weight_decay() if hasattr(network, "no_weight_decay") else set()
    found = stages(network)
    deepest = len(found) - 2  # the head is the last
    groups: Groups = []
    for number, stage in enumerate(found):
        peak = head_rate if stage.name == HEAD else rate * layer_decay ** (deepest - number)
        plain: list[nn.Parameter] = []
        decayed: list[nn.Parameter] = []
        for name in stage.parameters:
            parameter = network.get_parameter(name)
            if parameter.requires_grad:
                (plain if parameter.ndim <= 1 or name in skip else decayed).append(parameter)
        for kind, params, decay in (("plain", plain, 0.0), ("", decayed, weight_decay)):
            if params:
                name = f"{stage.name} {kind}".strip()
                groups.append({"name": name, "params": params, "lr": peak, "weight_decay": decay})
    return groups


def _adamw(groups: Groups) -> torch.optim.Optimizer:
    """Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019."""
    return torch.optim.AdamW(groups, fused=True)


def _sgd(groups: Groups) -> torch.optim.Optimizer:
    """Nesterov's momentum of 0.9; rates are to be some tens of times AdamW's."""
    return torch.optim.SGD(groups, lr=0.1, momentum=0.9, nesterov=True)


OPTIMIZERS: Table[MakeOptimizer] = Table("optimizer", {"adamw": _adamw, "sgd": _sgd})

"""`Average`: the moving average of a network's weights, which is what is judged and kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from foveal.core.errors import OutOfRange


class Average:
    """An exponential moving average of everything a network's state holds.

    Weights and BatchNorm's statistics are averaged; counters, which are whole numbers, are
    copied. The decay rises with the number of updates, ``min(decay, (1 + t) / (10 + t))``, so a
    short run is not held back by where it started from.

    Source:
        Polyak and Juditsky, "Acceleration of Stochastic Approximation by Averaging", 1992;
        Tarvainen and Valpola, "Mean teachers are better role models", NeurIPS 2017 (of weights).
    """

    def __init__(self, network: nn.Module, *, decay: float) -> None:
        """Start from the network as it is.

        Args:
            network: the one that is trained.
            decay: what is left of the average after an update, in [0, 1); 0 follows the network.

        Raises:
            OutOfRange: if ``decay`` is not in [0, 1).
        """
        if not 0 <= decay < 1:
            raise OutOfRange("average", decay, "a decay from 0 to less than 1")
        self.decay = decay
        self.updates = 0
        self.state = {name: value.detach().clone() for name, value in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Move the average towards the network; call it after each of its updates."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                self.state[name].lerp_(value.to(self.state[name].dtype), 1 - decay)
            else:
                self.state[name].copy_(value)

    def restore(self, state: Mapping[str, Tensor], *, updates: int) -> None:
        """Go on from a saved average.

        Args:
            state: the saved ``self.state``: the same names and shapes.
            updates: the saved ``self.updates``.
        """
        for name, value in self.state.items():
            value.copy_(state[name])
        self.updates = updates

    @contextmanager
    def applied(self, network: nn.Module) -> Iterator[nn.Module]:
        """Put the average into the network for the length of the block, then its own state back."""
        own = {name: value.detach().clone() for name, value in network.state_dict().items()}
        network.load_state_dict(self.state)
        try:
            yield network
        finally:
            network.load_state_dict(own)

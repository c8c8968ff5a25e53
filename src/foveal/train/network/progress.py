"""`Progress`: all that a run remembers, and so all that is saved of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isnan
from typing import Any

import torch
from torch import Tensor, nn

from foveal.train.network.average import Average
from foveal.train.network.saving.checkpoint_file import State
from foveal.train.network.saving.random_states import RandomStates, restore_random_states
from foveal.train.network.scaling import Scaling

LOG_LOSS = "log_loss"  # the score whose least value decides which epoch is kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """What one epoch came to."""

    number: int  # from 1
    share: float  # of the peak rate, at its end
    train_loss: float  # mean over its steps, augmentation and smoothing included
    scores: Mapping[str, float]  # of the averaged network on val


class Progress:
    """How far a run has come, beside the states of the generators of random numbers.

    Attributes:
        step: updates done.
        epochs: those that were judged.
        kept: the averaged network's state after the best of them.
        loss_sum: of the steps since the last of them.
        halvings: of the rate, after losses that were no number.
        micro: pictures that memory was found to hold at once; None: what was asked for.
        scaling: of the loss, in fp16.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        average: Average,
        scaling: Scaling | None = None,
    ) -> None:
        self.network, self.optimizer, self.average = network, optimizer, average
        self.scaling = scaling
        self.step = 0
        self.epochs: list[Epoch] = []
        self.kept: dict[str, Tensor] = {}
        self.loss_sum = 0.0
        self.halvings = 0
        self.micro: int | None = None

    def judged(self, scores: Mapping[str, float], *, share: float, steps: int) -> Epoch:
        """Return the epoch that ends here, of so many ``steps``; keep it if it is the best."""
        epoch = Epoch(
            number=len(self.epochs) + 1,
            share=share,
            train_loss=self.loss_sum / steps,
            scores=scores,
        )
        self.epochs.append(epoch)
        self.loss_sum = 0.0
        if self.best() is epoch:
            self.kept = {name: value.clone() for name, value in self.average.state.items()}
        return epoch

    def best(self) -> Epoch:
        """Return the epoch of the least log loss, the first of equals; NaN is the worst."""
        losses = [epoch.scores[LOG_LOSS] for epoch in self.epochs]
        return self.epochs[losses.index(min(losses, key=lambda loss: (isnan(loss), loss)))]

    def state(self, *, random: Sequence[RandomStates], plan: Mapping[str, Any]) -> State:
        """Return it for a checkpoint; the tensors are the run's own, which go on changing.

        Args:
            random: states of every rank.
            plan: facts that decide the run.
        """
        return State(
            step=self.step,
            network=self.network.state_dict(),
            average=self.average.state,
            optimizer=self.optimizer.state_dict(),
            random=random,
            facts={
                "plan": plan,
                "epochs": [asdict(epoch) for epoch in self.epochs],
                "kept": self.kept,
                "loss_sum": self.loss_sum,
                "halvings": self.halvings,
                "average_updates": self.average.updates,
                "micro": self.micro,
                "scaling": None if self.scaling is None else vars(self.scaling),
            },
        )

    def restore(self, state: State, *, rank: int) -> None:
        """Go on from ``state``, this rank's random numbers included."""
        facts = state.facts
        self.network.load_state_dict(state.network)
        assert state.average is not None
        self.average.restore(state.average, updates=facts["average_updates"])
        self.optimizer.load_state_dict(dict(state.optimizer))
        _lay_out(self.optimizer)
        restore_random_states(state.random[rank])
        self.step, self.loss_sum = state.step, facts["loss_sum"]
        self.epochs = [Epoch(**epoch) for epoch in facts["epochs"]]
        self.kept = {
            name: value.to(self.average.state[name].device) for name, value in facts["kept"].items()
        }
        # Checkpoints from before these two were saved have none: they are of float32, in one part.
        self.halvings, self.micro = facts["halvings"], facts.get("micro")
        if facts.get("scaling") is not None:
            self.scaling = Scaling(**facts["scaling"])


def _lay_out(optimizer: torch.optim.Optimizer) -> None:
    """Lay an optimiser's averages out in memory as the weights are: fused steps rely on it."""
    for parameter, averages in optimizer.state.items():
        for name, value in averages.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                averages[name] = torch.empty_like(parameter).copy_(value)

"""The gradient of a batch: in parts, in the machine's precision, in whatever memory there is."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.listener import Listener
from foveal.train.network.losses import Loss, LossSettings, weights_of
from foveal.train.network.machine import Machine
from foveal.train.network.scaling import Scaling

HALVINGS = 6  # of the part that is worked off at once, when memory runs out
_TOO_FEW = "more than 1 value per channel"  # of torch's message, where BatchNorm sees one number
_CPU_IS_FULL = "can't allocate memory"  # of torch's message; processors have no error of their own


@dataclass(slots=True, kw_only=True, eq=False)
class Gradients:
    """How gradients are computed, and what was found out on the way: it holds for later batches."""

    network: nn.Module
    loss: Loss
    loss_settings: LossSettings
    machine: Machine
    listener: Listener
    micro: int | None  # pictures worked off at once; None: the whole batch
    scaling: Scaling | None  # of fp16
    halvings: int = 0  # of ``micro``

    def of(self, inputs: Tensor, targets: Tensor, before: Before) -> tuple[Tensor, Tensor]:
        """Give the network the gradient of the batch's mean loss, over all ranks.

        Where memory runs out, the batch is done again in parts half as large; where fp16
        overflows, with half the factor.

        Args:
            inputs: (B, 3, H, W).
            targets: (B,) or (B, K).
            before: the network's state, for doing it again.

        Returns:
            The loss, and the length of the whole gradient; both may be no number.

        Raises:
            FovealError: when memory runs out for parts of a sixty-fourth too; for one picture alone
                where BatchNorm needs more.
        """
        machine, scaling = self.machine, self.scaling
        total = machine.add_up(weights_of(targets, self.loss_settings).sum())
        while True:
            value = self._in_memory(inputs, targets, total, before)
            machine.add_gradients(self.network)
            if scaling is None:
                return value, _norm(self.network)
            scaling.take_out(self.network)
            norm = _norm(self.network)
            if torch.isfinite(norm):
                scaling.went_well()
                return value, norm
            if not torch.isfinite(value) or not scaling.lower():
                return value, norm
            before.restore(self.network)

    def _in_memory(self, inputs: Tensor, targets: Tensor, total: Tensor, before: Before) -> Tensor:
        """Add the gradient up in parts that fit into memory; return the loss.

        Raises:
            FovealError: for one picture alone that BatchNorm cannot tell a deviation of.
        """
        while True:
            part = min(self.micro or len(inputs), len(inputs))
            try:
                return self._in_parts(inputs, targets, total, part)
            except ValueError as error:
                if _TOO_FEW not in str(error):
                    raise
                raise _one_alone(inputs, part) from None
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                if not _is_out_of_memory(error):
                    raise
            # Not before the error is let go of: it holds on to what was computed so far.
            before.restore(self.network)
            self._halve(part)

    def _in_parts(self, inputs: Tensor, targets: Tensor, total: Tensor, part: int) -> Tensor:
        self.network.zero_grad(set_to_none=True)
        factor = 1.0 if self.scaling is None else self.scaling.factor
        value = torch.zeros((), device=inputs.device)
        for first in range(0, len(inputs), part):
            some = slice(first, first + part)
            with self.machine.autocast():
                logits = self.network(inputs[some])
            share = self.loss(logits, targets[some], self.loss_settings).sum() / total
            torch.autograd.backward(share * factor)
            value += share.detach()
        return self.machine.add_up(value)

    def _halve(self, part: int) -> None:
        """Go over to parts half as large.

        Raises:
            FovealError: where that was done too often, or cannot be done on one rank alone.
        """
        pictures = f"{part} picture{'s' if part > 1 else ''}"
        alone = not any(isinstance(m, nn.SyncBatchNorm) for m in self.network.modules())
        if part == 1 or self.halvings == HALVINGS or not alone:
            raise FovealError(
                f"Memory runs out even for {pictures} at once.",
                hint="Take a smaller --size, a smaller network, or free some memory."
                if alone
                else "Several cards cannot change over together: begin with smaller parts (micro).",
            )
        self.micro, self.halvings = (part + 1) // 2, self.halvings + 1
        self.listener.say(
            f"Memory ran out for {pictures} at once: each batch is now worked off in parts of "
            f"{self.micro}, with the same gradient."
        )


class Before:
    """What a forward pass changes: BatchNorm's statistics and the generators of random numbers."""

    def __init__(self, network: nn.Module) -> None:
        self.buffers = [buffer.clone() for buffer in network.buffers()]
        self.random = torch.random.get_rng_state()
        self.cards = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []

    @torch.no_grad()
    def restore(self, network: nn.Module) -> None:
        """Put it back."""
        for buffer, value in zip(network.buffers(), self.buffers, strict=True):
            buffer.copy_(value)
        torch.random.set_rng_state(self.random)
        if self.cards:
            torch.cuda.set_rng_state_all(self.cards)


def _one_alone(inputs: Tensor, part: int) -> FovealError:
    """Return what is said where BatchNorm saw one number and could not tell its deviation."""
    rest = f": parts of {part} leave one over from {len(inputs)}" if part > 1 else ""
    return FovealError(
        f"BatchNorm cannot learn from one picture alone at {inputs.shape[-1]} pixels{rest}.",
        hint="Take another --batch or --micro, or a larger --size.",
    )


def _norm(network: nn.Module) -> Tensor:
    """Return the length of the whole gradient, infinite or NaN where any part of it is."""
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    return nn.utils.get_total_norm(gradients)


def _is_out_of_memory(error: Exception) -> bool:
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or _CPU_IS_FULL in str(error)

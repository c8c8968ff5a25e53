"""The training loop: a generator of updates that knows nothing but batches, network, optimiser.

Judging, saving, early stopping and progress bars are plain code in the caller's ``for`` loop:
breaking out of it stops training, and nothing else needs to be told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from foveal.core.errors import FovealError, OutOfRange
from foveal.core.listener import SILENT, Listener
from foveal.train.network.feed import Batch
from foveal.train.network.losses import Loss, LossSettings, weights_of

HALVINGS = 6  # of the part that is worked off at once, when memory runs out


class Diverged(FovealError):
    """A loss or gradient that is no number; the network is as it was before that step."""

    def __init__(self, step: int, rows: Tensor, what: str) -> None:
        super().__init__(
            f"{what} became infinite or NaN at step {step}.",
            hint="Lower the learning rate, or look at the pictures of that batch.",
        )
        self.step, self.rows = step, rows


@dataclass(frozen=True, slots=True)
class Update:
    """What one step did."""

    step: int
    loss: float  # mean over the batch, before the step
    rate: float  # of the last group, the classifier's
    norm: float  # of the whole gradient, before it was clipped


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSettings:
    """How a step is made of a batch.

    Raises:
        OutOfRange: for a value that cannot work.
    """

    clip: float = 0.0  # longest gradient; 0: any
    micro: int | None = None  # pictures worked off at once; None: the whole batch

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if not self.clip >= 0:
            raise OutOfRange("clip", self.clip, "0 or more")
        if self.micro is not None and self.micro < 1:
            raise OutOfRange("micro", self.micro, "at least 1")


Prepared = tuple[Tensor, Tensor]  # (B, 3, H, W) float, normalised; targets (B,) or (B, K)


def updates(  # noqa: PLR0913 — the parts of a step, each of them the caller's own
    network: nn.Module,
    batches: Iterable[Batch],
    optimizer: torch.optim.Optimizer,
    *,
    prepare: Callable[[Batch], Prepared],
    loss: Loss,
    loss_settings: LossSettings,
    rate: Callable[[int], float],
    settings: StepSettings,
    listener: Listener = SILENT,
) -> Iterator[Update]:
    """Train ``network``, yielding one ``Update`` per batch.

    Where memory runs out, the batch is done again in parts half as large, and those after it
    too: the gradient is the same (but for BatchNorm, which sees one part at a time).

    Args:
        network: maps (B, 3, H, W) to logits (B, K).
        batches: in order; their ``step`` decides the rate.
        optimizer: its groups' ``lr`` values, as first given, are the peak rates.
        prepare: puts a batch on the device, normalised, mixed: a pure function of the batch.
        loss: from ``losses.LOSSES``.
        loss_settings: of it.
        rate: step -> share of the peak rate, see ``schedule``.
        settings: clipping, and the size of the parts.
        listener: hears that memory ran out.

    ``network.train()`` runs before every update, so the caller may evaluate in between. Frozen
    parts keep themselves in eval mode by overriding ``train()``.

    Raises:
        Diverged: before a step that would not be finite is made, naming the batch's rows.
        FovealError: when memory runs out for parts of a sixty-fourth too.
    """
    peaks = [group.setdefault("initial_lr", group["lr"]) for group in optimizer.param_groups]
    size, halvings = settings.micro, 0
    for batch in batches:
        network.train()
        for group, peak in zip(optimizer.param_groups, peaks, strict=True):
            group["lr"] = peak * rate(batch.step)
        inputs, targets = prepare(batch)
        whole = len(inputs)
        while True:
            optimizer.zero_grad(set_to_none=True)
            before = torch.random.get_rng_state()
            try:
                value = _gradient(
                    network, inputs, targets, loss, loss_settings, part=min(size or whole, whole)
                )
                break
            except torch.OutOfMemoryError:
                torch.random.set_rng_state(before)
                size, halvings = _halved(min(size or whole, whole), halvings, listener)
        norm = _norm(network)
        if not torch.isfinite(value):
            raise Diverged(batch.step, batch.rows, "The loss")
        if not torch.isfinite(norm):
            raise Diverged(batch.step, batch.rows, "The gradient")
        if settings.clip:
            nn.utils.clip_grads_with_norm_(network.parameters(), settings.clip, norm)
        optimizer.step()
        last = float(optimizer.param_groups[-1]["lr"])
        yield Update(batch.step, value.item(), last, norm.item())


def _gradient(
    network: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    loss: Loss,
    settings: LossSettings,
    *,
    part: int,
) -> Tensor:
    """Add the gradient of the mean loss up, ``part`` pictures at a time; return the loss."""
    total = weights_of(targets, settings).sum()
    value = torch.zeros((), device=inputs.device)
    for first in range(0, len(inputs), part):
        some = slice(first, first + part)
        share = loss(network(inputs[some]), targets[some], settings).sum() / total
        torch.autograd.backward(share)
        value += share.detach()
    return value


def _norm(network: nn.Module) -> Tensor:
    """Return the length of the whole gradient, infinite or NaN where any part of it is."""
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    return nn.utils.get_total_norm(gradients)


def _halved(part: int, halvings: int, listener: Listener) -> tuple[int, int]:
    """Return the next smaller part, and how often there was one.

    Raises:
        FovealError: where it would be one time too many.
    """
    if part == 1 or halvings == HALVINGS:
        raise FovealError(
            f"Memory runs out even for {part} pictures at once.",
            hint="Take a smaller --size, a smaller network, or free some memory.",
        )
    smaller = (part + 1) // 2
    listener.say(
        f"Memory ran out for {part} pictures at once: each batch is now worked off in parts of "
        f"{smaller}, with the same gradient."
    )
    return smaller, halvings + 1

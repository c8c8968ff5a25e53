"""The training loop: a generator of updates that knows nothing but batches, network, optimiser.

Judging, saving, early stopping and progress bars are plain code in the caller's ``for`` loop:
breaking out of it stops training, and nothing else needs to be told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from foveal.core.errors import FovealError, OutOfRange
from foveal.core.listener import SILENT, Listener
from foveal.train.network.gradient import Before, Gradients
from foveal.train.network.losses import Loss, LossSettings
from foveal.train.network.machine import ALONE, Machine
from foveal.train.network.pictures.feed import Batch
from foveal.train.network.scaling import Scaling
from foveal.train.network.stopping import Stop


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
    micro: int | None = None  # pictures that were worked off at once; None: the whole batch


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
    scaling: Scaling | None = None,
    machine: Machine = ALONE,
    stop: Stop | None = None,
    listener: Listener = SILENT,
) -> Iterator[Update]:
    """Train ``network``, yielding one ``Update`` per batch.

    Where memory runs out, the batch is done again in parts half as large, and those after it
    too: the gradient is the same (but for BatchNorm, which sees one part at a time).

    Args:
        network: maps (B, 3, H, W) to logits (B, K).
        batches: in order, this rank's part of each; their ``step`` decides the rate.
        optimizer: its groups' ``lr`` values, as first given, are the peak rates.
        prepare: puts a batch on the device, normalised, mixed: a pure function of the batch.
        loss: from ``losses.LOSSES``.
        loss_settings: of it.
        rate: step -> share of the peak rate, see ``schedule``.
        settings: clipping, and the size of the parts.
        scaling: of the loss, in fp16; None: one that begins anew.
        machine: precision, and the ranks whose gradients are added up.
        stop: may end the wait for a batch and its gradient, never the step itself.
        listener: hears that memory ran out.

    ``network.train()`` runs before every update, so the caller may evaluate in between. Frozen
    parts keep themselves in eval mode by overriding ``train()``. Whatever is raised, the network
    is as it was before the step that was not made.

    Raises:
        Diverged: before a step that would not be finite is made, naming the batch's rows.
        FovealError: when memory runs out for parts of a sixty-fourth too.
    """
    peaks = [group.setdefault("initial_lr", group["lr"]) for group in optimizer.param_groups]
    # Ranks must stop at the same step: between several of them, a signal waits for the caller.
    may_stop = stop.open if stop is not None and machine.ranks == 1 else nullcontext
    gradients = Gradients(
        network=network,
        loss=loss,
        loss_settings=loss_settings,
        machine=machine,
        listener=listener,
        micro=settings.micro,
        scaling=scaling or (Scaling() if machine.precision == "fp16" else None),
    )
    source = iter(batches)
    while True:
        with may_stop():
            batch = next(source, None)
        if batch is None:
            return
        network.train()
        for group, peak in zip(optimizer.param_groups, peaks, strict=True):
            group["lr"] = peak * rate(batch.step)
        before = Before(network)
        try:
            with may_stop():
                inputs, targets = prepare(batch)
                value, norm = gradients.of(inputs, targets, before)
            for what, number in (("The loss", value), ("The gradient", norm)):
                if not torch.isfinite(number):
                    raise Diverged(batch.step, batch.rows, what)
        except BaseException:
            before.restore(network)
            raise
        if settings.clip:
            nn.utils.clip_grads_with_norm_(network.parameters(), settings.clip, norm)
        optimizer.step()
        machine.average_statistics(network)
        last = float(optimizer.param_groups[-1]["lr"])
        yield Update(batch.step, value.item(), last, norm.item(), gradients.micro)

"""What training makes small: functions of logits and targets, and the table of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import log_softmax, one_hot

from foveal.core.errors import OutOfRange
from foveal.core.table import Table

Targets = Tensor  # (B,) int64 class numbers, or (B, K) float shares that sum to 1 (MixUp, CutMix)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LossSettings:
    """What a loss may be told.

    Raises:
        OutOfRange: for a share or a weight that cannot be.
    """

    smoothing: float = 0.0  # share of a target that is spread over all classes, in [0, 1)
    weights_K: Tensor | None = None  # how much each class counts; their scale has no effect
    gamma: float = 2.0  # of the focal loss: how much less sure answers count

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if not 0 <= self.smoothing < 1:
            raise OutOfRange("smoothing", self.smoothing, "a share from 0 to less than 1")
        if not self.gamma >= 0:
            raise OutOfRange("gamma", self.gamma, "0 or more")
        if self.weights_K is not None and not bool((self.weights_K > 0).all()):
            raise OutOfRange("weights", self.weights_K.tolist(), "positive numbers, one per class")


Loss = Callable[[Tensor, Targets, LossSettings], Tensor]
"""(logits (B, K), targets, settings) -> loss of every picture (B,), times its weight.

The loss of a batch is their sum over the sum of ``weights_of``. So a batch may be worked off in
parts of any size, on any number of ranks, and its gradient is the same.
"""


def cross_entropy(logits_BK: Tensor, targets: Targets, settings: LossSettings) -> Tensor:
    """Return the cross-entropy, with smoothed labels and weighted classes where asked for.

    Source:
        Szegedy et al., "Rethinking the Inception Architecture", CVPR 2016, section 7 (smoothing).
    """
    shares_BK = _smooth(targets, logits_BK.shape[1], settings)
    return -(shares_BK * log_softmax(logits_BK.float(), dim=1)).sum(1)


def focal(logits_BK: Tensor, targets: Targets, settings: LossSettings) -> Tensor:
    """Return the focal loss: what is answered well already counts less, by (1 - p)^gamma.

    Source:
        Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017.
    """
    shares_BK = _smooth(targets, logits_BK.shape[1], settings)
    log_p_BK = log_softmax(logits_BK.float(), dim=1)
    unsure_BK = (1 - log_p_BK.exp()).clamp_min(0) ** settings.gamma
    return -(shares_BK * unsure_BK * log_p_BK).sum(1)


def weights_of(targets: Targets, settings: LossSettings) -> Tensor:
    """Return how much each picture counts (B,): the weight of its class, or of its mixture."""
    weights_K = settings.weights_K
    if weights_K is None:
        return torch.ones(len(targets), device=targets.device)
    weights_K = weights_K.to(targets.device, torch.float32)
    return weights_K[targets] if targets.ndim == 1 else (targets.float() * weights_K).sum(1)


def _smooth(targets: Targets, classes: int, settings: LossSettings) -> Tensor:
    """Return smoothed targets (B, K), times the weight of each picture."""
    shares_BK = one_hot(targets, classes).float() if targets.ndim == 1 else targets.float()
    smooth_BK = shares_BK * (1 - settings.smoothing) + settings.smoothing / classes
    return smooth_BK * weights_of(targets, settings)[:, None]


LOSSES: Table[Loss] = Table("loss", {"cross_entropy": cross_entropy, "focal": focal})

"""A network learns from labels and from what a teacher sees in the same pictures.

The teacher's last features are computed once, before training, from the pictures as they are
(`recipes.teacher`); a mirrored or cropped picture is to be seen like the whole one. The student
guesses them from its own last features by one linear layer, which is thrown away in the end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, one_hot, smooth_l1_loss

from foveal.core.table import Table
from foveal.train.network.losses import Loss, LossSettings

Likeness = Callable[[Tensor, Tensor], Tensor]
"""(guesses (B, D), what the teacher sees (B, D)) -> how far apart they are, (B,) float32."""


class Student(nn.Module):
    """A timm network that also guesses its teacher's features.

    Maps (B, 3, H, W) to (B, K + D): the K logits, then the guesses. ``network`` is the network
    alone, ``guess`` the layer that goes when training is over.
    """

    def __init__(self, network: nn.Module, seen: int) -> None:
        """Put a new layer beside the network's classifier.

        Args:
            network: of timm's, with a classifier.
            seen: D, the number of the teacher's features.
        """
        super().__init__()
        self.network = network
        self.guess = nn.Linear(cast(Any, network).num_features, seen)

    def forward(self, planes: Tensor) -> Tensor:
        """Return logits and guesses side by side."""
        network = cast(Any, self.network)
        last = network.forward_head(network.forward_features(planes), pre_logits=True)
        return torch.cat([network.get_classifier()(last), self.guess(last)], dim=1)


def targets_of(labels: Tensor, seen: Tensor, classes: int) -> Tensor:
    """Return what a student is to answer (B, K + D): shares of the classes, then features.

    Args:
        labels: (B,) int64.
        seen: (B, D), what the teacher sees.
        classes: K.
    """
    return torch.cat([one_hot(labels, classes).float(), seen.float()], dim=1)


def taught(loss: Loss, likeness: Likeness, *, classes: int, weight: float) -> Loss:
    """Return the loss of a student: ``loss`` of its logits, and how far off its guesses are.

    Args:
        loss: of the logits and the shares of classes.
        likeness: from ``LIKENESSES``.
        classes: K; what stands behind the first K columns are features.
        weight: of the distance from the teacher.
    """

    def both(answers: Tensor, targets: Tensor, settings: LossSettings) -> Tensor:
        by_labels = loss(answers[:, :classes], targets[:, :classes], settings)
        apart = likeness(answers[:, classes:].float(), targets[:, classes:])
        return by_labels + weight * apart

    return both


def cosine(guesses: Tensor, seen: Tensor) -> Tensor:
    """Return 1 - cosine of the angle between guess and features: their lengths do not matter."""
    return 1 - cosine_similarity(guesses, seen, dim=1)


def smooth_l1(guesses: Tensor, seen: Tensor) -> Tensor:
    """Return the mean Huber distance of the features."""
    return smooth_l1_loss(guesses, seen, reduction="none").mean(1)


LIKENESSES: Table[Likeness] = Table("likeness", {"cosine": cosine, "smooth_l1": smooth_l1})

"""Mixing: two pictures of a batch become one, and so do their labels.

MixUp adds them up, CutMix puts a rectangle of one into the other: Zhang et al., "mixup: Beyond
Empirical Risk Minimization", ICLR 2018; Yun et al., "CutMix: Regularization Strategy to Train
Strong Classifiers with Localizable Features", ICCV 2019. torchvision does both.
"""

from __future__ import annotations

from typing import cast

from torch import Tensor
from torch.nn.functional import one_hot

from foveal.core.errors import OutOfRange
from foveal.train.network.seeding import random_from

MIXUP_ALPHA, CUTMIX_ALPHA = 0.2, 1.0  # of torchvision's own recipes for ImageNet


def mixed(
    pixels: Tensor,
    labels: Tensor,
    classes: int,
    *,
    seed: int,
    step: int,
    mixup_alpha: float = MIXUP_ALPHA,
    cutmix_alpha: float = CUTMIX_ALPHA,
) -> tuple[Tensor, Tensor]:
    """Return a batch in which every picture is mixed with its neighbour, by one of the two ways.

    Which way, the share (of a Beta(alpha, alpha) distribution) and the rectangle are the same
    for the whole batch and follow from ``seed`` and ``step`` alone, on any device. The first
    picture's neighbour is the last.

    Args:
        pixels: (B, 3, H, W) of a floating type, on any device; not changed.
        labels: (B,) int64 in [0, classes), on the same device.
        classes: K.
        seed: of the run.
        step: of the run, from 0.
        mixup_alpha: 0: never MixUp. The larger, the more equal are the shares.
        cutmix_alpha: 0: never CutMix. With both at 0 nothing is mixed.

    Returns:
        Pixels like the given ones, and targets (B, K) float32 that sum to 1: the share that
        each class has in the picture. Smoothing them is the loss's work.

    Raises:
        OutOfRange: for a negative alpha.
    """
    from torchvision.transforms import v2

    for name, alpha in (("mixup_alpha", mixup_alpha), ("cutmix_alpha", cutmix_alpha)):
        if not alpha >= 0:
            raise OutOfRange(name, alpha, "0 (never) or more")
    targets = one_hot(labels, classes).float()
    ways = [
        way(num_classes=classes, alpha=alpha)
        for way, alpha in ((v2.MixUp, mixup_alpha), (v2.CutMix, cutmix_alpha))
        if alpha
    ]
    if not ways:
        return pixels, targets
    with random_from("mix", seed, step):
        return cast(tuple[Tensor, Tensor], v2.RandomChoice(ways)(pixels, targets))

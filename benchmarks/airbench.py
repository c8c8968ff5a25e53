"""airbench's network for 32 × 32 pixels: fixed whitening filters, three blocks of convolutions.

Source:
    Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", 2024, sections 3.1 to 3.3.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import unfold


class Network(nn.Sequential):
    """Layer after layer, the logits made small."""

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, K) for normalised pictures (B, 3, 32, 32)."""
        return super().forward(x) / 9


def network(planes: Tensor, *, classes: int, width: float = 1.0) -> Network:
    """Return an untrained network, on the device of ``planes``.

    Args:
        planes: (n, 3, 32, 32) normalised pictures, which decide the whitening filters.
        classes: K.
        width: 1.0 is airbench's 64, 256 and 256 channels.
    """
    layers: list[nn.Module] = [_whitening(planes), nn.GELU()]
    before = 24
    for channels in (round(64 * width), round(256 * width), round(256 * width)):
        layers += [
            _convolution(before, channels), nn.MaxPool2d(2), _norm(channels), nn.GELU(),
            _convolution(channels, channels), _norm(channels), nn.GELU(),
        ]  # fmt: skip
        before = channels
    layers += [nn.MaxPool2d(3), nn.Flatten(), nn.Linear(before, classes, bias=False)]
    return Network(*layers).to(planes.device, memory_format=torch.channels_last)


def _whitening(planes: Tensor) -> nn.Conv2d:
    """Return filters that make 2 × 2 pixels uncorrelated, and their negatives; the bias learns."""
    patches_PD = unfold(planes, 2).transpose(1, 2).reshape(-1, 12)
    values, vectors = torch.linalg.eigh(patches_PD.T @ patches_PD / len(patches_PD))
    filters = (vectors / (values + 5e-4).sqrt()).T.reshape(12, 3, 2, 2)
    layer = nn.Conv2d(3, 24, 2)
    layer.weight = nn.Parameter(torch.cat([filters, -filters]), requires_grad=False)
    nn.init.zeros_(layer.bias)
    return layer


def _convolution(before: int, channels: int) -> nn.Conv2d:
    """Return a convolution that begins by handing its input on, as far as it has channels."""
    layer = nn.Conv2d(before, channels, 3, padding=1, bias=False)
    nn.init.dirac_(layer.weight.data[:before])
    return layer


def _norm(channels: int) -> nn.BatchNorm2d:
    """Return a normalisation whose scale is not learnt and whose statistics follow quickly."""
    layer = nn.BatchNorm2d(channels, momentum=0.4, eps=1e-12)
    layer.weight.requires_grad_(False)
    return layer

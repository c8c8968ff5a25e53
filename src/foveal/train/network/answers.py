"""What a network answers to pictures in memory: logits, and the features before them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from foveal.train.network.inputs import Inputs

Pixels = NDArray[np.uint8]
_BATCH = 32  # pictures at a time: larger ones gain nothing on a processor


def logits_of(network: nn.Module, pixels: Pixels, inputs: Inputs) -> NDArray[np.float32]:
    """Return the logits (N, K) of pictures (N, size, size, 3); the network is in eval mode."""
    (logits_NK,) = _answers(lambda planes: (network(planes),), pixels, inputs)
    return logits_NK


def logits_and_features_of(
    network: nn.Module, pixels: Pixels, inputs: Inputs
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return a timm network's logits (N, K) and what its classifier reads, the block ``last``."""
    timm = cast(Any, network)

    def both(planes: Tensor) -> tuple[Tensor, Tensor]:
        maps = timm.forward_features(planes)
        return timm.forward_head(maps), timm.forward_head(maps, pre_logits=True)

    logits_NK, last_ND = _answers(both, pixels, inputs)
    return logits_NK, last_ND


def _answers(
    function: Callable[[Tensor], tuple[Tensor, ...]], pixels: Pixels, inputs: Inputs
) -> list[NDArray[np.float32]]:
    found = []
    with torch.inference_mode():  # in float32, as the model will answer
        for first in range(0, len(pixels), _BATCH):
            some = torch.from_numpy(pixels[first : first + _BATCH].copy()).permute(0, 3, 1, 2)
            found.append([each.float().cpu().numpy() for each in function(inputs.planes(some))])
    return [np.concatenate(parts) for parts in zip(*found, strict=True)]

"""What a network answers to pictures in memory: logits, or the features before them."""

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
    return _answers(network, pixels, inputs)


def last_features_of(network: nn.Module, pixels: Pixels, inputs: Inputs) -> NDArray[np.float32]:
    """Return what the classifier of a timm network reads: (N, D), the block ``last``."""
    timm = cast(Any, network)

    def last(planes: Tensor) -> Tensor:
        features: Tensor = timm.forward_head(timm.forward_features(planes), pre_logits=True)
        return features

    return _answers(last, pixels, inputs)


def _answers(
    function: Callable[[Tensor], Tensor], pixels: Pixels, inputs: Inputs
) -> NDArray[np.float32]:
    found = []
    with torch.inference_mode():  # in float32, as the model will answer
        for first in range(0, len(pixels), _BATCH):
            some = torch.from_numpy(pixels[first : first + _BATCH].copy()).permute(0, 3, 1, 2)
            found.append(function(inputs.planes(some)).float().cpu().numpy())
    return np.concatenate(found)

"""Where a network's named outputs lie: its last features, its maps, its logits."""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import Tensor, nn

from foveal.backbone.spec import LAST, LAST_MAP, LOGITS
from foveal.core.errors import BadWeights

STAGES = 4  # of a network that keeps one grid throughout, such as a ViT
FINEST = 4  # pixels a cell of the first stage: finer maps are the stem's


class TimmBody(nn.Module):
    """A timm network that answers with every output a backbone promises.

    Takes float (N, 3, size, size), returns name -> tensor: ``last`` (N, D), ``logits`` (N, K) if
    it has a classifier, ``last/map`` if its last features lie on a square grid, and ``stageK/map``.
    The stages are the deepest map of every grid from a quarter of the picture's side downwards
    (a ResNet's four layers), or, where all grids are the same, four blocks evenly spaced.
    """

    def __init__(self, network: nn.Module, size_px: int) -> None:
        super().__init__()
        self.network = network
        self.timm = cast(Any, network)  # timm's methods, which nn.Module does not declare
        self.indices: list[int] = []
        with torch.no_grad():
            picture = torch.linspace(-1, 1, 3 * size_px * size_px).reshape(1, 3, size_px, size_px)
            self._find_stages(picture)

    def _find_stages(self, picture: Tensor) -> None:
        if not hasattr(self.network, "forward_intermediates"):
            return
        features, maps = self.timm.forward_intermediates(picture)
        same = torch.allclose(features, self.timm.forward_features(picture), atol=1e-4, rtol=1e-4)
        square = all(m.ndim == 4 and m.shape[2] == m.shape[3] for m in maps)
        if same and square:
            self.indices = chosen_stages([int(m.shape[2]) for m in maps], picture.shape[2])

    def forward(self, planes: Tensor) -> dict[str, Tensor]:
        """Return every output, shallow to deep in the order of their names."""
        maps: list[Tensor] = []
        if self.indices:
            features, maps = self.timm.forward_intermediates(planes, indices=self.indices)
        else:
            features = self.timm.forward_features(planes)
        outputs = {LAST: self.timm.forward_head(features, pre_logits=True)}
        if getattr(self.network, "num_classes", 0):
            outputs[LOGITS] = self.timm.forward_head(features)
        if (last_map := self._on_grid(features)) is not None:
            outputs[LAST_MAP] = last_map
        for number, stage_map in enumerate(maps, 1):
            outputs[f"stage{number}/map"] = stage_map
        return outputs

    def _on_grid(self, features: Tensor) -> Tensor | None:
        """Return the last features as a map (N, C, h, h), or None where they lie on none."""
        width = int(self.timm.num_features)
        if features.ndim == 4:
            channels_last = getattr(self.network, "output_fmt", "NCHW") == "NHWC"
            planes = features.permute(0, 3, 1, 2) if channels_last else features
            return planes if planes.shape[2] == planes.shape[3] else None
        if features.ndim != 3 or features.shape[2] != width:
            return None
        tokens = features[:, int(getattr(self.network, "num_prefix_tokens", 0)) :]
        side = math.isqrt(tokens.shape[1])
        if side * side != tokens.shape[1]:
            return None
        return tokens.transpose(1, 2).reshape(-1, width, side, side)


class ReadyBody(nn.Module):
    """A ready classifier of torchvision's: logits, and the features and map they were made of.

    ``last`` is the last vector before the logits, or the mean of ``last/map`` where there is
    none (SqueezeNet scores every cell, then averages); ``last/map`` is the last square map that
    is not yet one channel a class.
    """

    def __init__(self, network: nn.Module, size_px: int) -> None:
        from torchvision.models.feature_extraction import (
            create_feature_extractor,
            get_graph_node_names,
        )

        super().__init__()
        names = get_graph_node_names(network)[1]
        with torch.no_grad():
            values = create_feature_extractor(network, names)(torch.zeros(1, 3, size_px, size_px))
        classes = values[names[-1]].shape[1]
        vectors = [name for name in names[:-1] if _is_vector(values[name])]
        maps = [
            name for name in names if _is_map(values[name]) and values[name].shape[1] != classes
        ]
        chosen = {names[-1]: LOGITS}
        if vectors:
            chosen[vectors[-1]] = LAST
        if maps:
            chosen[maps[-1]] = LAST_MAP
        if not vectors and not maps:
            raise BadWeights("This network has neither a last map nor last features.")
        self.extract = create_feature_extractor(network, chosen)

    def forward(self, planes: Tensor) -> dict[str, Tensor]:
        """Return ``last``, ``logits`` and, where there is one, ``last/map``."""
        found = self.extract(planes)
        last = found[LAST] if LAST in found else found[LAST_MAP].mean((2, 3))
        ordered = {LAST: last, LOGITS: found[LOGITS]}
        return {**ordered, LAST_MAP: found[LAST_MAP]} if LAST_MAP in found else ordered


def _is_vector(value: object) -> bool:
    return isinstance(value, Tensor) and value.ndim == 2


def _is_map(value: object) -> bool:
    square = isinstance(value, Tensor) and value.ndim == 4 and value.shape[2] == value.shape[3]
    return square and cast(Tensor, value).shape[3] > 1


def chosen_stages(grids: list[int], size_px: int) -> list[int]:
    """Return which of a network's maps are its stages, given the side of each in cells.

    >>> chosen_stages([112, 56, 28, 14, 7], 224)  # ResNet: the stem is left out
    [1, 2, 3, 4]
    >>> chosen_stages([56, 56, 28, 28, 28], 224)  # the deepest of each grid
    [1, 4]
    >>> chosen_stages([14] * 12, 224)  # ViT
    [2, 5, 8, 11]
    """
    if len(set(grids)) == 1:
        count = len(grids)
        spaced = {math.ceil(count * number / STAGES) - 1 for number in range(1, STAGES + 1)}
        return sorted(spaced)
    deepest = {grid: index for index, grid in enumerate(grids)}
    coarse = [index for grid, index in deepest.items() if grid <= math.ceil(size_px / FINEST)]
    return sorted(coarse or deepest.values())

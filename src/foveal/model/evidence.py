"""Where a linear head's evidence lies: the plan of the heat map, block by block.

Every feature of a block is the mean of one channel over a region of a grid, or belongs to one
cell of it. So the head's own linear terms, ``w · (feature − training mean)``, can be handed
back to the cells they came from, exactly and without gradients (class activation maps, Zhou et
al., CVPR 2016, extended from the last layer to every block). What has no grid, a colour
histogram or a class token, stays unexplained, and its share is stated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foveal.backbone.spec import LAST, LAST_MAP, BackboneSpec
from foveal.model.classifier import CLASSICAL, OWN_LOGITS, Classifier


@dataclass(frozen=True, slots=True, eq=False)
class Pooled:
    """A block whose features are means of a map's channels over regions of its grid."""

    map: str  # the graph output (N, C, grid, grid) it is pooled from
    grid: int
    shares_RG: NDArray[np.float32]  # (regions, grid²): each region's weights, summing to 1


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """A block whose first grid² × depth features lie on a grid, cell by cell, row by row."""

    grid: int
    depth: int


Plan = Pooled | Placed | None  # None: no grid


def plan(classifier: Classifier) -> dict[str, Plan]:
    """Return, for every block the head reads, how its evidence is laid on a grid."""
    spec = classifier.host.spec
    plans: dict[str, Plan] = {}
    for block in classifier.blocks:
        if block == CLASSICAL and classifier.classical is not None:
            plans[block] = _placed(classifier.classical.spec)
        elif block == LAST:
            plans[block] = _last(spec)
        elif block == OWN_LOGITS:
            plans[block] = None
        else:
            stage = next(stage for stage in spec.stages if block in (stage.mean, stage.quarters))
            shares = _whole(stage.grid) if block == stage.mean else _quarters(stage.grid)
            plans[block] = Pooled(stage.map, stage.grid, shares)
    return plans


def has_heat_map(classifier: Classifier) -> bool:
    """Whether the graph itself can say where the model looked.

    False where the last features are not the mean of a map (VGG's layers, a class token):
    there only covering parts of the picture can tell, see ``explain.occlusion``.
    """
    return plan(classifier).get(LAST) is not None


def spread(source: int, target: int) -> NDArray[np.float32]:
    """Return (target, source) weights that lay a finer grid over a coarser one by shared area.

    Each column sums to 1: evidence is moved, never made.

    >>> spread(2, 4).tolist()
    [[0.5, 0.0], [0.5, 0.0], [0.0, 0.5], [0.0, 0.5]]
    """
    low_T, low_S = np.arange(target) / target, np.arange(source) / source
    upper = np.minimum(low_T[:, None] + 1 / target, low_S[None] + 1 / source)
    overlap = np.clip(upper - np.maximum(low_T[:, None], low_S[None]), 0, None)
    return np.asarray(overlap * source, dtype=np.float32)


def _last(spec: BackboneSpec) -> Plan:
    if spec.name == CLASSICAL:
        return _placed(spec)
    if spec.last_is_mean and spec.last_grid:
        return Pooled(LAST_MAP, spec.last_grid, _whole(spec.last_grid))
    return None


def _placed(spec: BackboneSpec) -> Placed:
    assert spec.last_grid is not None
    return Placed(spec.last_grid, spec.features // spec.last_grid**2)


def _whole(grid: int) -> NDArray[np.float32]:
    return np.full((1, grid * grid), 1 / (grid * grid), dtype=np.float32)


def _quarters(grid: int) -> NDArray[np.float32]:
    """Return the regions of adaptive 2×2 pooling; an odd grid's middle belongs to both sides."""
    half = math.ceil(grid / 2)
    sides = [np.arange(grid) < half, np.arange(grid) >= grid - half]
    regions = [np.outer(rows, columns).ravel() for rows in sides for columns in sides]
    return np.asarray([region / region.sum() for region in regions], dtype=np.float32)

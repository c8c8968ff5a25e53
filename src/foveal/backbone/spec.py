"""What a backbone is: its record, its named blocks, and the protocol everything relies on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from foveal.image.preprocess import Preprocess

if TYPE_CHECKING:
    import onnx

Blocks = dict[str, NDArray[np.float32]]  # block name -> (N, D)
NetworkWeights = dict[str, NDArray[Any]]  # timm's own keys -> tensors, as trained

PIXELS = "pixels"  # the graph's only input: uint8 (N, size, size, 3), RGB
LAST = "last"  # the last features (N, D), what the network's own classifier reads
LAST_MAP = "last/map"  # the last feature map (N, C, h, w)
LOGITS = "logits"  # what its own classifier says (N, K), where the weights brought one


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage of a network, shallow to deep; its outputs are named after it.

    ``NAME/mean`` is (N, C), ``NAME/2x2`` is (N, 4C): channel by channel the means of the four
    quarters, row by row (c0 top-left, c0 top-right, c0 bottom-left, c0 bottom-right, c1 …).
    ``NAME/map`` (N, C, grid, grid) is their source; it is a graph output too, for heat maps.
    """

    name: str  # stage1, stage2, …
    channels: int
    grid: int  # side of its map, in cells

    @property
    def mean(self) -> str:
        """Name of the (N, C) output."""
        return f"{self.name}/mean"

    @property
    def quarters(self) -> str:
        """Name of the (N, 4C) output."""
        return f"{self.name}/2x2"

    @property
    def map(self) -> str:
        """Name of the (N, C, grid, grid) output."""
        return f"{self.name}/map"


@dataclass(frozen=True, slots=True, kw_only=True)
class BackboneSpec:
    """Everything about a backbone but its graph: written beside it as ``backbone.json``."""

    name: str  # as the user said it: resnet18, classical, a file's stem
    preprocess: Preprocess
    features: int  # D of the block ``last``
    last_grid: int | None  # side of ``last/map``; None where the network has no such map
    last_is_mean: bool  # whether ``last`` is the mean of ``last/map``: then heat maps are exact
    stages: tuple[Stage, ...]  # shallow to deep; the deepest may be the last map itself
    fingerprint: str  # SHA-256 of the graph file, 64 hexadecimal digits
    weights: str  # where they came from, in words: "timm/resnet18.a1_in1k", "resnet18.safetensors"
    licence: str | None = None
    assumed: tuple[str, ...] = ()  # sentences: what nobody said and was taken for granted
    # What timm needs to build the same network again; None for a graph of other origin.
    architecture: str | None = None
    model_args: dict[str, Any] = field(default_factory=dict)
    classifier: str | None = None  # name of the last linear layer in the weights: "fc"
    classes: int | None = None  # K of the output ``logits``; None where the graph has none

    def widths(self) -> dict[str, int]:
        """Return the number of features of every block, simplest first."""
        blocks = {LAST: self.features}
        for stage in self.stages:
            blocks[stage.mean] = stage.channels
            blocks[stage.quarters] = 4 * stage.channels
        return blocks


class Backbone(Protocol):
    """A frozen network: pixels in, named blocks out. ``classical`` is one too."""

    @property
    def spec(self) -> BackboneSpec:
        """The record of it."""

    def embed(self, pixels: NDArray[np.uint8], blocks: Sequence[str]) -> Blocks:
        """Return the asked-for ``blocks`` of a batch; nothing else is computed.

        Args:
            pixels: (N, size, size, 3) uint8 RGB, made by ``image`` with ``spec.preprocess``.
            blocks: names from ``spec.widths()``.

        Returns:
            name -> (N, D) float32. The same picture gives the same bits in any batch.
        """

    def graph(self, outputs: Iterable[str]) -> onnx.ModelProto:
        """Return the ONNX graph from ``pixels`` to just these outputs, blocks or maps."""

    def network_weights(self) -> NetworkWeights | None:
        """Return the network's weights in timm's keys; None where timm cannot build it."""

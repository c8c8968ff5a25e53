"""A residual network becomes a graph straight from its weights, without torch.

The weights are in the keys of timm's ``ResNet``: a deep or a plain stem, four layers of basic
blocks or bottlenecks, one linear classifier. Each BatchNorm is folded into the convolution before
it, in float64, so the graph is what torch's exporter would make of it, but for rounding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from foveal.backbone import graphs
from foveal.backbone.spec import LAST, LAST_MAP, LOGITS, NetworkWeights, Stage
from foveal.core.errors import BadWeights, OutOfRange
from foveal.image.preprocess import Preprocess

if TYPE_CHECKING:
    import onnx

LAYERS = 4
COARSEST = 32  # pixels a cell of the last map
BN_EPS = 1e-5  # torch's default
_INPUT, _COLOURS = "planes", 3
_UNREAD = "num_batches_tracked"  # BatchNorm's, of no use once trained

Value = str  # the name of a value in the graph


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Residual:
    """The graph of a residual network, and what its outputs are."""

    model: onnx.ModelProto  # from ``pixels`` to last, logits, last/map and every stage's outputs
    stages: tuple[Stage, ...]
    features: int
    classes: int
    last_grid: int


def residual(weights: NetworkWeights, preprocess: Preprocess) -> Residual:
    """Return the graph of a network for pixels made by ``preprocess``.

    Args:
        weights: in timm's keys, of any float type.
        preprocess: its size decides the grids; mean and std become part of the graph.

    Raises:
        OutOfRange: for a size that is no multiple of 32 pixels: other grids would not halve.
        BadWeights: for a network that has other parts.
    """
    size = preprocess.size_px
    if size % COARSEST:
        raise OutOfRange("size_px", size, f"a multiple of {COARSEST} for this network")
    g = _Graph(weights)
    value, stages = g.stem(), []
    for number in range(1, LAYERS + 1):
        value = g.layer(number, value)
        grid = size // COARSEST << (LAYERS - number)
        stages.append(Stage(name=f"stage{number}", channels=g.width(number), grid=grid))
    features, classes = g.head(value)
    g.check_all_read()
    model = g.model()
    graphs.add_output(model, LAST, [features])
    graphs.add_output(model, LOGITS, [classes])
    graphs.add_output(model, LAST_MAP, [features, stages[-1].grid, stages[-1].grid], source=value)
    graphs.add_normalisation(model, preprocess, to=_INPUT)
    for stage, source in zip(stages, g.maps, strict=True):
        shape = [stage.channels, stage.grid, stage.grid]
        graphs.add_output(model, stage.map, shape, source=source)
        graphs.add_pools(model, stage)
    return Residual(
        model=model,
        stages=tuple(stages),
        features=features,
        classes=classes,
        last_grid=stages[-1].grid,
    )


class _Graph:
    """A graph being written, one block after the other."""

    def __init__(self, weights: Mapping[str, NDArray[Any]]) -> None:
        self.weights = weights
        self.read: set[str] = set()
        self.channels = {_INPUT: _COLOURS}  # of every value
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.maps: list[Value] = []  # of every layer

    def stem(self) -> Value:
        """Add what comes before the first layer: a quarter of the picture's side."""
        if "conv1.0.weight" in self.weights:
            value = self.convolution("conv1.0", "conv1.1", _INPUT, stride=2, relu=True)
            value = self.convolution("conv1.3", "conv1.4", value, relu=True)
            value = self.convolution("conv1.6", "bn1", value, relu=True)
        else:
            value = self.convolution("conv1", "bn1", _INPUT, stride=2, relu=True)
        pooled = self.add(
            "MaxPool", "maxpool", value, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]
        )
        self.channels[pooled] = self.channels[value]
        return pooled

    def layer(self, number: int, value: Value) -> Value:
        """Add a layer of blocks; the first one halves the grid, but in the first layer."""
        block = 0
        if f"layer{number}.0.conv1.weight" not in self.weights:
            raise BadWeights(f"layer{number} is missing: this is no plain ResNet.")
        while f"layer{number}.{block}.conv1.weight" in self.weights:
            stride = 2 if number > 1 and block == 0 else 1
            value = self.block(f"layer{number}.{block}", value, stride)
            block += 1
        self.maps.append(value)
        return value

    def block(self, name: str, value: Value, stride: int) -> Value:
        """Add two convolutions, or the three of a bottleneck, and the way around them.

        Source:
            He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, figure 5; the
            bottleneck's second convolution has the stride, as in timm and torchvision.
        """
        deep = f"{name}.conv3.weight" in self.weights
        first, second = (1, stride) if deep else (stride, 1)
        inner = self.convolution(f"{name}.conv1", f"{name}.bn1", value, stride=first, relu=True)
        inner = self.convolution(f"{name}.conv2", f"{name}.bn2", inner, stride=second, relu=deep)
        if deep:
            inner = self.convolution(f"{name}.conv3", f"{name}.bn3", inner)
        around = value
        if f"{name}.downsample.0.weight" in self.weights:
            around = self.convolution(
                f"{name}.downsample.0", f"{name}.downsample.1", value, stride=stride
            )
        if self.channels[around] != self.channels[inner]:
            raise BadWeights(f"The way around {name} is none that a plain ResNet has.")
        out = self.add("Relu", name, self.add("Add", f"{name}.sum", inner, around))
        self.channels[out] = self.channels[inner]
        return out

    def convolution(
        self, name: str, norm: str, value: Value, *, stride: int = 1, relu: bool = False
    ) -> Value:
        """Add a convolution with its BatchNorm folded in."""
        variance = self.tensor(f"{norm}.running_var").astype(np.float64)
        scale = self.tensor(f"{norm}.weight") / np.sqrt(variance + BN_EPS)
        kernel = self.tensor(f"{name}.weight").astype(np.float64) * scale[:, None, None, None]
        mean = self.tensor(f"{norm}.running_mean").astype(np.float64)
        bias = self.tensor(f"{norm}.bias") - mean * scale
        groups, rest = divmod(self.channels[value], kernel.shape[1])
        if rest or not groups:
            raise BadWeights(f"{name} does not fit what comes before it in a plain ResNet.")
        side = kernel.shape[-1]
        out = self.add(
            "Conv",
            name,
            value,
            self.constant(f"{name}.weight", kernel),
            self.constant(f"{name}.bias", bias),
            kernel_shape=[side, side],
            strides=[stride, stride],
            pads=[side // 2] * 4,
            group=groups,
        )
        made = self.add("Relu", f"{name}.relu", out) if relu else out
        self.channels[made] = len(kernel)
        return made

    def head(self, value: Value) -> tuple[int, int]:
        """Add the mean of the last map and the classifier; return how many numbers each gives."""
        kernel, bias = self.tensor("fc.weight"), self.tensor("fc.bias")
        mean = self.add("GlobalAveragePool", "pool", value)
        self.add("Flatten", LAST, mean, axis=1)
        self.add(
            "Gemm",
            LOGITS,
            LAST,
            self.constant("fc.weight", kernel),
            self.constant("fc.bias", bias),
            transB=1,
        )
        if kernel.shape[1] != self.channels[value]:
            raise BadWeights("Between the last map and the classifier is more than a mean.")
        return kernel.shape[1], kernel.shape[0]

    def tensor(self, name: str) -> NDArray[Any]:
        """Return one of the weights, which has to be there."""
        if name not in self.weights:
            raise BadWeights(f"{name} is missing: this is no plain ResNet.")
        self.read.add(name)
        return self.weights[name]

    def check_all_read(self) -> None:
        """Refuse weights that have no place in the graph: the network does more than it."""
        if odd := [n for n in self.weights if n not in self.read and not n.endswith(_UNREAD)]:
            raise BadWeights(f"A plain ResNet has no {odd[0]}.")

    def width(self, number: int) -> int:
        """Return the channels of a layer."""
        return self.channels[self.maps[number - 1]]

    def add(self, kind: str, name: Value, *inputs: Value, **attributes: Any) -> Value:
        """Add an operator and return the name of its value."""
        from onnx import helper

        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def constant(self, name: str, values: NDArray[Any]) -> Value:
        """Add a float32 constant."""
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(values.astype(np.float32), name))
        return name

    def model(self) -> onnx.ModelProto:
        """Return the graph from the normalised planes, without outputs yet."""
        from onnx import helper

        return helper.make_model(
            helper.make_graph(self.nodes, "backbone", [], [], self.constants),
            opset_imports=[helper.make_opsetid("", graphs.OPSET)],
            ir_version=graphs.IR_VERSION,
            producer_name="foveal",
        )

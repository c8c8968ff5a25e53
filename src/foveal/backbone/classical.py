"""``classical``: oriented gradients on a grid and a colour histogram, as a graph of fixed filters.

Nothing in it was learnt, so it needs no weights, no network and no torch. It is the baseline of
every report and a block that a probe may read beside its host's features: any image size goes
in and is reduced to ``SIDE`` pixels inside the graph, so the host's pixels serve it too.

``last`` (N, 1812) holds 1,764 numbers in the order of scikit-image's ``hog`` (block row, block
column, cell row in the block, cell column in the block, orientation), then 16 shares each of
hue, saturation and value. ``last/map`` (N, 36, 7, 7) is the first part on its grid of blocks:
number ``(row * 7 + column) * 36 + channel`` of ``last`` is ``map[channel, row, column]``, where
``channel = (cell row * 2 + cell column) * 9 + orientation``.

Why grey, why squashed, and how fast: docs/decisions/0006-classical.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from foveal.backbone import graphs
from foveal.backbone.running import OnnxBackbone
from foveal.backbone.spec import LAST, LAST_MAP, PIXELS, BackboneSpec
from foveal.core.errors import OutOfRange
from foveal.image.preprocess import Preprocess

if TYPE_CHECKING:
    import onnx

NAME = "classical"
DEFAULT_PREPROCESS = Preprocess(size_px=96, crop=1.0, shape="squash", interpolation="bilinear")

SIDE = 96  # pixels of the picture that everything is computed from
CELL = 12  # pixels
CELLS = SIDE // CELL  # along a side
BLOCKS = CELLS - 1  # along a side; a block is 2 × 2 cells, one cell apart
ORIENTATIONS = 9  # bins of 20 degrees over the half circle
CHANNELS = 4 * ORIENTATIONS  # of a block
GRADIENTS = BLOCKS * BLOCKS * CHANNELS
BINS = 16  # each of hue, saturation and value
FEATURES = GRADIENTS + 3 * BINS

GREY = (54 / 256, 183 / 256, 19 / 256)  # Rec. 709 luma in steps that are exact on uint8 pixels
NORM_EPSILON = 1e-5  # scikit-image's, on pixels in [0, 255]
NORM_LIMIT = 0.2  # the "Hys" of L2-Hys
TINY = 2.0**-17  # below the smallest difference of two colours that is not 0

FLOAT, UINT8, INT64 = 1, 2, 7  # onnx.TensorProto's numbers, written here so that onnx loads late

Value = str  # the name of a value in the graph


def classical(
    preprocess: Preprocess = DEFAULT_PREPROCESS, *, threads: int | None = None
) -> OnnxBackbone:
    """Return the backbone ``classical`` for pixels made by ``preprocess``.

    Args:
        preprocess: its own default, or that of the host whose pixels it shall read too. Its
            ``mean`` and ``std`` do not matter: the filters read the uint8 pixels.
        threads: see ``OnnxBackbone``.

    >>> classical().spec.features
    1812
    """
    model = classical_graph(preprocess.size_px)
    spec = BackboneSpec(
        name=NAME,
        preprocess=preprocess,
        features=FEATURES,
        last_grid=BLOCKS,
        last_is_mean=False,
        stages=(),
        fingerprint=graphs.fingerprint(graphs.to_bytes(model)),
        weights="none: fixed filters",
        licence="MIT",
    )
    return OnnxBackbone(spec, model, threads=threads)


def classical_graph(size_px: int) -> onnx.ModelProto:
    """Return the graph from ``pixels`` uint8 (N, size, size, 3) RGB to ``last`` and ``last/map``.

    Equal sizes give equal bytes.

    Raises:
        OutOfRange: for a side below 16 pixels, the least that ``Preprocess`` allows.

    Source:
        Dalal and Triggs, "Histograms of Oriented Gradients for Human Detection", CVPR 2005,
        in the variant of scikit-image's ``hog``, which the tests compare it with.
    """
    if size_px < 16:
        raise OutOfRange("size_px", size_px, "at least 16 pixels")
    g = _Graph()
    planes = _reduced(g, size_px)
    blocks = _normalised_blocks(g, _cells(g, *_gradients(g, _grey(g, planes))))
    gradients = g.add(
        "Reshape", g.add("Transpose", blocks, perm=[0, 2, 3, 1]), g.ints(0, GRADIENTS)
    )
    g.add("Concat", gradients, _colours(g, planes), axis=1, name=LAST)
    return g.model(size_px)


def reducing_weights(size_px: int) -> NDArray[np.float32]:
    """Return the matrix (96, size) that reduces, or enlarges, a row of pixels to 96.

    Antialiased triangle filter, as Pillow's bilinear. The weights are multiples of 1/256 and
    each row sums to exactly 1: a float32 holds 8 + 8 + 8 bits, so the reduced picture is exact,
    whatever the order of summation, and what is flat stays flat.

    >>> reducing_weights(192)[0, :4].tolist()
    [0.4296875, 0.4296875, 0.140625, 0.0]
    """
    scale = size_px / SIDE
    centre = (np.arange(SIDE)[:, None] + 0.5) * scale
    weights = np.maximum(0, 1 - np.abs(np.arange(size_px) + 0.5 - centre) / max(scale, 1.0))
    weights *= 256 / weights.sum(axis=1, keepdims=True)
    steps = np.floor(weights)
    missing = np.round(256 - steps.sum(axis=1)).astype(int)
    by_remainder = np.argsort(steps - weights, axis=1, kind="stable")
    for row, count in enumerate(missing):
        steps[row, by_remainder[row, :count]] += 1
    return (steps / 256).astype(np.float32)


def _reduced(g: _Graph, size_px: int) -> Value:
    """Return the colour planes (N, 3, 96, 96) in [0, 255]; 96 px pass as they are."""
    pixels = g.add("Cast", PIXELS, to=FLOAT)
    if size_px == SIDE:
        return g.add("Transpose", pixels, perm=[0, 3, 1, 2])
    weights = reducing_weights(size_px)
    lines = g.add("Reshape", pixels, g.ints(0, size_px, 3 * size_px))
    rows = g.add("MatMul", g.floats(weights), lines)
    rows = g.add("Reshape", rows, g.ints(0, SIDE, size_px, 3))
    rows = g.add("Transpose", rows, perm=[0, 3, 1, 2])
    return g.add("MatMul", rows, g.floats(weights.T))


def _grey(g: _Graph, planes: Value) -> Value:
    """Return the brightness (N, 1, 96, 96), by single products and sums: no order to differ in."""
    red, green, blue = (
        g.add("Mul", plane, g.floats(weight))
        for plane, weight in zip(g.split(planes), GREY, strict=True)
    )
    return g.add("Add", g.add("Add", red, green), blue)


def _gradients(g: _Graph, grey: Value) -> tuple[Value, Value]:
    """Return x and y differences of the two neighbours, (N, 1, 96, 96) each; 0 at the border."""

    def along(axis: int) -> Value:
        after = g.add("Slice", grey, g.ints(2), g.ints(SIDE), g.ints(axis))
        before = g.add("Slice", grey, g.ints(0), g.ints(SIDE - 2), g.ints(axis))
        border = [int(place % 4 == axis) for place in range(8)]
        return g.add("Pad", g.add("Sub", after, before), g.ints(*border))

    return along(3), along(2)


def _cells(g: _Graph, x: Value, y: Value) -> Value:
    """Return the mean gradient per cell and orientation (N, 9, 8, 8).

    Directions are flipped into the upper half plane. There, the angle is at least ``a`` where
    ``cos a * y - sin a * x >= 0``: no arc tangent. What lies in one bin is what passed its lower
    bound less what passed the next.
    """
    strength = g.add("Sqrt", g.add("Add", g.add("Mul", x, x), g.add("Mul", y, y)))
    level = g.add("Equal", y, g.floats(0))
    up_x = g.add("Where", level, g.add("Abs", x), g.add("Mul", x, g.add("Sign", y)))
    up = g.add("Concat", up_x, g.add("Abs", y), axis=1)
    bounds = np.deg2rad(180 / ORIENTATIONS * np.arange(1, ORIENTATIONS))
    turned = np.stack([-np.sin(bounds), np.cos(bounds)], axis=1)
    side = g.add("Conv", up, g.floats(turned[:, :, None, None]))
    passed = g.add("Where", g.add("GreaterOrEqual", side, g.floats(0)), strength, g.floats(0))
    passed = g.add("Concat", strength, passed, axis=1)
    sums = g.add("AveragePool", passed, kernel_shape=[CELL, CELL], strides=[CELL, CELL])
    less_next = np.eye(ORIENTATIONS) - np.eye(ORIENTATIONS, k=1)
    return g.add("Conv", sums, g.floats(less_next[:, :, None, None]))


def _normalised_blocks(g: _Graph, cells: Value) -> Value:
    """Return ``last/map`` (N, 36, 7, 7): four cells to a block, scaled by L2-Hys."""
    corners = [
        g.add("Slice", cells, g.ints(y, x), g.ints(y + BLOCKS, x + BLOCKS), g.ints(2, 3))
        for y in (0, 1)
        for x in (0, 1)
    ]

    def scaled(blocks: Value, name: str = "") -> Value:
        squares = g.add("ReduceSumSquare", blocks, g.ints(1), keepdims=1)
        length = g.add("Sqrt", g.add("Add", squares, g.floats(NORM_EPSILON**2)))
        return g.add("Div", blocks, length, name=name)

    once = scaled(g.add("Concat", *corners, axis=1))
    return scaled(g.add("Min", once, g.floats(NORM_LIMIT)), LAST_MAP)


def _colours(g: _Graph, planes: Value) -> Value:
    """Return the shares (N, 48) of the pixels in 16 equal bins of hue, saturation and value.

    The divisions stand last, so that a colour on the edge of two bins lands in the upper one.
    """
    red, green, blue = g.split(planes)
    value = g.add("Max", red, green, blue)
    spread = g.add("Sub", value, g.add("Min", red, green, blue))
    hue = _hue(g, red, green, blue, spread)
    hue_bin = g.add("Div", g.add("Mul", hue, g.floats(BINS / 2)), g.floats(6 / 2))
    not_black = g.add("Max", value, g.floats(TINY))
    saturation_bin = g.add("Div", g.add("Mul", spread, g.floats(BINS)), not_black)
    value_bin = g.add("Div", g.add("Mul", value, g.floats(BINS)), g.floats(255))

    bins = g.add("Concat", hue_bin, saturation_bin, value_bin, axis=1)
    bins = g.add("Reshape", g.add("Cast", bins, to=INT64), g.ints(0, 3, SIDE * SIDE))
    bins = g.add("Min", bins, g.ints(BINS - 1))
    bins = g.add("Add", bins, g.ints([0], [BINS], [2 * BINS]))
    bins = g.add("Reshape", bins, g.ints(0, 3 * SIDE * SIDE))
    none = g.add(
        "Expand",
        g.floats(0),
        g.add("Concat", g.add("Shape", bins, end=1), g.ints(3 * BINS), axis=0),
    )
    ones = g.add("Expand", g.floats(1), g.add("Shape", bins))
    counts = g.add("ScatterElements", none, bins, ones, axis=1, reduction="add")
    return g.add("Div", counts, g.floats(SIDE * SIDE))


def _hue(g: _Graph, red: Value, green: Value, blue: Value, spread: Value) -> Value:
    """Return the place on the circle of colours, in sixths, in [0, 6); grey has 0."""
    value = g.add("Max", red, green, blue)
    divisor = g.add("Max", spread, g.floats(TINY))

    def sixths(high: Value, low: Value) -> Value:
        return g.add("Div", g.add("Sub", high, low), divisor)

    from_red = sixths(green, blue)
    from_green = g.add("Add", sixths(blue, red), g.floats(2))
    from_blue = g.add("Add", sixths(red, green), g.floats(4))
    below = g.add("Less", from_red, g.floats(0))
    from_red = g.add("Where", below, g.add("Add", from_red, g.floats(6)), from_red)
    other = g.add("Where", g.add("Equal", value, green), from_green, from_blue)
    return g.add("Where", g.add("Equal", value, red), from_red, other)


class _Graph:
    """A graph being written, one operator after the other."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, kind: str, *inputs: Value, name: Value = "", **attributes: Any) -> Value:
        """Add an operator and return the name of its value."""
        value = name or self._next(kind)
        self._put(kind, inputs, [value], **attributes)
        return value

    def split(self, planes: Value) -> list[Value]:
        """Return the three colours of (N, 3, h, w), (N, 1, h, w) each."""
        parts = [f"{self._next('Split')}/{colour}" for colour in ("red", "green", "blue")]
        self._put("Split", [planes], parts, axis=1, num_outputs=3)
        return parts

    def floats(self, values: ArrayLike) -> Value:
        """Return a float32 constant."""
        return self._constant(np.asarray(values, np.float32))

    def ints(self, *values: int | list[int]) -> Value:
        """Return an int64 constant, (n,) or, of lists, (n, m)."""
        return self._constant(np.asarray(values, np.int64))

    def model(self, size_px: int) -> onnx.ModelProto:
        """Return the finished graph."""
        from onnx import helper

        pixels: list[str | int | None] = [graphs.BATCH, size_px, size_px, 3]
        model = helper.make_model(
            helper.make_graph(
                self.nodes,
                NAME,
                [helper.make_tensor_value_info(PIXELS, UINT8, pixels)],
                [],
                self.constants,
            ),
            opset_imports=[helper.make_opsetid("", graphs.OPSET)],
            ir_version=graphs.IR_VERSION,
            producer_name="foveal",
        )
        graphs.add_output(model, LAST, [FEATURES])
        graphs.add_output(model, LAST_MAP, [CHANNELS, BLOCKS, BLOCKS])
        return model

    def _put(
        self, kind: str, inputs: Sequence[Value], outputs: Sequence[Value], **attributes: Any
    ) -> None:
        from onnx import helper

        self.nodes.append(helper.make_node(kind, inputs, outputs, name=outputs[0], **attributes))

    def _constant(self, values: NDArray[Any]) -> Value:
        from onnx import numpy_helper

        name = f"{NAME}/constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(values, name))
        return name

    def _next(self, kind: str) -> Value:
        return f"{NAME}/{kind.lower()}_{len(self.nodes)}"

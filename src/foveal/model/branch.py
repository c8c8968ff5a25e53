"""`Branch`: one classifier inside the graph: its networks, its head, where its evidence lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from foveal.backbone.spec import LAST, PIXELS
from foveal.core.errors import BadWeights
from foveal.model.classifier import CLASSICAL, OWN_LOGITS, Classifier
from foveal.model.evidence import Placed, Plan, Pooled, plan, spread

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True, slots=True)
class Evidence:
    """Names of values in the graph; what is said of the evidence is a sum over each list."""

    maps: tuple[str, ...]  # (N, grid, grid) each, signed
    placed: tuple[str, ...]  # (N,) each: sizes of what lies on a map
    everything: tuple[str, ...]  # (N,) each: sizes of all evidence, ``placed`` among them


class Writer:
    """Adds constants and nodes to a graph, each with a name of its own."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.graph = graph

    def constant(self, name: str, value: NDArray[np.generic]) -> str:
        """Add a constant, unless one of this name is there."""
        from onnx import numpy_helper

        if all(name != tensor.name for tensor in self.graph.initializer):
            self.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def node(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Add a node that computes ``output``."""
        from onnx import helper

        made = helper.make_node(kind, inputs, [output], name=output, **attributes)
        self.graph.node.append(made)
        return output

    def sum(self, values: Sequence[str], output: str) -> str:
        """Add the sum of one value or several."""
        return self.node("Sum" if len(values) > 1 else "Identity", values, output)


class Branch:
    """Adds the nodes of one classifier beside its networks, prefixed ``head/``.

    Where a graph has several, everything of a branch begins with its ``prefix``.
    """

    def __init__(self, writer: Writer, classifier: Classifier, *, prefix: str = "") -> None:
        self.writer = writer
        self.classifier = classifier
        self.prefix = prefix
        self.plans: dict[str, Plan] = plan(classifier)
        self.centred_KD = classifier.head.weights_KD - classifier.head.weights_KD.mean(axis=0)

    @property
    def grid(self) -> int:
        """Side of the finest grid its evidence lies on, in cells; 0 where there is none."""
        return max((each.grid for each in self.plans.values() if each is not None), default=0)

    def answer(self, output: str) -> str:
        """Join the blocks, apply the head: ``output`` is its logits (N, K)."""
        head = self.classifier.head
        names = [self._value(block) for block in self.classifier.blocks]
        features = names[0]
        if len(names) > 1:
            features = self._node("Concat", names, "features", axis=1)
        weights = self._constant("weights", np.ascontiguousarray(head.weights_KD.T))
        bias = self._constant("bias", head.bias_K)
        return self.writer.node("Gemm", [features, weights, bias], output)

    def evidence(self, answer: str, grid: int) -> Evidence:
        """Hand the evidence for the class numbers ``answer`` (N,) back to the cells of a grid."""
        maps, placed, everything = [], [], []
        start = 0
        for number, (block, width) in enumerate(self.classifier.widths.items()):
            columns = slice(start, start + width)
            start += width
            total, cells = self._block(number, block, columns, answer)
            source = self.plans[block]
            if cells is None or source is None:
                everything.append(self._node("Abs", [total], f"{number}/size"))
                continue
            both = self._constant("axes12", np.array([1, 2], dtype=np.int64))
            on_grid = self._node("ReduceSum", [cells, both], f"{number}/on_grid", keepdims=0)
            rest = self._node("Sub", [total, on_grid], f"{number}/rest")
            placed.append(self._node("Abs", [on_grid], f"{number}/placed"))
            everything += [placed[-1], self._node("Abs", [rest], f"{number}/unplaced")]
            maps.append(self._spread(number, cells, source.grid, grid))
        return Evidence(tuple(maps), tuple(placed), tuple(everything))

    def _constant(self, name: str, value: NDArray[np.generic]) -> str:
        return self.writer.constant(f"{self.prefix}head/{name}", value)

    def _node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        return self.writer.node(kind, inputs, f"{self.prefix}head/{output}", **attributes)

    def _value(self, block: str) -> str:
        return self.prefix + value_of(block)

    def _block(
        self, number: int, block: str, columns: slice, answer: str
    ) -> tuple[str, str | None]:
        """Return a block's evidence for the answer (N,), and cell by cell (N, grid, grid)."""
        value = self._value(block)
        centre = self._constant(f"{number}/centre", self.classifier.centre_D[None, columns])
        table = self._constant(f"{number}/weights", self.centred_KD[:, columns])
        weights = self._node("Gather", [table, answer], f"{number}/w", axis=0)
        moved = self._node("Sub", [value, centre], f"{number}/moved")
        terms = self._node("Mul", [weights, moved], f"{number}/terms")
        axis = self._constant("axis1", np.array([1], dtype=np.int64))
        total = self._node("ReduceSum", [terms, axis], f"{number}/total", keepdims=0)
        match self.plans[block]:
            case Placed() as place:
                return total, self._placed(number, terms, place)
            case Pooled() as pooled:
                return total, self._pooled(number, weights, centre, pooled)
            case None:
                return total, None

    def _placed(self, number: int, terms: str, place: Placed) -> str:
        used = place.grid**2 * place.depth
        bounds = [self._constant(f"i{n}", np.array([n], dtype=np.int64)) for n in (0, used, 1)]
        part = self._node("Slice", [terms, *bounds], f"{number}/part")
        shape = self._constant(
            f"s{place.grid}x{place.depth}",
            np.array([0, place.grid, place.grid, place.depth], dtype=np.int64),
        )
        cells = self._node("Reshape", [part, shape], f"{number}/cells")
        last = self._constant("axis3", np.array([3], dtype=np.int64))
        return self._node("ReduceSum", [cells, last], f"{number}/grid", keepdims=0)

    def _pooled(self, number: int, weights: str, centre: str, pooled: Pooled) -> str:
        """Σ_regions share × (w_region · map(cell) − w_region · centre_region)."""
        regions = len(pooled.shares_RG)

        def per_region(value: str, name: str) -> str:  # (N, C·R) -> (N, R, C)
            shape = self._constant(f"cr{regions}", np.array([0, -1, regions], dtype=np.int64))
            split = self._node("Reshape", [value, shape], f"{number}/{name}/split")
            return self._node("Transpose", [split], f"{number}/{name}", perm=[0, 2, 1])

        w = per_region(weights, "wr")
        m = per_region(centre, "mr")
        flat = self._constant("flat", np.array([0, 0, -1], dtype=np.int64))
        cells = self._node("Reshape", [self.prefix + pooled.map, flat], f"{number}/map")
        raw = self._node("MatMul", [w, cells], f"{number}/raw")  # (N, R, grid²)
        product = self._node("Mul", [w, m], f"{number}/wm")
        axis = self._constant("axis2", np.array([2], dtype=np.int64))
        offset = self._node("ReduceSum", [product, axis], f"{number}/offset", keepdims=1)
        moved = self._node("Sub", [raw, offset], f"{number}/from_centre")
        shares = self._constant(f"{number}/shares", pooled.shares_RG[None])
        weighed = self._node("Mul", [moved, shares], f"{number}/weighed")
        first = self._constant("axis1", np.array([1], dtype=np.int64))
        row = self._node("ReduceSum", [weighed, first], f"{number}/row", keepdims=0)
        square = self._constant(
            f"g{pooled.grid}", np.array([0, pooled.grid, pooled.grid], dtype=np.int64)
        )
        return self._node("Reshape", [row, square], f"{number}/grid")

    def _spread(self, number: int, cells: str, source: int, grid: int) -> str:
        if source == grid:
            return cells
        matrix = spread(source, grid)
        rows = self._constant(f"{source}to{grid}", matrix)
        columns = self._constant(f"{source}to{grid}/t", np.ascontiguousarray(matrix.T))
        tall = self._node("MatMul", [rows, cells], f"{number}/tall")
        return self._node("MatMul", [tall, columns], f"{number}/spread")


def value_of(block: str) -> str:
    """Return the graph's name for a block; two of them would clash under their own."""
    return {CLASSICAL: f"{CLASSICAL}/{LAST}", OWN_LOGITS: f"head/own_{OWN_LOGITS}"}.get(
        block, block
    )


def networks(classifier: Classifier, *, maps: bool) -> onnx.ModelProto:
    """Return host and, where it is read, classical graph over one input.

    Args:
        classifier: whose blocks are its outputs.
        maps: whether the maps that its evidence lies on are wanted too.
    """
    from onnx import helper

    wanted = [block for block in classifier.blocks if block != CLASSICAL]
    if maps:
        wanted += [each.map for each in plan(classifier).values() if isinstance(each, Pooled)]
    wanted = list(dict.fromkeys(wanted))
    host = classifier.host.graph(wanted)
    if OWN_LOGITS in wanted:
        _rename(host.graph, OWN_LOGITS, value_of(OWN_LOGITS))
    model = helper.make_model(
        host.graph, producer_name="foveal", opset_imports=list(host.opset_import)
    )
    model.ir_version = host.ir_version
    if classifier.classical is not None:
        append(model, classifier.classical.graph([LAST]), prefix=f"{CLASSICAL}/")
    return model


def prefixed(model: onnx.ModelProto, prefix: str) -> onnx.ModelProto:
    """Return a copy in which every name but the input's begins with ``prefix``."""
    from onnx import compose

    copy = compose.add_prefix(model, prefix)
    _rename(copy.graph, prefix + PIXELS, PIXELS)
    for value in copy.graph.input:
        value.name = PIXELS
    return copy


def append(model: onnx.ModelProto, other: onnx.ModelProto, *, prefix: str) -> None:
    """Add a graph to ``model``, reading the same pixels; its names begin with ``prefix``.

    Raises:
        BadWeights: if the two are written in different versions of ONNX's operators.
    """
    extra = prefixed(other, prefix)
    known = {opset.domain: opset.version for opset in model.opset_import}
    for opset in extra.opset_import:
        if known.setdefault(opset.domain, opset.version) != opset.version:
            raise BadWeights(
                f"Two networks of one model are written for opsets {known[opset.domain]} and "
                f"{opset.version}.",
                hint="Export the newer one again with the older opset.",
            )
    missing = known.keys() - {opset.domain for opset in model.opset_import}
    model.opset_import.extend(o for o in extra.opset_import if o.domain in missing)
    model.ir_version = max(model.ir_version, extra.ir_version)
    model.graph.node.extend(extra.graph.node)
    model.graph.initializer.extend(extra.graph.initializer)
    model.graph.sparse_initializer.extend(extra.graph.sparse_initializer)


def _rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    for node in graph.node:
        if node.name == old:
            node.name = new
        for names in (node.input, node.output):
            for position, name in enumerate(names):
                if name == old:
                    names[position] = new
        for attribute in node.attribute:
            for inner in [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]:
                _rename(inner, old, new)

"""The one graph of a classifier: uint8 pixels in; logits, probabilities and heat map out.

Backbone, classical block, head, temperature and the heat map's arithmetic stand in a single
ONNX file, so whoever opens it anywhere gets the same answer. Nothing in it resizes a picture.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from foveal.backbone.spec import LAST, PIXELS
from foveal.core.settings import to_mapping
from foveal.model.classifier import CLASSICAL, OWN_LOGITS, Classifier
from foveal.model.evidence import Placed, Plan, Pooled, has_heat_map, plan, spread

if TYPE_CHECKING:
    import onnx

LOGITS = "logits"  # (N, K) float32, divided by the temperature
PROBABILITIES = "probabilities"  # (N, K) float32, rows sum to 1
HEAT_MAP = "heat_map"  # (N, G, G) float32, signed: evidence for the answer, cell by cell
UNEXPLAINED = "unexplained"  # (N,) float32 in [0, 1]: share of the evidence without a place


def classifier_graph(classifier: Classifier) -> onnx.ModelProto:
    """Return the classifier as one ONNX model; the same classifier gives the same bytes.

    Input: ``pixels`` uint8 (N, size, size, 3) RGB, resized and cropped as the metadata
    ``preprocess`` says. Outputs: ``logits``, ``probabilities`` and, where the last features
    lie on a grid, ``heat_map`` and ``unexplained``. Metadata (JSON each): ``names`` (the
    classes in order), ``preprocess``, ``imgsz``, ``temperature``.
    """
    import onnx

    writer = _Writer(classifier)
    writer.answer()
    if has_heat_map(classifier):
        writer.heat_map()
    model = writer.model()
    preprocess = classifier.host.spec.preprocess
    onnx.helper.set_model_props(
        model,
        {
            "imgsz": json.dumps([preprocess.size_px, preprocess.size_px]),
            "names": json.dumps(list(classifier.classes), ensure_ascii=False),
            "preprocess": json.dumps(to_mapping(preprocess)),
            "temperature": json.dumps(float(classifier.temperature)),
        },
    )
    return model


class _Writer:
    """Adds nodes to the joined backbones, a name per value, prefixed ``head/``."""

    def __init__(self, classifier: Classifier) -> None:
        self.classifier = classifier
        self.plans: dict[str, Plan] = plan(classifier)
        self.has_map = has_heat_map(classifier)
        self.base = _backbones(classifier, self._wanted())
        self.outputs: list[tuple[str, list[str | int]]] = []
        self.centred_KD = classifier.head.weights_KD - classifier.head.weights_KD.mean(axis=0)

    def _wanted(self) -> list[str]:
        wanted = [block for block in self.classifier.blocks if block != CLASSICAL]
        if self.has_map:
            wanted += [p.map for p in self.plans.values() if isinstance(p, Pooled)]
        return list(dict.fromkeys(wanted))

    def constant(self, name: str, value: NDArray[np.generic]) -> str:
        from onnx import numpy_helper

        full = f"head/{name}"
        if all(full != tensor.name for tensor in self.base.graph.initializer):
            self.base.graph.initializer.append(numpy_helper.from_array(np.asarray(value), full))
        return full

    def node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        from onnx import helper

        self.base.graph.node.append(
            helper.make_node(kind, inputs, [output], name=output, **attributes)
        )
        return output

    def answer(self) -> None:
        """Join the blocks, apply the head."""
        head, blocks = self.classifier.head, list(self.classifier.blocks)
        names = [_value(block) for block in blocks]
        features = names[0]
        if len(names) > 1:
            features = self.node("Concat", names, "head/features", axis=1)
        weights = self.constant("weights", np.ascontiguousarray(head.weights_KD.T))
        bias = self.constant("bias", head.bias_K)
        self.node("Gemm", [features, weights, bias], LOGITS)
        self.node("Softmax", [LOGITS], PROBABILITIES, axis=1)
        classes = len(self.classifier.classes)
        self.outputs += [(LOGITS, ["n", classes]), (PROBABILITIES, ["n", classes])]

    def heat_map(self) -> None:
        """Hand the evidence for the answer back to the cells it came from."""
        grid = max(p.grid for p in self.plans.values() if p is not None)
        self.node("ArgMax", [LOGITS], "head/answer", axis=1, keepdims=0)
        maps, placed, totals = [], [], []
        start = 0
        for number, (block, width) in enumerate(self.classifier.widths.items()):
            columns = slice(start, start + width)
            start += width
            total, cells = self._block(number, block, columns)
            source = self.plans[block]
            if cells is None or source is None:
                totals.append(self.node("Abs", [total], f"head/{number}/size"))
                continue
            both = self.constant("axes12", np.array([1, 2], dtype=np.int64))
            on_grid = self.node("ReduceSum", [cells, both], f"head/{number}/on_grid", keepdims=0)
            rest = self.node("Sub", [total, on_grid], f"head/{number}/rest")
            placed.append(self.node("Abs", [on_grid], f"head/{number}/placed"))
            totals += [placed[-1], self.node("Abs", [rest], f"head/{number}/unplaced")]
            maps.append(self._spread(number, cells, source.grid, grid))
        self._sum(maps, HEAT_MAP)
        self._unexplained(placed, totals)
        self.outputs += [(HEAT_MAP, ["n", grid, grid]), (UNEXPLAINED, ["n"])]

    def _block(self, number: int, block: str, columns: slice) -> tuple[str, str | None]:
        """Return a block's evidence for the answer (N,), and cell by cell (N, grid, grid)."""
        key = f"head/{number}"
        value = _value(block)
        centre = self.constant(f"{number}/centre", self.classifier.centre_D[None, columns])
        table = self.constant(f"{number}/weights", self.centred_KD[:, columns])
        weights = self.node("Gather", [table, "head/answer"], f"{key}/w", axis=0)
        moved = self.node("Sub", [value, centre], f"{key}/moved")
        terms = self.node("Mul", [weights, moved], f"{key}/terms")
        axis = self.constant("axis1", np.array([1], dtype=np.int64))
        total = self.node("ReduceSum", [terms, axis], f"{key}/total", keepdims=0)
        match self.plans[block]:
            case Placed() as place:
                return total, self._placed(key, terms, place)
            case Pooled() as pooled:
                return total, self._pooled(number, weights, centre, pooled)
            case None:
                return total, None

    def _placed(self, key: str, terms: str, place: Placed) -> str:
        used = place.grid**2 * place.depth
        bounds = [self.constant(f"i{n}", np.array([n], dtype=np.int64)) for n in (0, used, 1)]
        part = self.node("Slice", [terms, *bounds], f"{key}/part")
        shape = self.constant(
            f"s{place.grid}x{place.depth}",
            np.array([0, place.grid, place.grid, place.depth], dtype=np.int64),
        )
        cells = self.node("Reshape", [part, shape], f"{key}/cells")
        last = self.constant("axis3", np.array([3], dtype=np.int64))
        return self.node("ReduceSum", [cells, last], f"{key}/grid", keepdims=0)

    def _pooled(self, number: int, weights: str, centre: str, pooled: Pooled) -> str:
        """Σ_regions share × (w_region · map(cell) − w_region · centre_region)."""
        key, regions = f"head/{number}", len(pooled.shares_RG)

        def per_region(value: str, name: str) -> str:  # (N, C·R) -> (N, R, C)
            shape = self.constant(f"cr{regions}", np.array([0, -1, regions], dtype=np.int64))
            split = self.node("Reshape", [value, shape], f"{key}/{name}/split")
            return self.node("Transpose", [split], f"{key}/{name}", perm=[0, 2, 1])

        w = per_region(weights, "wr")
        m = per_region(centre, "mr")
        flat = self.constant("flat", np.array([0, 0, -1], dtype=np.int64))
        cells = self.node("Reshape", [pooled.map, flat], f"{key}/map")
        raw = self.node("MatMul", [w, cells], f"{key}/raw")  # (N, R, grid²)
        product = self.node("Mul", [w, m], f"{key}/wm")
        axis = self.constant("axis2", np.array([2], dtype=np.int64))
        offset = self.node("ReduceSum", [product, axis], f"{key}/offset", keepdims=1)
        moved = self.node("Sub", [raw, offset], f"{key}/from_centre")
        shares = self.constant(f"{number}/shares", pooled.shares_RG[None])
        weighed = self.node("Mul", [moved, shares], f"{key}/weighed")
        first = self.constant("axis1", np.array([1], dtype=np.int64))
        row = self.node("ReduceSum", [weighed, first], f"{key}/row", keepdims=0)
        square = self.constant(
            f"g{pooled.grid}", np.array([0, pooled.grid, pooled.grid], dtype=np.int64)
        )
        return self.node("Reshape", [row, square], f"{key}/grid")

    def _spread(self, number: int, cells: str, source: int, grid: int) -> str:
        if source == grid:
            return cells
        key = f"head/{number}"
        matrix = spread(source, grid)
        rows = self.constant(f"{source}to{grid}", matrix)
        columns = self.constant(f"{source}to{grid}/t", np.ascontiguousarray(matrix.T))
        tall = self.node("MatMul", [rows, cells], f"{key}/tall")
        return self.node("MatMul", [tall, columns], f"{key}/spread")

    def _sum(self, values: list[str], output: str) -> str:
        kind = "Sum" if len(values) > 1 else "Identity"
        return self.node(kind, values, output)

    def _unexplained(self, placed: list[str], totals: list[str]) -> None:
        """Σ|evidence without a place| / Σ|evidence|, over the parts of the blocks."""
        everything = self._sum(totals, "head/everything")
        tiny = self.constant("tiny", np.array(1e-12, dtype=np.float32))
        one = self.constant("one", np.array(1.0, dtype=np.float32))
        some = self._sum(placed, "head/explained")
        safe = self.node("Max", [everything, tiny], "head/safe")
        share = self.node("Div", [some, safe], "head/share")
        self.node("Sub", [one, share], UNEXPLAINED)

    def model(self) -> onnx.ModelProto:
        """Return the finished, checked model."""
        import onnx
        from onnx import TensorProto, helper

        graph = self.base.graph
        del graph.output[:]
        graph.output.extend(
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in self.outputs
        )
        onnx.checker.check_model(self.base)
        return self.base


def _value(block: str) -> str:
    """Return the graph's name for a block; two of them would clash under their own."""
    return {CLASSICAL: f"{CLASSICAL}/{LAST}", OWN_LOGITS: f"head/own_{OWN_LOGITS}"}.get(
        block, block
    )


def _rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    for node in graph.node:
        if node.name == old:
            node.name = new
        for names in (node.input, node.output):
            for position, name in enumerate(names):
                if name == old:
                    names[position] = new


def _backbones(classifier: Classifier, wanted: list[str]) -> onnx.ModelProto:
    """Return host and, where it is read, classical graph over one shared input."""
    from onnx import compose, helper

    host = classifier.host.graph(wanted)
    if OWN_LOGITS in wanted:
        _rename(host.graph, OWN_LOGITS, _value(OWN_LOGITS))
    if classifier.classical is None:
        graph, opsets = host.graph, list(host.opset_import)
    else:
        extra = compose.add_prefix(classifier.classical.graph([LAST]), f"{CLASSICAL}/")
        for node in extra.graph.node:
            for position, name in enumerate(node.input):
                if name == f"{CLASSICAL}/{PIXELS}":
                    node.input[position] = PIXELS
        graph, opsets = host.graph, list(host.opset_import)
        known = {opset.domain: opset.version for opset in opsets}
        for opset in extra.opset_import:
            assert known.get(opset.domain, opset.version) == opset.version
        graph.node.extend(extra.graph.node)
        graph.initializer.extend(extra.graph.initializer)
    model = helper.make_model(graph, producer_name="foveal", opset_imports=opsets)
    model.ir_version = host.ir_version
    return model

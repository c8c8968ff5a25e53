"""Surgery on ONNX graphs: read safely, keep only what is asked for, normalise, pool, serialise."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from foveal.backbone.spec import PIXELS, Stage
from foveal.core.errors import BadWeights, UnknownName
from foveal.image.preprocess import Preprocess

if TYPE_CHECKING:
    import onnx

OPSET = 18  # of every graph we write: what torch's exporter writes natively
IR_VERSION = 10  # ONNX Runtime has read it since 1.18
DOMAINS = {"", "ai.onnx", "ai.onnx.ml", "com.microsoft"}  # what ONNX Runtime brings along
BATCH = "n"  # the name of the free first dimension


def fingerprint(content: bytes) -> str:
    """Return the SHA-256 of a graph file as 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def to_bytes(model: onnx.ModelProto) -> bytes:
    """Return the graph as a file; equal graphs give equal bytes.

    Raises:
        BadWeights: if it is larger than the 2 GB that one ONNX file can hold.
    """
    try:
        return bytes(model.SerializeToString(deterministic=True))
    except ValueError:
        raise BadWeights(
            "The graph is larger than 2 GB, more than one ONNX file can hold.",
            hint="Choose a smaller network.",
        ) from None


def from_bytes(content: bytes, *, where: str) -> onnx.ModelProto:
    """Parse an ONNX file that needs nothing but itself and ONNX Runtime.

    Args:
        content: the file's bytes.
        where: its name, for messages.

    Raises:
        BadWeights: if it is no ONNX file, keeps its weights in other files (reading those would
            let a graph open any file on this machine), or calls operators of a plug-in library.
    """
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # onnx's own
    from onnx import inliner

    try:
        model = onnx.load_model_from_string(content)
    except DecodeError:
        raise BadWeights(f"{where} is not an ONNX file.", hint="Give one that is whole.") from None
    if not model.graph.node or not model.graph.output:
        raise BadWeights(f"{where} is not an ONNX file: it has no graph.")
    for tensor in _tensors(model):
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise BadWeights(
                f"{where} keeps the weights {tensor.name!r} in another file.",
                hint="Save it as one file: onnx.save_model(…, save_as_external_data=False).",
            )
    if model.functions:
        model = inliner.inline_local_functions(model)
    for node in _nodes(model.graph):
        if node.domain not in DOMAINS:
            raise BadWeights(
                f"{where} calls {node.op_type!r} of {node.domain!r}, which is not part of ONNX.",
                hint="Export it with standard operators only.",
            )
    return model


def prune(model: onnx.ModelProto, outputs: Iterable[str]) -> onnx.ModelProto:
    """Return a copy that computes just these outputs: other nodes and weights are gone.

    Args:
        model: any graph; it is left alone. Its metadata and inputs are kept.
        outputs: names of its outputs, each once; the copy has them in this order.

    Raises:
        UnknownName: for a name that is not an output of ``model``.
    """
    import onnx

    graph, wanted = model.graph, list(dict.fromkeys(outputs))
    described = {value.name: value for value in graph.output}
    for name in wanted:
        if name not in described:
            raise UnknownName("output of this graph", name, described)
    needed, kept = set(wanted), []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(_reads(node))
            kept.append(node)
    copy = onnx.ModelProto(
        ir_version=model.ir_version,
        producer_name=model.producer_name,
        opset_import=model.opset_import,
        metadata_props=model.metadata_props,
    )
    copy.graph.name = graph.name
    copy.graph.node.extend(reversed(kept))
    copy.graph.input.extend(graph.input)
    copy.graph.output.extend(described[name] for name in wanted)
    copy.graph.initializer.extend(t for t in graph.initializer if t.name in needed)
    copy.graph.sparse_initializer.extend(
        t for t in graph.sparse_initializer if t.values.name in needed
    )
    return copy


def cleaned(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of only what computes: no paths, times, stack traces or notes of a tool."""
    import onnx

    graph = onnx.GraphProto(name="backbone", initializer=model.graph.initializer)
    graph.input.extend(model.graph.input)
    graph.output.extend(model.graph.output)
    graph.sparse_initializer.extend(model.graph.sparse_initializer)
    for value in [*graph.input, *graph.output]:
        for first in value.type.tensor_type.shape.dim[:1]:
            first.dim_param = BATCH
        del value.metadata_props[:]
    for tensor in graph.initializer:
        tensor.ClearField("doc_string")
        del tensor.metadata_props[:]
    for node in model.graph.node:
        graph.node.append(node)
        graph.node[-1].ClearField("doc_string")
        del graph.node[-1].metadata_props[:]
    return onnx.ModelProto(
        ir_version=IR_VERSION,
        producer_name="foveal",
        opset_import=model.opset_import,
        graph=graph,
    )


def add_output(
    model: onnx.ModelProto, name: str, shape: Iterable[int], *, source: str = ""
) -> None:
    """Declare the float32 output ``name`` (N, *shape): a value of that name, or ``source``."""
    from onnx import TensorProto, helper

    if source:
        model.graph.node.append(helper.make_node("Identity", [source], [name], name=name))
    model.graph.output.append(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [BATCH, *shape])
    )


def add_normalisation(model: onnx.ModelProto, preprocess: Preprocess, *, to: str) -> None:
    """Put ``pixels``, uint8 (N, size, size, 3), before the float (N, 3, size, size) input ``to``.

    Computes ``(pixels / 255 - mean) / std`` per channel as one multiplication and one addition.
    """
    from onnx import TensorProto, helper, numpy_helper

    std_C = np.asarray(preprocess.std, np.float64)
    scale_C = 1.0 / (255.0 * std_C)
    shift_C = -np.asarray(preprocess.mean, np.float64) / std_C
    size, graph = preprocess.size_px, model.graph
    for name, values_C in (("scale", scale_C), ("shift", shift_C)):
        constant = values_C.astype(np.float32).reshape(1, 3, 1, 1)
        graph.initializer.append(numpy_helper.from_array(constant, f"{PIXELS}/{name}"))
    front = [
        helper.make_node("Transpose", [PIXELS], [f"{PIXELS}/planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Cast", [f"{PIXELS}/planes"], [f"{PIXELS}/float"], to=TensorProto.FLOAT),
        helper.make_node("Mul", [f"{PIXELS}/float", f"{PIXELS}/scale"], [f"{PIXELS}/scaled"]),
        helper.make_node("Add", [f"{PIXELS}/scaled", f"{PIXELS}/shift"], [to]),
    ]
    for node in front:
        node.name = node.output[0]
    nodes = [*front, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.input[:]
    graph.input.append(
        helper.make_tensor_value_info(PIXELS, TensorProto.UINT8, [BATCH, size, size, 3])
    )


def add_pools(model: onnx.ModelProto, stage: Stage) -> None:
    """Add the outputs ``STAGE/mean`` and ``STAGE/2x2`` to a graph that has ``STAGE/map``.

    The quarters of an odd grid share its middle row and column, as in adaptive pooling.
    """
    from onnx import helper

    def node(kind: str, inputs: list[str], output: str, **attributes: Any) -> None:
        made = helper.make_node(kind, inputs, [output], name=output, **attributes)
        model.graph.node.append(made)

    node("GlobalAveragePool", [stage.map], f"{stage.mean}/square")
    node("Flatten", [f"{stage.mean}/square"], stage.mean, axis=1)
    square = f"{stage.quarters}/square"
    if stage.grid == 1:  # one cell: every quarter is that cell
        node("Concat", [stage.map] * 4, square, axis=3)
    else:
        reach, step = (stage.grid + 1) // 2, stage.grid // 2
        node("AveragePool", [stage.map], square, kernel_shape=[reach] * 2, strides=[step] * 2)
    node("Flatten", [square], stage.quarters, axis=1)
    add_output(model, stage.mean, [stage.channels])
    add_output(model, stage.quarters, [4 * stage.channels])


def _reads(node: onnx.NodeProto) -> set[str]:
    """Return every value a node reads, those of its inner graphs included."""
    names = set(node.input)
    for inner in _inner_graphs(node):
        for child in inner.node:
            names |= _reads(child)
        names.update(value.name for value in inner.output)
    return names


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for inner in _inner_graphs(node):
            yield from _nodes(inner)


def _inner_graphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Yield every tensor a file holds: weights and constants, of inner graphs and functions too."""
    functions = [node for function in model.functions for node in function.node]
    graphs = [model.graph]
    for node in [*_nodes(model.graph), *functions]:
        graphs.extend(_inner_graphs(node))
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
    for graph in graphs:
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield sparse.values
            yield sparse.indices

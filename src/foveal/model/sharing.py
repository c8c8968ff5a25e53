"""What several networks of one graph have in common is stored once."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx


def share_weights(graph: onnx.GraphProto) -> None:
    """Keep the first of all initialisers of equal type, shape and content, in place.

    A network that was fine-tuned from the middle up has its lower half in common with the frozen
    one: the file holds that half once, and ONNX Runtime, which joins nodes of one kind that read
    the same, runs it once.
    """
    first: dict[bytes, str] = {}  # content -> name
    instead: dict[str, str] = {}  # name that goes -> name that stays
    for tensor in graph.initializer:
        name = first.setdefault(_content(tensor), tensor.name)
        if name != tensor.name:
            instead[tensor.name] = name
    for position in reversed(range(len(graph.initializer))):
        if graph.initializer[position].name in instead:
            del graph.initializer[position]
    _replace(graph, instead)


def _content(tensor: onnx.TensorProto) -> bytes:
    """Return the hash of everything of a tensor but its name."""
    import onnx

    bare = onnx.TensorProto()
    bare.CopyFrom(tensor)
    bare.ClearField("name")
    return hashlib.sha256(bare.SerializeToString(deterministic=True)).digest()


def _replace(graph: onnx.GraphProto, instead: dict[str, str]) -> None:
    """Let every node read by the new names, those of inner graphs included."""
    for node in graph.node:
        for position, name in enumerate(node.input):
            if name in instead:
                node.input[position] = instead[name]
        for attribute in node.attribute:
            for inner in [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]:
                _replace(inner, instead)

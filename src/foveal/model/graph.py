"""The one graph of a classifier: uint8 pixels in; logits, probabilities and heat map out.

Backbone, classical block, head, temperature and the heat map's arithmetic stand in a single
ONNX file, so whoever opens it anywhere gets the same answer. The members of a pool stand in it
side by side. Nothing in it resizes a picture.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from foveal.core.settings import to_mapping
from foveal.model.branch import Branch, Evidence, Writer, append, networks, prefixed
from foveal.model.classifier import Classifier
from foveal.model.evidence import has_heat_map
from foveal.model.pool import Pool
from foveal.model.sharing import share_weights

if TYPE_CHECKING:
    import onnx

LOGITS = "logits"  # (N, K) float32, divided by the temperature
PROBABILITIES = "probabilities"  # (N, K) float32, rows sum to 1
HEAT_MAP = "heat_map"  # (N, G, G) float32, signed: evidence for the answer, cell by cell
UNEXPLAINED = "unexplained"  # (N,) float32 in [0, 1]: share of the evidence without a place

Outputs = list[tuple[str, list[str | int]]]  # name, shape


def classifier_graph(classifier: Classifier | Pool) -> onnx.ModelProto:
    """Return the classifier as one ONNX model; the same classifier gives the same bytes.

    Input: ``pixels`` uint8 (N, size, size, 3) RGB, resized and cropped as the metadata
    ``preprocess`` says. Outputs: ``logits``, ``probabilities`` and, where the last features
    lie on a grid, ``heat_map`` and ``unexplained``. Metadata (JSON each): ``names`` (the
    classes in order), ``preprocess``, ``imgsz``, ``temperature``.

    A pool has a heat map where every member has one: the sum of theirs on the finest of their
    grids, each times what its logits are multiplied with, so that the cells still add up to the
    evidence for the answer. Weights that members have in common are stored once.

    Raises:
        BadWeights: if members of a pool are written in different versions of ONNX's operators.
    """
    import onnx

    if isinstance(classifier, Pool):
        model, outputs = _pool(classifier)
        share_weights(model.graph)
    else:
        model, outputs = _single(classifier)
    del model.graph.output[:]
    model.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in outputs
    )
    onnx.checker.check_model(model)
    onnx.helper.set_model_props(model, _metadata(classifier))
    return model


def _metadata(classifier: Classifier | Pool) -> dict[str, str]:
    preprocess = classifier.preprocess
    return {
        "imgsz": json.dumps([preprocess.size_px, preprocess.size_px]),
        "names": json.dumps(list(classifier.classes), ensure_ascii=False),
        "preprocess": json.dumps(to_mapping(preprocess)),
        "temperature": json.dumps(float(classifier.temperature)),
    }


def _single(classifier: Classifier) -> tuple[onnx.ModelProto, Outputs]:
    """Return the graph of one classifier, its outputs not declared yet."""
    mapped = has_heat_map(classifier)
    model = networks(classifier, maps=mapped)
    writer = Writer(model.graph)
    branch = Branch(writer, classifier)
    branch.answer(LOGITS)
    outputs = _answers(writer, len(classifier.classes))
    if mapped:
        answer = _best(writer)
        outputs += _heat_map(writer, branch.evidence(answer, branch.grid), branch.grid)
    return model, outputs


def _pool(pool: Pool) -> tuple[onnx.ModelProto, Outputs]:
    """Return the graph of a pool, its outputs not declared yet."""
    mapped = all(map(has_heat_map, pool.members))
    prefixes = [f"member{number}/" for number in range(1, len(pool.members) + 1)]
    first, *others = (networks(member, maps=mapped) for member in pool.members)
    model = prefixed(first, prefixes[0])
    for other, prefix in zip(others, prefixes[1:], strict=True):
        append(model, other, prefix=prefix)
    writer = Writer(model.graph)
    branches = [
        Branch(writer, member, prefix=prefix)
        for member, prefix in zip(pool.members, prefixes, strict=True)
    ]
    shares = [
        writer.constant(f"{branch.prefix}share", np.array(share, dtype=np.float32))
        for branch, share in zip(branches, pool.shares, strict=True)
    ]
    said = []
    for branch, share in zip(branches, shares, strict=True):
        own = branch.answer(f"{branch.prefix}{LOGITS}")
        log = writer.node("LogSoftmax", [own], f"{branch.prefix}log", axis=1)
        said.append(writer.node("Mul", [log, share], f"{branch.prefix}said"))
    writer.sum(said, LOGITS)
    outputs = _answers(writer, len(pool.classes))
    if mapped:
        answer, grid = _best(writer), max(branch.grid for branch in branches)
        found = [
            _shared(writer, branch.prefix, branch.evidence(answer, grid), share)
            for branch, share in zip(branches, shares, strict=True)
        ]
        outputs += _heat_map(writer, _joined(found), grid)
    return model, outputs


def _answers(writer: Writer, classes: int) -> Outputs:
    writer.node("Softmax", [LOGITS], PROBABILITIES, axis=1)
    return [(LOGITS, ["n", classes]), (PROBABILITIES, ["n", classes])]


def _best(writer: Writer) -> str:
    return writer.node("ArgMax", [LOGITS], "head/answer", axis=1, keepdims=0)


def _shared(writer: Writer, prefix: str, evidence: Evidence, share: str) -> Evidence:
    """Return a member's evidence, each kind summed and times the member's share."""

    def times(values: Sequence[str], name: str) -> tuple[str]:
        total = writer.sum(values, f"{prefix}{name}")
        return (writer.node("Mul", [total, share], f"{prefix}{name}/shared"),)

    return Evidence(
        times(evidence.maps, "map"),
        times(evidence.placed, "placed"),
        times(evidence.everything, "everything"),
    )


def _joined(found: Sequence[Evidence]) -> Evidence:
    return Evidence(
        tuple(name for each in found for name in each.maps),
        tuple(name for each in found for name in each.placed),
        tuple(name for each in found for name in each.everything),
    )


def _heat_map(writer: Writer, evidence: Evidence, grid: int) -> Outputs:
    """Add the map, and Σ|evidence without a place| / Σ|evidence| over the parts of the blocks."""
    writer.sum(evidence.maps, HEAT_MAP)
    everything = writer.sum(evidence.everything, "head/everything")
    tiny = writer.constant("head/tiny", np.array(1e-12, dtype=np.float32))
    one = writer.constant("head/one", np.array(1.0, dtype=np.float32))
    some = writer.sum(evidence.placed, "head/explained")
    safe = writer.node("Max", [everything, tiny], "head/safe")
    share = writer.node("Div", [some, safe], "head/share")
    writer.node("Sub", [one, share], UNEXPLAINED)
    return [(HEAT_MAP, ["n", grid, grid]), (UNEXPLAINED, ["n"])]

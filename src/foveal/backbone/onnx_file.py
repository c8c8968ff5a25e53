"""A backbone from an ``.onnx`` file: one of ours, or any network for normalised pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from foveal.backbone import graphs, store
from foveal.backbone.running import OnnxBackbone, open_session
from foveal.backbone.settings import BackboneSettings
from foveal.backbone.spec import LAST, LAST_MAP, LOGITS, BackboneSpec, Stage
from foveal.core.errors import BadWeights, OutOfRange
from foveal.image.preprocess import Preprocess

if TYPE_CHECKING:
    import onnx

INNER = "network/"  # before every name of the file's own graph
TOLERANCE = 1e-4  # largest difference from the file as it was, as a share of the largest value

Values = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Which outputs of a file are what."""

    maps: tuple[str, ...]  # (N, C, h, h), fine to coarse
    last: str | None  # (N, D), or None: the mean of the coarsest map
    logits: str | None  # (N, K)


def from_onnx(
    path: Path, settings: BackboneSettings, *, threads: int | None = None
) -> OnnxBackbone:
    """Return the backbone of an ONNX file.

    A graph that Foveal wrote brings its record along. Any other must take one float input
    (N, 3, height, width) of normalised pictures. Its outputs on a square grid become stages, the
    coarsest of them ``last/map``. Its one output without a grid becomes ``last`` and, since
    nothing says whether it holds class scores, ``logits`` too; an output called ``logits`` or
    made by a softmax is ``last`` only if there is nothing else. Softmax itself is left out.

    Raises:
        BadWeights: if the file is no such graph, or ONNX Runtime cannot run it.
        OutOfRange: for a setting that contradicts the graph.
    """
    content = path.read_bytes()
    model = graphs.from_bytes(content, where=path.name)
    spec = store.spec_in(model, content, where=path.name)
    if spec is not None:
        backbone = OnnxBackbone(spec, model, threads=threads)
        return backbone.seeing(settings.preprocess(spec.preprocess))
    return _foreign(path, model, settings, threads)


def _foreign(
    path: Path, model: onnx.ModelProto, settings: BackboneSettings, threads: int | None
) -> OnnxBackbone:
    """Wrap a graph of other origin, and check that wrapping changed nothing."""
    from onnx import compose

    source, size_px = _input(path, model)
    if size_px and settings.size_px not in (None, size_px):
        raise OutOfRange("size_px", settings.size_px, f"{size_px}, which {path.name} is made for")
    standard = Preprocess()
    used = settings.preprocess(replace(standard, size_px=size_px or standard.size_px))
    assumed = replace(settings, size_px=size_px or settings.size_px).assumptions(
        used, source=path.name, as_in="what most networks want"
    )
    scores = _leave_out_softmax(model)
    _free_batch(model, source)
    pixels_NHWC = _pictures(used.size_px)
    expected = _run(path, model, source, _normalised(pixels_NHWC, used))
    parts = _parts(path, expected, scores)
    if parts.last is not None and parts.last == parts.logits:
        assumed.append(
            f"The features of {path.name} are its output {parts.last!r}: if these are class "
            "scores, export it with its last features or its last map as an output too."
        )
    wrapped = compose.add_prefix(graphs.cleaned(_modern(model)), INNER)
    graphs.add_normalisation(wrapped, used, to=INNER + source)
    spec = _describe(path, used, parts, expected, tuple(assumed))
    _name_outputs(wrapped, parts, spec)
    spec, _ = store.sealed(spec, wrapped)
    backbone = OnnxBackbone(spec, wrapped, threads=threads)
    _check(path, backbone.embed(pixels_NHWC, [LAST]), parts, expected)
    return backbone


def _input(path: Path, model: onnx.ModelProto) -> tuple[str, int]:
    """Return the name of the only input and the side it is made for, 0 where it takes any."""
    from onnx import TensorProto

    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    wanted = "Foveal needs one float input (N, 3, height, width) of normalised pictures."
    if len(inputs) != 1:
        raise BadWeights(f"{path.name} has {len(inputs)} inputs.", hint=wanted)
    tensor = inputs[0].type.tensor_type
    sides = [dim.dim_value for dim in tensor.shape.dim]  # 0 where a dimension is free
    if tensor.elem_type != TensorProto.FLOAT or len(sides) != 4 or sides[1] not in (0, 3):
        kind = TensorProto.DataType.Name(tensor.elem_type).lower()
        shown = ", ".join(str(side or "free") for side in sides)
        raise BadWeights(f"The input of {path.name} is {kind} ({shown}).", hint=wanted)
    if sides[2] != sides[3]:
        raise BadWeights(
            f"{path.name} takes pictures of {sides[3]} × {sides[2]} pixels.",
            hint="Foveal's are square: export it with a square or a free size.",
        )
    return inputs[0].name, sides[2]


def _leave_out_softmax(model: onnx.ModelProto) -> set[str]:
    """Let outputs end before their softmax, and return the names of those that hold scores."""
    makers = {name: node for node in model.graph.node for name in node.output}
    scores = set()
    for value in model.graph.output:
        maker = makers.get(value.name)
        if maker is not None and maker.op_type in {"Softmax", "LogSoftmax"}:
            value.name = maker.input[0]
            scores.add(value.name)
    return scores | {LOGITS}


def _free_batch(model: onnx.ModelProto, source: str) -> None:
    for value in model.graph.input:
        if value.name == source:
            value.type.tensor_type.shape.dim[0].dim_param = graphs.BATCH
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")


def _run(
    path: Path, model: onnx.ModelProto, source: str, planes_NCHW: NDArray[np.float32]
) -> dict[str, NDArray[np.float32]]:
    """Return the float outputs of the file, as it came, for a batch of three."""
    names = [value.name for value in model.graph.output]
    session = open_session(model, threads=1)
    try:
        answers = session.run(names, {source: planes_NCHW})
    except Exception as error:  # noqa: BLE001  # ONNX Runtime's errors share no base but Exception
        reason = str(error).splitlines()[0][:200]
        raise BadWeights(
            f"{path.name} cannot be run on a batch of {len(planes_NCHW)} pictures: {reason}",
            hint="Export it with a free batch dimension.",
        ) from None
    return {
        name: value
        for name, value in zip(names, answers, strict=True)
        if isinstance(value, np.ndarray) and value.dtype == np.float32 and value.ndim in (2, 4)
    }


def _parts(path: Path, outputs: Values, scores: set[str]) -> Parts:
    """Say which output is what; see ``from_onnx`` for the rule."""
    flat = [name for name, value in outputs.items() if value.shape[2:] in ((), (1, 1))]
    maps = [
        name
        for name, value in outputs.items()
        if name not in flat and value.shape[2] == value.shape[3]
    ]
    maps.sort(key=lambda name: outputs[name].shape[2], reverse=True)
    others = [name for name in flat if name not in scores]
    others = [LAST] if LAST in others else others
    logits = [name for name in flat if name in scores]
    if len(others) > 1 or len(logits) > 1 or not (flat or maps):
        shown = ", ".join(f"{name} {list(value.shape[1:])}" for name, value in outputs.items())
        raise BadWeights(
            f"It is not clear which outputs of {path.name} are its features ({shown or 'none'}).",
            hint=f"Call one output {LAST!r}, or keep only one.",
        )
    vector = next(iter([*others, *logits]), None)
    return Parts(
        maps=tuple(maps),
        last=vector if others or not maps else None,
        logits=next(iter([*logits, *others]), None),
    )


def _describe(
    path: Path, used: Preprocess, parts: Parts, outputs: Values, assumed: tuple[str, ...]
) -> BackboneSpec:
    stages = tuple(
        Stage(name=f"stage{number}", channels=outputs[name].shape[1], grid=outputs[name].shape[2])
        for number, name in enumerate(parts.maps, 1)
    )
    coarsest = outputs[parts.maps[-1]] if parts.maps else None
    if parts.last is not None:
        last_ND = _flat(outputs[parts.last])
        is_mean = coarsest is not None and _same(coarsest.mean((2, 3)), last_ND)
    else:
        assert coarsest is not None  # one of both there is: _parts sees to it
        last_ND, is_mean = coarsest.mean((2, 3)), True
    return BackboneSpec(
        name=path.stem,
        preprocess=used,
        features=last_ND.shape[1],
        last_grid=None if coarsest is None else coarsest.shape[2],
        last_is_mean=is_mean,
        stages=stages,
        fingerprint="",
        weights=path.name,
        assumed=assumed,
        classes=None if parts.logits is None else outputs[parts.logits].shape[1],
    )


def _name_outputs(wrapped: onnx.ModelProto, parts: Parts, spec: BackboneSpec) -> None:
    """Give the graph the outputs that ``spec`` promises, made of the file's own."""
    from onnx import helper

    del wrapped.graph.output[:]

    def flat(source: str, name: str, width: int) -> None:
        wrapped.graph.node.append(helper.make_node("Flatten", [source], [name], name=name, axis=1))
        graphs.add_output(wrapped, name, [width])

    for stage, origin in zip(spec.stages, parts.maps, strict=True):
        shape = [stage.channels, stage.grid, stage.grid]
        graphs.add_output(wrapped, stage.map, shape, source=INNER + origin)
        graphs.add_pools(wrapped, stage)
    if spec.stages:
        deepest = spec.stages[-1]
        shape = [deepest.channels, deepest.grid, deepest.grid]
        graphs.add_output(wrapped, LAST_MAP, shape, source=deepest.map)
    if parts.last is None:
        graphs.add_output(wrapped, LAST, [spec.features], source=spec.stages[-1].mean)
    else:
        flat(INNER + parts.last, LAST, spec.features)
    if parts.logits is not None and spec.classes is not None:
        flat(INNER + parts.logits, LOGITS, spec.classes)


def _modern(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the graph in our opset if its own is older: then it can be joined with ours."""
    from onnx import version_converter

    own = max(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
    return model if own >= graphs.OPSET else version_converter.convert_version(model, graphs.OPSET)


def _check(path: Path, got: Values, parts: Parts, expected: Values) -> None:
    wanted = _flat(expected[parts.last]) if parts.last else expected[parts.maps[-1]].mean((2, 3))
    if not _same(got[LAST], wanted):
        raise BadWeights(
            f"{path.name} answers differently once its opset is {graphs.OPSET}.",
            hint=f"Export it again, with opset {graphs.OPSET}.",
        )


def _same(a: NDArray[np.float32], b: NDArray[np.float32]) -> bool:
    scale = max(float(np.abs(b).max()), 1e-12)
    return a.shape == b.shape and float(np.abs(a - b).max()) <= TOLERANCE * scale


def _flat(value: NDArray[np.float32]) -> NDArray[np.float32]:
    return value.reshape(len(value), -1)


def _pictures(size_px: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (3, size_px, size_px, 3), dtype=np.uint8)


def _normalised(pixels_NHWC: NDArray[np.uint8], preprocess: Preprocess) -> NDArray[np.float32]:
    planes = pixels_NHWC.transpose(0, 3, 1, 2) / 255.0
    mean, std = (np.reshape(c, (3, 1, 1)) for c in (preprocess.mean, preprocess.std))
    return np.ascontiguousarray((planes - mean) / std, dtype=np.float32)

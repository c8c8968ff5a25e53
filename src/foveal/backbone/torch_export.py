"""A loaded network becomes an ONNX graph with every named output, and proves equal to torch."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from foveal.backbone import graphs
from foveal.backbone.residual import residual
from foveal.backbone.running import OnnxBackbone
from foveal.backbone.spec import LAST, LAST_MAP, LOGITS, BackboneSpec, Stage
from foveal.backbone.torch_load import Loaded
from foveal.core.errors import BadWeights, OutOfRange
from foveal.image.preprocess import Preprocess

PLANES = "planes"  # the exported network's own input, float (N, 3, size, size), normalised
TOLERANCE = 1e-4  # largest difference from torch, as a share of an output's largest value
MEAN_TOLERANCE = 1e-5  # likewise, for calling ``last`` the mean of ``last/map``
BATCHES = (1, 3)

Outputs = dict[str, NDArray[np.float32]]


def export(loaded: Loaded) -> tuple[BackboneSpec, onnx.ModelProto]:
    """Return the record and the graph of a network; the record's fingerprint is still empty.

    The graph takes uint8 pixels and has ``last``, ``logits``, ``last/map`` and, for every stage,
    its map, mean and quarters. It was run beside torch on smooth random pictures, in batches of
    one and three, and no output differed by more than ``TOLERANCE`` of its scale.

    A plain ResNet's graph is assembled from its weights, which saves seconds of tracing; any
    other network, and one that only looks like a plain ResNet, goes through torch's exporter.

    Raises:
        BadWeights: if the network cannot be exported, or the graph does not agree with torch.
    """
    checks = [_reference(loaded, _pictures(n, loaded.preprocess.size_px)) for n in BATCHES]
    outputs = list(checks[-1][1])
    spec = _describe(loaded, checks[-1][1])
    for _, expected in checks:
        for stage in spec.stages:
            map_NCHW = torch.from_numpy(expected[stage.map])
            expected[stage.mean] = map_NCHW.mean((2, 3)).numpy()
            expected[stage.quarters] = adaptive_avg_pool2d(map_NCHW, 2).flatten(1).numpy()
    if (model := _assembled(loaded, spec)) is not None:
        try:
            _check(spec, model, checks)
        except BadWeights:  # another activation, say: the weights alone do not tell
            pass
        else:
            return spec, model
    model = _exported(loaded, outputs)
    graphs.add_normalisation(model, loaded.preprocess, to=PLANES)
    for stage in spec.stages:
        graphs.add_pools(model, stage)
    _check(spec, model, checks)
    return spec, model


def _assembled(loaded: Loaded, spec: BackboneSpec) -> onnx.ModelProto | None:
    """Return the graph of a plain ResNet, made of its weights; None for any other network."""
    if loaded.architecture is None:
        return None
    weights = {name: value.numpy() for name, value in loaded.network.state_dict().items()}
    try:
        made = residual(weights, loaded.preprocess)
    except (BadWeights, OutOfRange):
        return None
    return made.model if made.stages == spec.stages else None


def _check(
    spec: BackboneSpec, model: onnx.ModelProto, checks: list[tuple[NDArray[np.uint8], Outputs]]
) -> None:
    """Refuse a graph that does not answer as torch did."""
    running = OnnxBackbone(spec, model)
    for pixels_NHWC, expected in checks:
        _compare(running.embed(pixels_NHWC, list(expected)), expected, spec.name)


def _describe(loaded: Loaded, outputs: Outputs) -> BackboneSpec:
    """Return the record that the outputs of a batch imply."""
    last_ND, last_map = outputs[LAST], outputs.get(LAST_MAP)
    if last_ND.ndim != 2:
        raise BadWeights(f"The last features of {loaded.name} are no vector a picture.")
    stages = tuple(
        Stage(name=name.removesuffix("/map"), channels=value.shape[1], grid=value.shape[2])
        for name, value in outputs.items()
        if name.startswith("stage")
    )
    return BackboneSpec(
        name=loaded.name,
        preprocess=loaded.preprocess,
        features=last_ND.shape[1],
        last_grid=None if last_map is None else last_map.shape[2],
        last_is_mean=last_map is not None
        and last_map.shape[1] == last_ND.shape[1]
        and _apart(last_map.mean((2, 3)), last_ND) < MEAN_TOLERANCE,
        stages=stages,
        fingerprint="",
        weights=loaded.weights,
        licence=loaded.licence,
        assumed=loaded.assumed,
        architecture=loaded.architecture,
        model_args=loaded.model_args,
        classifier=loaded.classifier,
        classes=outputs[LOGITS].shape[1] if LOGITS in outputs else None,
    )


def _exported(loaded: Loaded, names: list[str]) -> onnx.ModelProto:
    """Return torch's export, cleaned of everything that depends on this machine."""
    size = loaded.preprocess.size_px
    example = torch.linspace(-1, 1, 2 * 3 * size * size).reshape(2, 3, size, size)
    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(
                loaded.body,
                (example,),
                input_names=[PLANES],
                output_names=names,
                opset_version=graphs.OPSET,
                dynamo=True,
                dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
                external_data=False,
                verbose=False,
            )
    except Exception as error:  # noqa: BLE001  # the exporter lets through errors of all kinds
        reason = " ".join(str(error).split())[:200]
        raise BadWeights(f"torch cannot export {loaded.name} to ONNX: {reason}") from None
    if program is None:
        raise BadWeights(f"torch exported nothing for {loaded.name}.")
    model = graphs.from_bytes(graphs.to_bytes(program.model_proto), where=loaded.name)
    return graphs.cleaned(model)


def _reference(loaded: Loaded, pixels_NHWC: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], Outputs]:
    """Return the pixels and what torch makes of them, normalised the way torch users do."""
    with torch.no_grad():
        outputs = loaded.body(_normalised(pixels_NHWC, loaded.preprocess))
    return pixels_NHWC, {name: value.numpy() for name, value in outputs.items()}


def _normalised(pixels_NHWC: NDArray[np.uint8], preprocess: Preprocess) -> Tensor:
    planes = torch.from_numpy(pixels_NHWC).permute(0, 3, 1, 2).float() / 255
    mean, std = torch.tensor(preprocess.mean), torch.tensor(preprocess.std)
    return (planes - mean.view(3, 1, 1)) / std.view(3, 1, 1)


def _pictures(count: int, size_px: int) -> NDArray[np.uint8]:
    """Return smooth random pictures (N, size, size, 3), the like of which networks were trained on.

    White noise would drive some networks far out of the range they know.
    """
    coarse = np.random.default_rng(count).uniform(0, 255, (count, 3, 8, 8))
    smooth = interpolate(torch.from_numpy(coarse), size_px, mode="bicubic").clamp(0, 255)
    return smooth.permute(0, 2, 3, 1).round().to(torch.uint8).contiguous().numpy()


def _compare(got: Outputs, expected: Outputs, name: str) -> None:
    for output, value in expected.items():
        if not (apart := _apart(got[output], value)) <= TOLERANCE:
            raise BadWeights(
                f"The exported graph of {name} does not agree with torch: {output} differs by "
                f"{apart:.1e} of its scale, more than {TOLERANCE:.0e}.",
                hint="This network cannot be used through ONNX with these weights.",
            )


def _apart(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Return the largest difference as a share of the largest value; NaN stays NaN."""
    return float(np.abs(a - b).max() / max(float(np.abs(b).max()), 1e-12))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's log and warnings from the screen: what matters is checked after it."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)

"""A tiny frozen network as an ONNX graph, with every output a backbone may have."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from onnx import ModelProto, helper, numpy_helper

from foveal.backbone import graphs
from foveal.backbone.running import OnnxBackbone
from foveal.backbone.spec import LAST, LAST_MAP, BackboneSpec, Stage
from foveal.image.preprocess import Preprocess

SIZE = 32
STAGES = (Stage(name="stage1", channels=4, grid=8), Stage(name="stage2", channels=6, grid=5))


def _conv(rng: np.random.Generator, model: ModelProto, name: str, **layer: int | str) -> None:
    """Append a convolution with a ReLU; ``layer`` has source, inputs, outputs, kernel, stride."""
    shape = (layer["outputs"], layer["inputs"], layer["kernel"], layer["kernel"])
    weights = rng.normal(0, 0.3, shape).astype(np.float32)
    model.graph.initializer.append(numpy_helper.from_array(weights, f"{name}/w"))
    stride = [layer["stride"]] * 2
    source = [str(layer["source"]), f"{name}/w"]
    model.graph.node.append(helper.make_node("Conv", source, [f"{name}/raw"], strides=stride))
    model.graph.node.append(helper.make_node("Relu", [f"{name}/raw"], [name]))


def tiny_backbone(*, seed: int = 0, last_is_mean: bool = True) -> OnnxBackbone:
    """Return 32 px -> stage1 (4, 8, 8) -> stage2 (6, 5, 5), whose map is also the last one."""
    rng = np.random.default_rng(seed)
    preprocess = Preprocess(size_px=SIZE)
    empty = helper.make_graph([], "tiny", [], [])
    model = helper.make_model(empty, opset_imports=[helper.make_opsetid("", graphs.OPSET)])
    model.ir_version = graphs.IR_VERSION
    first, second = STAGES
    _conv(rng, model, first.map, source="input", inputs=3, outputs=4, kernel=4, stride=4)
    _conv(rng, model, second.map, source=first.map, inputs=4, outputs=6, kernel=4, stride=1)
    graphs.add_normalisation(model, preprocess, to="input")
    for stage in STAGES:
        graphs.add_output(model, stage.map, [stage.channels, stage.grid, stage.grid])
        graphs.add_pools(model, stage)
    graphs.add_output(model, LAST_MAP, [6, 5, 5], source=second.map)
    graphs.add_output(model, LAST, [6], source=second.mean)
    spec = BackboneSpec(
        name="tiny",
        preprocess=preprocess,
        features=6,
        last_grid=5,
        last_is_mean=last_is_mean,
        stages=STAGES,
        fingerprint=graphs.fingerprint(graphs.to_bytes(model)),
        weights=f"random numbers, seed {seed}",
        assumed=() if last_is_mean else ("Its last features are no mean.",),
    )
    return OnnxBackbone(spec, model, threads=1)


@pytest.fixture
def tiny() -> Callable[..., OnnxBackbone]:
    """Return what makes the tiny backbone: ``tiny(seed=…, last_is_mean=…)``."""
    return tiny_backbone


@pytest.fixture
def pixels() -> np.ndarray:
    """Five pictures of noise, uint8 (5, 32, 32, 3)."""
    return np.random.default_rng(1).integers(0, 256, (5, SIZE, SIZE, 3), dtype=np.uint8)

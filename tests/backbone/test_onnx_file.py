"""Other people's ONNX files: their outputs under our names, values unchanged, the rest refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from foveal.backbone import store
from foveal.backbone.catalog import pick
from foveal.backbone.settings import BackboneSettings
from foveal.backbone.spec import LAST, LAST_MAP, LOGITS
from foveal.core.errors import BadWeights, FovealError, OutOfRange

SIZE = 32
Sides = tuple[object, object, object, object]


def network(
    outputs: tuple[str, ...],
    *,
    sides: Sides = ("n", 3, SIZE, SIZE),
    opset: int = 18,
    kind: int = TensorProto.FLOAT,
) -> onnx.ModelProto:
    """A small convolutional network that has fine and coarse maps, features, scores, shares."""
    rng = np.random.default_rng(0)

    def weights(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array(rng.normal(0, 0.3, shape).astype(np.float32), name)

    node = helper.make_node
    nodes = [
        node("Conv", ["x", "w1"], ["c1"], strides=[2, 2], pads=[1, 1, 1, 1]),
        node("Relu", ["c1"], ["fine"]),
        node("Conv", ["fine", "w2"], ["c2"], strides=[2, 2], pads=[1, 1, 1, 1]),
        node("Relu", ["c2"], ["coarse"]),
        node("GlobalAveragePool", ["coarse"], ["square"]),
        node("Flatten", ["square"], ["pooled"]),
        node("Gemm", ["pooled", "w3"], ["scores"]),
        node("Softmax", ["scores"], ["shares"], axis=1),
        node("Conv", ["coarse", "w4"], ["score_map"]),
        node("GlobalAveragePool", ["score_map"], ["scores_11"]),
        node("Identity", ["scores"], ["logits"]),
    ]
    initializers = [
        weights("w1", 8, 3, 3, 3),
        weights("w2", 12, 8, 3, 3),
        weights("w3", 12, 5),
        weights("w4", 5, 12, 1, 1),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", kind, list(sides))],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 8
    return model


def saved(tmp_path: Path, model: onnx.ModelProto) -> str:
    path = tmp_path / "net.onnx"
    path.write_bytes(model.SerializeToString())
    return str(path)


def pictures(size: int = SIZE) -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (4, size, size, 3), dtype=np.uint8)


def plainly(model: onnx.ModelProto, name: str, mean: float, std: float) -> NDArray[np.float32]:
    """The file run as it is, on pictures normalised by hand."""
    planes = ((pictures().transpose(0, 3, 1, 2) / 255 - mean) / std).astype(np.float32)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (answer,) = session.run([name], {"x": planes})
    return np.asarray(answer)


def test_outputs_get_our_names_and_keep_their_values(tmp_path: Path) -> None:
    model = network(("pooled", "coarse", "fine", "logits"))
    settings = BackboneSettings(
        backbone=saved(tmp_path, model), mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)
    )
    backbone = pick(settings)
    spec = backbone.spec
    assert [(stage.channels, stage.grid) for stage in spec.stages] == [(8, 16), (12, 8)]
    assert (spec.features, spec.classes, spec.last_grid, spec.last_is_mean) == (12, 5, 8, True)
    ours = {
        LAST: "pooled",
        LOGITS: "logits",
        LAST_MAP: "coarse",
        "stage1/map": "fine",
        "stage2/map": "coarse",
    }
    got = backbone.embed(pictures(), [*ours, "stage1/2x2"])
    for name, origin in ours.items():
        np.testing.assert_allclose(got[name], plainly(model, origin, 0.5, 0.25), atol=1e-5)
    assert got["stage1/2x2"].shape == (4, 32)


def test_a_map_alone_gives_its_mean(tmp_path: Path) -> None:
    backbone = pick(BackboneSettings(backbone=saved(tmp_path, network(("coarse",)))))
    assert backbone.spec.last_is_mean
    assert backbone.spec.classes is None
    got = backbone.embed(pictures(), [LAST, LAST_MAP])
    np.testing.assert_allclose(got[LAST], got[LAST_MAP].mean((2, 3)), atol=1e-5)


@pytest.mark.parametrize("output", ["shares", "scores", "scores_11"])
def test_scores_alone_are_features_and_logits_without_their_softmax(
    tmp_path: Path, output: str
) -> None:
    model = network((output,))
    settings = BackboneSettings(
        backbone=saved(tmp_path, model), mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)
    )
    backbone = pick(settings)
    got = backbone.embed(pictures(), [LOGITS, LAST])
    plain = network(("scores" if output == "shares" else output,))
    expected = plainly(plain, plain.graph.output[0].name, 0.5, 0.25).reshape(4, 5)
    np.testing.assert_allclose(got[LOGITS], expected, atol=1e-5)
    np.testing.assert_array_equal(got[LAST], got[LOGITS])
    assert "if these are class scores" in backbone.spec.assumed[-1]


def test_what_was_not_said_is_assumed_aloud(tmp_path: Path) -> None:
    path = saved(tmp_path, network(("pooled",)))
    silent = pick(BackboneSettings(backbone=path)).spec
    assert silent.preprocess.size_px == SIZE
    assert any("mean 0.485 0.456 0.406" in sentence for sentence in silent.assumed)
    assert not [sentence for sentence in silent.assumed if "size_px" in sentence]
    free = saved(tmp_path, network(("pooled",), sides=("n", 3, "h", "w")))
    assert any("size_px 224" in said for said in pick(BackboneSettings(backbone=free)).spec.assumed)
    said = pick(BackboneSettings(backbone=free, size_px=48)).spec
    assert said.preprocess.size_px == 48


def test_a_batch_of_one_is_freed_where_the_graph_allows_it(tmp_path: Path) -> None:
    path = saved(tmp_path, network(("pooled",), sides=(1, 3, SIZE, SIZE)))
    assert pick(BackboneSettings(backbone=path)).embed(pictures(), [LAST])[LAST].shape == (4, 12)


def test_a_batch_of_one_that_is_baked_in_is_refused(tmp_path: Path) -> None:
    model = network(("baked",), sides=(1, 3, SIZE, SIZE))
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, 12]), "shape"))
    model.graph.node.append(helper.make_node("Reshape", ["pooled", "shape"], ["baked"]))
    with pytest.raises(BadWeights, match=r"batch of 3 pictures.*free batch dimension"):
        pick(BackboneSettings(backbone=saved(tmp_path, model)))


@pytest.mark.parametrize("opset", [13, 18, 20])
def test_older_graphs_become_ours_and_newer_ones_stay(tmp_path: Path, opset: int) -> None:
    model = network(("pooled",), opset=opset)
    settings = BackboneSettings(
        backbone=saved(tmp_path, model), mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)
    )
    backbone = pick(settings)
    assert backbone.graph([LAST]).opset_import[0].version == max(opset, 18)
    expected = plainly(model, "pooled", 0.5, 0.25)
    np.testing.assert_allclose(backbone.embed(pictures(), [LAST])[LAST], expected, atol=1e-5)


def test_the_same_file_and_settings_have_the_same_fingerprint(tmp_path: Path) -> None:
    path = saved(tmp_path, network(("pooled",)))
    first, again = (pick(BackboneSettings(backbone=path)).spec for _ in range(2))
    other = pick(BackboneSettings(backbone=path, mean=(0.5, 0.5, 0.5))).spec
    assert first == again
    assert other.fingerprint != first.fingerprint


def test_a_graph_of_ours_brings_its_record(exported: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.onnx"
    path.write_bytes((exported / store.GRAPH).read_bytes())
    backbone = pick(BackboneSettings(backbone=str(path), shape="squash"))
    folder = store.load(exported).spec
    assert backbone.spec.fingerprint == folder.fingerprint
    assert backbone.spec.stages == folder.stages
    assert backbone.spec.preprocess.shape == "squash"
    with pytest.raises(OutOfRange):
        pick(BackboneSettings(backbone=str(path), size_px=96))


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (network(("pooled",), sides=("n", 3, 32, 48)), "takes pictures of 48 × 32 pixels"),
        (network(("pooled",), sides=("n", 1, SIZE, SIZE)), "is float (free, 1, 32, 32)"),
        (network(("pooled",), sides=("n", SIZE, SIZE, 3)), "is float (free, 32, 32, 3)"),
        (network(("pooled",), kind=TensorProto.FLOAT16), "is float16"),
        (network(("pooled", "square", "scores")), "not clear which outputs"),
    ],
)
def test_what_cannot_be_a_backbone_is_one_sentence(
    tmp_path: Path, model: onnx.ModelProto, expected: str
) -> None:
    with pytest.raises(BadWeights) as caught:
        pick(BackboneSettings(backbone=saved(tmp_path, model)))
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_inputs_are_refused(tmp_path: Path) -> None:
    model = network(("pooled",))
    model.graph.input.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"]))
    with pytest.raises(BadWeights, match="has 2 inputs"):
        pick(BackboneSettings(backbone=saved(tmp_path, model)))


def test_an_input_of_rank_two_is_refused(tmp_path: Path) -> None:
    model = network(("pooled",))
    model.graph.input[0].CopyFrom(
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3072])
    )
    with pytest.raises(BadWeights, match=r"is float \(free, 3072\)"):
        pick(BackboneSettings(backbone=saved(tmp_path, model)))


def test_a_size_that_contradicts_the_graph_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, network(("pooled",)))
    with pytest.raises(OutOfRange, match=r"size_px = 64 cannot work\. Expected 32"):
        pick(BackboneSettings(backbone=path, size_px=64))
    with pytest.raises(OutOfRange, match=r"model_args = .*fixed in"):
        pick(BackboneSettings(backbone=path, model_args={"pad_type": "same"}))


def test_a_file_that_is_no_graph_and_one_with_damaged_metadata_are_refused(
    tmp_path: Path, exported: Path
) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(b"<html>not found</html>")
    with pytest.raises(BadWeights, match=r"net\.onnx is not an ONNX file"):
        pick(BackboneSettings(backbone=str(path)))
    model = onnx.load_model_from_string((exported / store.GRAPH).read_bytes())
    for damage in ("{", json.dumps({"name": 3})):
        model.metadata_props[0].value = damage
        path.write_bytes(model.SerializeToString())
        with pytest.raises(FovealError):
            pick(BackboneSettings(backbone=str(path)))

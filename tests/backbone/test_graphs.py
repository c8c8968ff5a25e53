"""Surgery on graphs: what is kept, what is refused, and that the added arithmetic is right."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from foveal.backbone import graphs
from foveal.backbone.spec import PIXELS, Stage
from foveal.core.errors import BadWeights, UnknownName
from foveal.image.preprocess import Preprocess


def two_headed() -> onnx.ModelProto:
    """x -> left = x * a, right = x * b, deep = left + 1."""
    nodes = [
        helper.make_node("Mul", ["x", "a"], ["left"]),
        helper.make_node("Mul", ["x", "b"], ["right"]),
        helper.make_node("Add", ["left", "one"], ["deep"]),
    ]
    weights = [
        numpy_helper.from_array(np.float32([value]), name)
        for name, value in (("a", 2), ("b", 3), ("one", 1))
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "two",
        [value("x", TensorProto.FLOAT, ["n"])],
        [value(name, TensorProto.FLOAT, ["n"]) for name in ("left", "right", "deep")],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", graphs.OPSET)])
    model.ir_version = graphs.IR_VERSION
    return model


def run(model: onnx.ModelProto, x: NDArray[np.generic]) -> list[NDArray[np.float32]]:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    answers: list[NDArray[np.float32]] = session.run(None, {session.get_inputs()[0].name: x})
    return answers


def test_pruning_keeps_what_the_outputs_need_and_nothing_else() -> None:
    model = graphs.prune(two_headed(), ["deep"])
    assert [node.op_type for node in model.graph.node] == ["Mul", "Add"]
    assert {tensor.name for tensor in model.graph.initializer} == {"a", "one"}
    assert run(model, np.float32([5]))[0].tolist() == [11]


def test_pruning_returns_the_outputs_in_the_order_asked_for_and_leaves_the_source_alone() -> None:
    model = two_headed()
    before = graphs.to_bytes(model)
    pruned = graphs.prune(model, ["right", "left", "right"])
    assert [value.name for value in pruned.graph.output] == ["right", "left"]
    assert graphs.to_bytes(model) == before


def test_pruning_keeps_what_only_an_inner_graph_reads() -> None:
    model = two_headed()
    inner_output = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"])
    branches = {
        f"{name}_branch": helper.make_graph(
            [helper.make_node("Identity", [source], ["y"])], name, [], [inner_output]
        )
        for name, source in (("then", "left"), ("else", "right"))
    }
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    model.graph.node.append(helper.make_node("If", ["yes"], ["chosen"], **branches))
    model.graph.output.append(helper.make_tensor_value_info("chosen", TensorProto.FLOAT, ["n"]))
    assert run(graphs.prune(model, ["chosen"]), np.float32([5]))[0].tolist() == [10]


def test_pruning_names_the_output_that_is_not_there() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'right'"):
        graphs.prune(two_headed(), ["rihgt"])


@pytest.mark.parametrize("content", [b"", b"\x00" * 100, b"not a graph at all", b"\x08\x07"])
def test_bytes_that_are_no_graph_are_refused(content: bytes) -> None:
    with pytest.raises(BadWeights, match=r"x\.onnx is not an ONNX file"):
        graphs.from_bytes(content, where="x.onnx")


def test_weights_in_another_file_are_refused() -> None:
    model = two_headed()
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../../etc/passwd")
    with pytest.raises(BadWeights, match="keeps the weights 'a' in another file"):
        graphs.from_bytes(model.SerializeToString(), where="x.onnx")


def test_weights_in_another_file_are_refused_inside_inner_graphs_too() -> None:
    model = two_headed()
    hidden = numpy_helper.from_array(np.float32([1]), "hidden")
    hidden.data_location = TensorProto.EXTERNAL
    hidden.external_data.add(key="location", value="weights.bin")
    constant = helper.make_node("Constant", [], ["y"], value=hidden)
    value = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"])
    branch = helper.make_graph([constant], "branch", [], [value])
    node = helper.make_node("If", ["yes"], ["z"], then_branch=branch, else_branch=branch)
    model.graph.node.append(node)
    with pytest.raises(BadWeights, match="'hidden' in another file"):
        graphs.from_bytes(model.SerializeToString(), where="x.onnx")


def test_operators_of_a_plug_in_library_are_refused() -> None:
    model = two_headed()
    model.graph.node[1].domain = "my.company"
    with pytest.raises(BadWeights, match=r"'Mul' of 'my\.company'"):
        graphs.from_bytes(model.SerializeToString(), where="x.onnx")


def test_functions_of_the_file_itself_are_no_plug_in() -> None:
    model = two_headed()
    double = helper.make_function(
        "own",
        "Double",
        ["v"],
        ["w"],
        [helper.make_node("Add", ["v", "v"], ["w"])],
        [helper.make_opsetid("", graphs.OPSET)],
    )
    model.functions.append(double)
    model.opset_import.append(helper.make_opsetid("own", 1))
    model.graph.node.append(helper.make_node("Double", ["left"], ["twice"], domain="own"))
    model.graph.output.append(helper.make_tensor_value_info("twice", TensorProto.FLOAT, ["n"]))
    read = graphs.from_bytes(model.SerializeToString(), where="x.onnx")
    assert run(graphs.prune(read, ["twice"]), np.float32([5]))[0].tolist() == [20]


def test_normalisation_in_the_graph_is_what_torch_users_do_outside() -> None:
    preprocess = Preprocess(size_px=16, mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
    model = two_headed()
    shape = ["n", 3, 16, 16]
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", TensorProto.FLOAT, shape))
    for value in model.graph.output:
        value.CopyFrom(helper.make_tensor_value_info(value.name, TensorProto.FLOAT, shape))
    graphs.add_normalisation(model, preprocess, to="x")
    onnx.checker.check_model(model)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    expected = (pixels / 255 - preprocess.mean) / preprocess.std
    left = run(graphs.prune(model, ["left"]), pixels)[0]
    assert model.graph.input[0].name == PIXELS
    np.testing.assert_allclose(left / 2, expected.transpose(0, 3, 1, 2), atol=2e-6)


@pytest.mark.parametrize("grid", [1, 2, 3, 7, 8, 14])
def test_mean_and_quarters_are_adaptive_pooling(grid: int) -> None:
    import torch
    from torch.nn.functional import adaptive_avg_pool2d

    stage = Stage(name="stage1", channels=5, grid=grid)
    shape = ["n", 5, grid, grid]
    model = two_headed()
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", TensorProto.FLOAT, shape))
    del model.graph.output[:]
    graphs.add_output(model, stage.map, [5, grid, grid], source="left")
    graphs.add_pools(model, stage)
    x = np.random.default_rng(0).normal(size=(2, 5, grid, grid)).astype(np.float32)
    map_, mean, quarters = run(model, x)
    np.testing.assert_array_equal(map_, 2 * x)
    np.testing.assert_allclose(mean, map_.mean((2, 3)), atol=1e-6)
    pooled = adaptive_avg_pool2d(torch.from_numpy(map_), 2).flatten(1).numpy()
    np.testing.assert_allclose(quarters, pooled, atol=1e-6)


def test_cleaning_takes_away_notes_of_the_machine_and_keeps_the_answer() -> None:
    model = two_headed()
    model.graph.node[0].doc_string = "made in /home/me"
    model.graph.node[0].metadata_props.add(key="trace", value="/home/me/x.py")
    model.graph.initializer[0].metadata_props.add(key="trace", value="/home/me/x.py")
    model.graph.value_info.append(helper.make_tensor_value_info("left", TensorProto.FLOAT, ["s77"]))
    model.producer_version = "2.15.0+cu132"
    clean = graphs.cleaned(model)
    content = graphs.to_bytes(clean)
    assert b"/home" not in content
    assert b"2.15" not in content
    assert b"s77" not in content
    assert graphs.fingerprint(content) == graphs.fingerprint(graphs.to_bytes(graphs.cleaned(model)))
    for got, expected in zip(run(clean, np.float32([5])), run(model, np.float32([5])), strict=True):
        np.testing.assert_array_equal(got, expected)

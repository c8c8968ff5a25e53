"""What networks have in common is stored once, and nothing else changes."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from foveal.backbone.running import open_session
from foveal.model.sharing import share_weights


def model_of(tensors, nodes):
    graph = helper.make_graph(
        nodes,
        "g",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [2]),
            helper.make_tensor_value_info("which", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])],
        [numpy_helper.from_array(value, name) for name, value in tensors.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 10
    return model


def branch(name, weights):
    node = helper.make_node("Mul", ["x", weights], [f"{name}/out"])
    out = helper.make_tensor_value_info(f"{name}/out", TensorProto.FLOAT, [2])
    return helper.make_graph([node], name, [], [out])


def test_equal_weights_are_one_also_for_graphs_inside_of_nodes():
    tensors = {name: np.array([2.0, 3.0], np.float32) for name in ("a", "b", "c")}
    nodes = [
        helper.make_node("If", ["which"], ["m"], then_branch=branch("t", "b"),
                         else_branch=branch("e", "c")),
        helper.make_node("Add", ["m", "a"], ["y"]),
    ]  # fmt: skip
    model = model_of(tensors, nodes)
    feed = {"x": np.array([1.0, 10.0], np.float32), "which": np.array(True)}
    before = open_session(model, threads=1).run(["y"], feed)[0]
    share_weights(model.graph)
    assert [tensor.name for tensor in model.graph.initializer] == ["a"]
    np.testing.assert_array_equal(open_session(model, threads=1).run(["y"], feed)[0], before)


def test_equal_numbers_of_another_type_or_shape_are_something_else():
    tensors = {
        "a": np.zeros(2, np.float32),
        "b": np.zeros((1, 2), np.float32),
        "c": np.zeros(2, np.int32),
        "d": np.zeros(2, np.float32),
    }
    model = model_of(tensors, [helper.make_node("Add", ["x", "d"], ["y"])])
    share_weights(model.graph)
    assert [tensor.name for tensor in model.graph.initializer] == ["a", "b", "c"]
    assert list(model.graph.node[0].input) == ["x", "a"]

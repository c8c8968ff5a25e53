"""Running a graph: only what is asked for, the same bits in any batch, bad pixels refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from foveal.backbone import running, store
from foveal.backbone.running import OnnxBackbone
from foveal.backbone.settings import BackboneSettings
from foveal.backbone.spec import LAST
from foveal.core.errors import BadWeights, OutOfRange, UnknownName


@pytest.fixture
def backbone(exported: Path) -> OnnxBackbone:
    return store.load(exported, threads=1)


def pictures(count: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng(7)
    return rng.integers(0, 256, (count, 64, 64, 3), dtype=np.uint8)


def test_a_picture_has_the_same_bits_in_any_batch_and_with_any_threads(exported: Path) -> None:
    pixels, blocks = pictures(37), list(store.load(exported).spec.widths())
    whole = store.load(exported, threads=2).embed(pixels, blocks)
    single = store.load(exported, threads=1)
    for size in (1, 3, 36):
        for start in range(0, 37, size):
            part = single.embed(pixels[start : start + size], blocks)
            for name in blocks:
                np.testing.assert_array_equal(part[name], whole[name][start : start + size])


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[onnx.ModelProto]:
    """Every graph that a session is opened for."""
    models: list[onnx.ModelProto] = []
    really = running.open_session

    def open_session(model: onnx.ModelProto, *, threads: int) -> object:
        models.append(model)
        return really(model, threads=threads)

    monkeypatch.setattr(running, "open_session", open_session)
    return models


def test_the_two_sessions_used_last_are_kept(
    backbone: OnnxBackbone, opened: list[onnx.ModelProto]
) -> None:
    for block, sessions in (
        (LAST, 1),
        ("stage1/mean", 2),
        (LAST, 2),
        ("stage2/mean", 3),  # stage1 is closed, it was used before last
        (LAST, 3),
        ("stage1/mean", 4),
    ):
        backbone.embed(pictures(1), [block])
        assert len(opened) == sessions


def test_only_what_is_asked_for_is_computed(
    backbone: OnnxBackbone, opened: list[onnx.ModelProto]
) -> None:
    shallow = backbone.embed(pictures(1), ["stage1/mean"])
    backbone.embed(pictures(1), ["stage1/mean"])
    assert list(shallow) == ["stage1/mean"]
    (model,) = opened
    kinds = [node.op_type for node in model.graph.node]
    assert "Gemm" not in kinds
    assert kinds.count("Conv") < 10
    assert len(graphs_nodes(backbone)) > 2 * len(model.graph.node)


def graphs_nodes(backbone: OnnxBackbone) -> list[onnx.NodeProto]:
    return list(backbone.graph(backbone.spec.widths()).graph.node)


def test_blocks_come_by_name_whatever_the_order(backbone: OnnxBackbone) -> None:
    one = backbone.embed(pictures(2), ["stage1/mean", LAST])
    other = backbone.embed(pictures(2), [LAST, "stage1/mean"])
    assert list(one) == ["stage1/mean", LAST]
    for name in one:
        np.testing.assert_array_equal(one[name], other[name])


def test_no_pictures_give_no_rows(backbone: OnnxBackbone) -> None:
    nothing = backbone.embed(pictures(0), [LAST])[LAST]
    assert nothing.shape == (0, backbone.spec.features)
    assert nothing.dtype == np.float32


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((1, 32, 32, 3), np.uint8),
        np.zeros((1, 64, 64, 4), np.uint8),
        np.zeros((1, 3, 64, 64), np.uint8),
        np.zeros((64, 64, 3), np.uint8),
        np.zeros((1, 64, 64, 3), np.float32),
    ],
)
def test_pixels_of_another_shape_or_type_are_refused(
    backbone: OnnxBackbone, pixels: NDArray[np.uint8]
) -> None:
    with pytest.raises(OutOfRange, match=r"Expected uint8\[N, 64, 64, 3\]"):
        backbone.embed(pixels, [LAST])


def test_a_block_that_is_not_there_is_named(backbone: OnnxBackbone) -> None:
    with pytest.raises(UnknownName, match="Did you mean 'stage3/mean'"):
        backbone.embed(pictures(1), ["stage3/men"])


def test_threads_must_be_at_least_one(exported: Path) -> None:
    with pytest.raises(OutOfRange, match="threads = 0"):
        store.load(exported, threads=0)


def test_the_same_network_may_see_pictures_cropped_in_another_way(
    backbone: OnnxBackbone, tiny: BackboneSettings
) -> None:
    seeing = backbone.spec.preprocess
    squashing = BackboneSettings(backbone="x", shape="squash").preprocess(seeing)
    other = backbone.seeing(squashing)
    assert other.spec.preprocess.shape == "squash"
    assert other.spec.fingerprint == backbone.spec.fingerprint
    for said in ({"mean": (0.5, 0.5, 0.5)}, {"size_px": 96}):
        changed = BackboneSettings(backbone="x", **said).preprocess(seeing)  # type: ignore[arg-type]  # one of two fields
        with pytest.raises(OutOfRange):
            backbone.seeing(changed)


def test_a_graph_that_the_runtime_cannot_load_is_one_sentence(exported: Path) -> None:
    model = store.load(exported).graph([LAST])
    model.graph.node[3].op_type = "Convolute"
    with pytest.raises(BadWeights, match="ONNX Runtime cannot load the graph") as caught:
        running.open_session(model, threads=1)
    assert "\n" not in str(caught.value)

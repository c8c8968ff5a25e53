"""What every backbone keeps to, whatever family its network is of.

The weights are random with a seed, where the networks are timm's: the contract is about shapes,
bits and names. The full list, and the real weights, are marked slow.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

from foveal.backbone import graphs, store
from foveal.backbone.catalog import BACKBONES, pick
from foveal.backbone.running import OnnxBackbone
from foveal.backbone.settings import BackboneSettings
from foveal.backbone.spec import LAST, LAST_MAP, LOGITS, PIXELS
from foveal.image.preprocess import Preprocess

FAMILIES: dict[str, dict[str, Any]] = {
    "vgg11": {"model_args": {"mlp_ratio": 0.01}, "size_px": 64},  # its giant layer, cut down
    "test_resnet": {"size_px": 96},
    "test_efficientnet": {"model_args": {"pad_type": "same"}, "size_px": 64},  # as MobileNetV2
    "test_convnext": {"size_px": 64},
    "test_vit": {"size_px": 96},
}
MORE: dict[str, dict[str, Any]] = {
    "vgg16": {},
    "vgg19": {},
    "resnet18": {},
    "resnet50": {},
    "mobilenetv2_100": {},
    "mobilenetv3_small_050": {},
    "mobilenetv3_large_100": {},
    "efficientnet_b0": {},
    "convnext_atto": {},
    "vit_tiny_patch16_224": {},
    "deit_tiny_distilled_patch16_224": {},
    "swin_tiny_patch4_window7_224": {},
    "regnety_002": {},
    "densenet121": {},
    "res2net50_26w_4s": {},
    "test_vit4": {},
    "test_mambaout": {},
    "test_nfnet": {},
    "test_maxvit": {},
}
SHARED: dict[str, dict[str, Any]] = {
    "resnet18": {},
    "mobilenetv2_100": {
        "model_args": {"pad_type": "same", "bn_eps": 1e-3},
        "mean": (0.5, 0.5, 0.5),
        "std": (0.5, 0.5, 0.5),
    },
}


def _seeded(folder: Path, name: str, arguments: dict[str, Any]) -> Path:
    import timm
    import torch
    from safetensors.torch import save_file

    path = folder / f"{name}.safetensors"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = timm.create_model(name, **arguments)
    save_file({key: t.contiguous() for key, t in network.state_dict().items()}, path)
    return path


@pytest.fixture(
    scope="module",  # so that one network after the other is made, judged and forgotten
    params=[
        *BACKBONES.names(),
        *FAMILIES,
        *(pytest.param(f"shared:{name}", marks=pytest.mark.slow) for name in SHARED),
        *(pytest.param(f"more:{name}", marks=pytest.mark.slow) for name in MORE),
    ],
)
def backbone(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> OnnxBackbone:
    where, _, name = request.param.rpartition(":")
    if name in BACKBONES.names():
        return pick(BackboneSettings(backbone=name), threads=1)
    folder = tmp_path_factory.mktemp("family")
    if where == "shared":
        said = SHARED[name]
        weights = request.getfixturevalue("shared") / "weights" / f"{name}.safetensors"
    else:
        said = {**MORE, **FAMILIES}[name]
        weights = _seeded(folder, name, said.get("model_args", {}))
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("FOVEAL_CACHE", str(folder / "cache"))
        return pick(BackboneSettings(backbone=name, weights=weights, **said), threads=1)


def pictures(preprocess: Preprocess, count: int) -> NDArray[np.uint8]:
    """Smooth random pictures: white noise is far from what networks were trained on."""
    from PIL import Image

    size = (preprocess.size_px, preprocess.size_px)
    rng = np.random.default_rng(count)
    coarse = rng.integers(0, 256, (count, 6, 6, 3), dtype=np.uint8)
    return np.stack([np.asarray(Image.fromarray(one).resize(size, 3)) for one in coarse])


def test_every_block_is_there_with_the_width_the_record_says(backbone: OnnxBackbone) -> None:
    widths = backbone.spec.widths()
    assert next(iter(widths)) == LAST
    blocks = backbone.embed(pictures(backbone.spec.preprocess, 3), list(widths))
    for name, value in blocks.items():
        assert value.shape == (3, widths[name]), name
        assert value.dtype == np.float32
        assert np.isfinite(value).all(), name


def test_every_map_has_the_grid_the_record_says_and_its_pools_are_of_it(
    backbone: OnnxBackbone,
) -> None:
    spec = backbone.spec
    pixels = pictures(spec.preprocess, 2)
    for stage in spec.stages:
        names = [stage.map, stage.mean, stage.quarters]
        map_, mean, quarters = backbone.embed(pixels, names).values()
        assert map_.shape == (2, stage.channels, stage.grid, stage.grid)
        scale = np.abs(map_).max()
        np.testing.assert_allclose(mean, map_.mean((2, 3)), atol=1e-5 * scale)
        reach = (stage.grid + 1) // 2  # an odd middle row belongs to both halves
        top_left = map_[:, :, :reach, :reach].mean((2, 3))
        bottom_right = map_[:, :, -reach:, -reach:].mean((2, 3))
        np.testing.assert_allclose(quarters[:, 0::4], top_left, atol=1e-5 * scale)
        np.testing.assert_allclose(quarters[:, 3::4], bottom_right, atol=1e-5 * scale)
    if spec.last_grid is not None:
        last_map = backbone.embed(pixels, [LAST_MAP])[LAST_MAP]
        assert last_map.shape[2:] == (spec.last_grid, spec.last_grid)


def test_last_is_the_mean_of_its_map_exactly_if_the_record_says_so(backbone: OnnxBackbone) -> None:
    if backbone.spec.last_grid is None:
        assert not backbone.spec.last_is_mean
        return
    found = backbone.embed(pictures(backbone.spec.preprocess, 2), [LAST, LAST_MAP])
    mean = found[LAST_MAP].mean((2, 3))
    same = mean.shape == found[LAST].shape and np.allclose(
        mean, found[LAST], atol=1e-4 * np.abs(found[LAST]).max()
    )
    assert same == backbone.spec.last_is_mean


def test_stages_go_from_fine_to_coarse_or_stay(backbone: OnnxBackbone) -> None:
    grids = [stage.grid for stage in backbone.spec.stages]
    assert grids == sorted(grids, reverse=True)
    assert [stage.name for stage in backbone.spec.stages] == [
        f"stage{number}" for number in range(1, len(grids) + 1)
    ]


def test_a_picture_has_the_same_bits_in_any_batch(backbone: OnnxBackbone) -> None:
    pixels, names = pictures(backbone.spec.preprocess, 6), list(backbone.spec.widths())
    whole = backbone.embed(pixels, names)
    for size in (1, 4):
        part = backbone.embed(pixels[:size], names)
        for name in names:
            np.testing.assert_array_equal(part[name], whole[name][:size], err_msg=name)


def test_different_pictures_have_different_features(backbone: OnnxBackbone) -> None:
    first, second = backbone.embed(pictures(backbone.spec.preprocess, 2), [LAST])[LAST]
    assert not np.array_equal(first, second)


def test_the_graph_is_plain_onnx_from_pixels_to_what_is_asked_for(backbone: OnnxBackbone) -> None:
    size = backbone.spec.preprocess.size_px
    model = backbone.graph([LAST])
    onnx.checker.check_model(model)
    graphs.from_bytes(graphs.to_bytes(model), where="it")
    session = ort.InferenceSession(graphs.to_bytes(model), providers=["CPUExecutionProvider"])
    (source,) = session.get_inputs()
    assert (source.name, source.type, source.shape[1:]) == (
        PIXELS,
        "tensor(uint8)",
        [size, size, 3],
    )
    assert not isinstance(source.shape[0], int)
    assert [output.name for output in session.get_outputs()] == [LAST]
    assert [opset.version for opset in model.opset_import if not opset.domain] == [graphs.OPSET]


def test_logits_are_there_exactly_if_the_record_counts_classes(backbone: OnnxBackbone) -> None:
    spec = backbone.spec
    names = {value.name for value in backbone._model.graph.output}
    assert (LOGITS in names) == (spec.classes is not None)
    if spec.classes is not None:
        logits = backbone.embed(pictures(spec.preprocess, 2), [LOGITS])[LOGITS]
        assert logits.shape == (2, spec.classes)


def test_the_record_tells_a_fingerprint_and_where_the_weights_are_from(
    backbone: OnnxBackbone,
) -> None:
    assert re.fullmatch("[0-9a-f]{64}", backbone.spec.fingerprint)
    assert backbone.spec.weights


def test_it_can_be_kept_as_a_folder_and_found_the_same(
    backbone: OnnxBackbone, tmp_path: Path
) -> None:
    names = [value.name for value in backbone._model.graph.output]
    store.save(tmp_path / "it", backbone.spec, backbone.graph(names), None)
    again = store.load(tmp_path / "it", threads=1)
    assert again.spec.widths() == backbone.spec.widths()
    pixels = pictures(backbone.spec.preprocess, 1)
    np.testing.assert_array_equal(
        again.embed(pixels, [LAST])[LAST], backbone.embed(pixels, [LAST])[LAST]
    )


def test_timm_builds_the_same_network_of_its_weights(backbone: OnnxBackbone) -> None:
    spec, weights = backbone.spec, backbone.network_weights()
    if spec.architecture is None:
        assert weights is None
        return
    import timm
    import torch

    assert weights is not None
    arguments = {"num_classes": spec.classes, **spec.model_args}  # the weights say how many
    network = timm.create_model(spec.architecture, **arguments).eval()
    network.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    pixels = pictures(spec.preprocess, 2)
    planes = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255
    mean, std = (
        torch.tensor(c)[:, None, None] for c in (spec.preprocess.mean, spec.preprocess.std)
    )
    with torch.no_grad():
        expected = network((planes - mean) / std).numpy()
    logits = backbone.embed(pixels, [LOGITS])[LOGITS]
    np.testing.assert_allclose(logits, expected, atol=1e-4 * np.abs(expected).max())
    if spec.classifier is not None:
        assert f"{spec.classifier}.weight" in weights

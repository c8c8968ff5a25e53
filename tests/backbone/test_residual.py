"""A residual network assembled from its weights answers as timm's own, in every output."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import timm
import torch
from timm.models.resnet import Bottleneck
from torch.nn.functional import adaptive_avg_pool2d

from foveal.backbone.residual import residual
from foveal.backbone.running import OnnxBackbone
from foveal.backbone.spec import LAST, LAST_MAP, LOGITS, BackboneSpec
from foveal.backbone.torch_bodies import TimmBody
from foveal.core.errors import BadWeights, OutOfRange
from foveal.image.preprocess import Preprocess

NETWORKS: dict[str, dict[str, Any]] = {
    "deep stem": {
        "layers": (1, 1, 1, 1),
        "channels": (8, 16, 24, 32),
        "stem_type": "deep",
        "stem_width": 8,
    },
    "plain stem": {"layers": (2, 1, 1, 2), "channels": (64, 16, 24, 32)},
    "bottlenecks": {"layers": (1, 2, 1, 1), "channels": (8, 8, 8, 8), "block": Bottleneck},
    "bottlenecks in groups": {
        "layers": (1, 1, 1, 1),
        "channels": (16, 16, 16, 16),
        "block": Bottleneck,
        "cardinality": 4,
        "base_width": 16,
    },
}
OTHERS: dict[str, tuple[dict[str, Any], str]] = {  # what a plain ResNet is not
    "squeeze and excitation": ({"block_args": {"attn_layer": "se"}}, "layer1.0.se"),
    "means on the way around": ({"avg_down": True}, "layer2.0"),
    "a blurred pool": ({"replace_stem_pool": True}, "maxpool"),
    "no classifier": ({"num_classes": 0}, "fc.weight is missing"),
}


def network_of(arguments: dict[str, Any]) -> torch.nn.Module:
    """A network with weights and statistics of chance, and none of them at its default."""
    torch.manual_seed(0)
    arguments = {"num_classes": 5, "zero_init_last": False, **arguments}
    network = timm.create_model("resnet18", **arguments)
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2)
            torch.nn.init.uniform_(layer.weight, 0.5, 2)
            torch.nn.init.normal_(layer.bias)
    return network.eval()


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("size_px", [64, 96])
def test_every_output_is_that_of_timm(kind: str, size_px: int) -> None:
    network = network_of(NETWORKS[kind])
    weights = {name: value.numpy() for name, value in network.state_dict().items()}
    preprocess = Preprocess(size_px=size_px, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))
    made = residual(weights, preprocess)
    spec = BackboneSpec(
        name="r", preprocess=preprocess, features=made.features, last_grid=made.last_grid,
        last_is_mean=True, stages=made.stages, fingerprint="", weights="", classes=made.classes,
    )  # fmt: skip
    pixels = np.random.default_rng(0).integers(0, 256, (3, size_px, size_px, 3), np.uint8)
    planes = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255
    planes = (planes - torch.tensor(preprocess.mean).view(3, 1, 1)) / torch.tensor(
        preprocess.std
    ).view(3, 1, 1)
    with torch.no_grad():
        expected = TimmBody(network, size_px)(planes)
    for stage in made.stages:
        expected[stage.mean] = expected[stage.map].mean((2, 3))
        expected[stage.quarters] = adaptive_avg_pool2d(expected[stage.map], 2).flatten(1)
    assert {LAST, LOGITS, LAST_MAP, "stage4/2x2"} <= set(expected)
    got = OnnxBackbone(spec, made.model, threads=1).embed(pixels, list(expected))
    for name, value in expected.items():
        apart = np.abs(got[name] - value.numpy()).max() / value.abs().max().item()
        assert got[name].shape == tuple(value.shape), name
        assert apart < 1e-5, name


def test_equal_weights_give_equal_bytes() -> None:
    weights = {k: v.numpy() for k, v in network_of(NETWORKS["deep stem"]).state_dict().items()}
    first, again = (residual(weights, Preprocess(size_px=64)).model for _ in range(2))
    assert first.SerializeToString(deterministic=True) == again.SerializeToString(
        deterministic=True
    )


def test_a_size_whose_grids_would_not_halve_is_refused() -> None:
    with pytest.raises(OutOfRange, match="a multiple of 32"):
        residual({}, Preprocess(size_px=100))


@pytest.mark.parametrize("kind", OTHERS)
def test_a_network_with_other_parts_is_refused(kind: str) -> None:
    arguments, words = OTHERS[kind]
    weights = {k: v.numpy() for k, v in network_of(arguments).state_dict().items()}
    with pytest.raises(BadWeights, match=words):
        residual(weights, Preprocess(size_px=64))


def test_weights_of_something_else_are_refused() -> None:
    with pytest.raises(BadWeights, match="no plain ResNet"):
        residual({"blocks.0.attn.qkv.weight": np.zeros((3, 3))}, Preprocess(size_px=64))

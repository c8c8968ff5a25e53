"""A backbone unpacked to be trained is the same network, and packed again it is one again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from foveal.backbone import store
from foveal.backbone.classical import classical
from foveal.backbone.spec import LAST, LOGITS
from foveal.backbone.torch_trained import backbone_of, classifier_of, network_of
from foveal.core.errors import BadWeights
from foveal.image.preprocess import Preprocess


def normalised(pixels: np.ndarray, preprocess: Preprocess) -> torch.Tensor:
    planes = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255.0
    mean, std = torch.tensor(preprocess.mean), torch.tensor(preprocess.std)
    return (planes - mean[:, None, None]) / std[:, None, None]


def close(got: np.ndarray, expected: np.ndarray) -> bool:
    return bool(np.abs(got - expected).max() <= 1e-4 * np.abs(expected).max())


def pictures(count: int = 3, size_px: int = 64) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, size_px, size_px, 3), dtype=np.uint8)


def test_an_unpacked_network_has_the_backbones_last_features(exported: Path) -> None:
    backbone = store.load(exported, threads=1)
    network = network_of(backbone, 5).eval()
    with torch.no_grad():
        planes = normalised(pictures(), backbone.spec.preprocess)
        last = network.forward_head(network.forward_features(planes), pre_logits=True)
        assert network(planes).shape == (3, 5)
        assert not network(planes).any()
    assert close(last.numpy(), backbone.embed(pictures(), [LAST])[LAST])


def test_unpacking_leaves_the_global_random_state_alone(exported: Path) -> None:
    before = torch.random.get_rng_state()
    network_of(store.load(exported, threads=1), 5)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_trained_network_packed_again_answers_what_torch_answers(exported: Path) -> None:
    backbone = store.load(exported, threads=1)
    network = network_of(backbone, 5)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.01)
    packed = backbone_of(network, backbone.spec, weights="tuned")
    with torch.no_grad():
        logits = network(normalised(pictures(), packed.spec.preprocess)).numpy()
    assert close(packed.embed(pictures(), [LOGITS])[LOGITS], logits)
    assert packed.spec.fingerprint not in {"", backbone.spec.fingerprint}
    assert (packed.spec.weights, packed.spec.classes) == ("tuned", 5)
    assert packed.spec.preprocess == backbone.spec.preprocess
    weights = packed.network_weights()
    assert weights is not None
    assert weights.keys() == network.state_dict().keys()


def test_a_backbone_that_is_only_a_graph_cannot_be_trained() -> None:
    with pytest.raises(BadWeights, match=r"classical cannot be trained further.*probe"):
        network_of(classical(), 3)


def test_a_classifier_that_is_not_one_linear_layer_is_said() -> None:
    class Odd(torch.nn.Module):
        def get_classifier(self) -> torch.nn.Module:
            return torch.nn.Conv2d(3, 3, 1)

    with pytest.raises(BadWeights, match=r"odd cannot be trained.*Conv2d"):
        classifier_of(Odd(), "odd")

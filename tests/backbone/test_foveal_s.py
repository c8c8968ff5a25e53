"""The network in the box: timm's own answers without torch, small on the disk, trainable on."""

from __future__ import annotations

import subprocess
import sys
from importlib import resources

import numpy as np
import pytest
import timm
import torch
from numpy.typing import NDArray
from PIL import Image

from foveal.backbone.catalog import pick
from foveal.backbone.foveal_s import DEFAULT_PREPROCESS, FILE, foveal_s
from foveal.backbone.settings import BackboneSettings
from foveal.backbone.spec import LAST, LAST_MAP, LOGITS
from foveal.backbone.torch_bodies import TimmBody
from foveal.backbone.torch_trained import network_of
from foveal.core.errors import OutOfRange


def pictures(size_px: int) -> NDArray[np.uint8]:
    coarse = np.random.default_rng(0).integers(0, 256, (3, 6, 6, 3), dtype=np.uint8)
    return np.stack([np.asarray(Image.fromarray(c).resize((size_px, size_px), 3)) for c in coarse])


@pytest.mark.parametrize("size_px", [160, 128, 96])
def test_it_answers_as_timm_does_from_its_weights_and_arguments(size_px: int) -> None:
    backbone = pick(BackboneSettings(backbone="foveal-s", size_px=size_px), threads=1)
    spec, weights = backbone.spec, backbone.network_weights()
    assert spec.architecture is not None
    assert weights is not None
    network = timm.create_model(spec.architecture, num_classes=spec.classes, **spec.model_args)
    network.load_state_dict({k: torch.from_numpy(v) for k, v in weights.items()}, strict=True)
    network.eval()
    pixels = pictures(size_px)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (spec.preprocess.mean, spec.preprocess.std))
    planes = (torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 - mean) / std
    with torch.no_grad():
        expected = TimmBody(network, size_px)(planes)
    assert set(expected) == {LAST, LOGITS, LAST_MAP, *(stage.map for stage in spec.stages)}
    got = backbone.embed(pixels, list(expected))
    for name, value in expected.items():
        apart = np.abs(got[name] - value.numpy()).max() / value.abs().max().item()
        assert apart < 1e-4, name


def test_its_record_is_that_of_the_graph() -> None:
    backbone = foveal_s(threads=1)
    spec = backbone.spec
    assert (spec.features, spec.classes, spec.last_grid) == (384, 200, 5)
    assert [(stage.channels, stage.grid) for stage in spec.stages] == [
        (48, 40), (96, 20), (192, 10), (384, 5),
    ]  # fmt: skip
    found = backbone.embed(pictures(160), [LAST, LAST_MAP])
    np.testing.assert_allclose(found[LAST], found[LAST_MAP].mean((2, 3)), rtol=1e-4, atol=1e-5)


def test_it_takes_a_size_that_its_grids_divide_and_nothing_that_is_in_its_weights() -> None:
    with pytest.raises(OutOfRange, match="a multiple of 32"):
        pick(BackboneSettings(backbone="foveal-s", size_px=100))
    with pytest.raises(OutOfRange, match=r"mean = .*fixed in foveal-s"):
        pick(BackboneSettings(backbone="foveal-s", mean=(0.5, 0.5, 0.5)))


def test_it_weighs_at_most_twelve_megabytes_and_its_card_lies_beside_it() -> None:
    folder = resources.files("foveal.backbone")
    assert len(folder.joinpath(FILE).read_bytes()) <= 12_000_000
    assert "research" in folder.joinpath("foveal_s.md").read_text()


def test_it_runs_without_torch() -> None:
    code = (
        "import sys, numpy as np\n"
        "from foveal.backbone.foveal_s import foveal_s\n"
        "print(foveal_s().embed(np.zeros((1, 160, 160, 3), np.uint8), ['last'])['last'].shape)\n"
        "assert not {'torch', 'torchvision', 'timm'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "(1, 384)\n"), done.stderr


def test_it_can_be_trained_further() -> None:
    backbone = foveal_s(threads=1)
    network = network_of(backbone, 7).eval()
    pixels = pictures(160)
    mean, std = (
        torch.tensor(v).view(3, 1, 1) for v in (DEFAULT_PREPROCESS.mean, DEFAULT_PREPROCESS.std)
    )
    planes = (torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 - mean) / std
    with torch.no_grad():
        last = network.forward_head(network.forward_features(planes), pre_logits=True)
        assert not network(planes).any()
    np.testing.assert_allclose(
        last.numpy(), backbone.embed(pixels, [LAST])[LAST], rtol=1e-3, atol=1e-4
    )

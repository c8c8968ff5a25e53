"""Tiny networks with seeded weights, and one of them exported once for all tests of this folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from foveal.backbone import store
from foveal.backbone.catalog import pick
from foveal.backbone.settings import BackboneSettings

Seeded = Callable[..., Path]


@pytest.fixture(scope="session")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Seeded:
    """Return a function that writes seeded weights of a timm network to a safetensors file."""
    import timm
    import torch
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("weights")

    def write(name: str, **arguments: object) -> Path:
        path = folder / f"{name}-{len(list(folder.iterdir()))}.safetensors"
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = timm.create_model(name, **arguments)
            for key, buffer in network.named_buffers():
                if key.endswith("running_mean"):
                    buffer.normal_(0, 0.1)
                if key.endswith("running_var"):
                    buffer.uniform_(0.5, 1.5)
        save_file({k: v.contiguous() for k, v in network.state_dict().items()}, path)
        return path

    return write


@pytest.fixture(scope="session")
def tiny(seeded: Seeded) -> BackboneSettings:
    """The settings of a tiny ResNet with everything said that timm's defaults would be wrong in."""
    weights = seeded("test_resnet")
    return BackboneSettings(
        backbone="test_resnet", weights=weights, size_px=64, mean=(0.4, 0.5, 0.6), crop=1.0
    )


@pytest.fixture(scope="session")
def exported(tiny: BackboneSettings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the tiny ResNet, exported once."""
    before = os.environ.get("FOVEAL_CACHE")
    os.environ["FOVEAL_CACHE"] = str(tmp_path_factory.mktemp("exported"))
    try:
        pick(tiny)
        return store.cached_folder(tiny)
    finally:
        os.environ.pop("FOVEAL_CACHE")
        if before is not None:
            os.environ["FOVEAL_CACHE"] = before


@pytest.fixture
def cached(exported: Path, own_cache: Path) -> Path:
    """This test's own cache with the tiny ResNet in it."""
    folder = own_cache / "backbones" / exported.name
    shutil.copytree(exported, folder)
    return folder

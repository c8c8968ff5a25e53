"""A tiny convolutional network, as the file a person would name."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path

import pytest

from foveal.backbone import store

TINY = Path(__file__).parents[1] / "model" / "conftest.py"


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny network of ``tests/model`` as a backbone folder."""
    tiny = runpy.run_path(str(TINY))["tiny_backbone"]()
    folder = tmp_path_factory.mktemp("networks") / "tiny"
    store.save(folder, tiny.spec, tiny._model, None)
    return folder


@pytest.fixture(scope="session")
def trainable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """timm's smallest ResNet with seeded weights at 64 px, exported: a network that can learn."""
    import timm
    import torch
    from safetensors.torch import save_file

    from foveal.backbone.catalog import pick
    from foveal.backbone.settings import BackboneSettings

    file = tmp_path_factory.mktemp("weights") / "test_resnet.safetensors"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        save_file(timm.create_model("test_resnet").state_dict(), file)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOVEAL_CACHE", str(tmp_path_factory.mktemp("trainable")))
        settings = BackboneSettings(backbone="test_resnet", weights=file, size_px=64, crop=1.0)
        pick(settings)
        return store.cached_folder(settings)


@pytest.fixture
def heard() -> Callable:
    """A listener that remembers what was said."""

    class Heard:
        def __init__(self) -> None:
            self.sentences: list[str] = []

        def say(self, sentence: str) -> None:
            self.sentences.append(sentence)

        def progress(
            self, stage: str, done: int, total: int, unit: str = "images", *, note: str = ""
        ) -> None:
            assert 0 <= done <= total

    return Heard

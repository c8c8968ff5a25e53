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


@pytest.fixture
def heard() -> Callable:
    """A listener that remembers what was said."""

    class Heard:
        def __init__(self) -> None:
            self.sentences: list[str] = []

        def say(self, sentence: str) -> None:
            self.sentences.append(sentence)

        def progress(self, stage: str, done: int, total: int, unit: str = "images") -> None:
            assert 0 <= done <= total

    return Heard

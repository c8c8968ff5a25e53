"""What every test may ask for: the shared real data, and pictures made here."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def shared_folder() -> Path | None:
    """Return the folder of shared real data, or None where it is absent."""
    candidates = [os.environ.get("FOVEAL_SHARED", ""), str(ROOT.parent / "shared")]
    for candidate in candidates:
        if candidate and (Path(candidate) / "data" / "README.md").is_file():
            return Path(candidate)
    return None


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder ``data`` of real pictures and weights; skips, visibly, where it is absent."""
    folder = shared_folder()
    if folder is None:
        pytest.skip("no shared data: set FOVEAL_SHARED or put it at ../shared")
    return folder / "data"


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give every test an empty cache of its own."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("FOVEAL_CACHE", str(folder))
    return folder

"""What every test may ask for: the shared real data, and pictures made here."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

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


def write_photos(root: Path, *, seed: int = 0, count: int = 20, hard: bool = False) -> Path:
    """Write class folders of 64 px pictures: dots, grid and waves; ``hard``: mostly noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:64, :64] / 64
    for name in ("dots", "grid", "waves"):
        (root / name).mkdir(parents=True)
        for number in range(count):
            shift = rng.uniform(0, 6.28)
            shape = {
                "dots": np.cos(9 * ((x - 0.5) ** 2 + (y - 0.5) ** 2) + shift),
                "grid": np.sign(np.sin(25 * x + shift) * np.sin(25 * y)),
                "waves": np.sin(20 * x + shift),
            }[name][..., None] * rng.uniform(0.4, 1, 3)
            noise = rng.normal(0, 120 if hard else 25, (64, 64, 3))
            pixels = (128 + (15 if hard else 80) * shape + noise).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number:02}.png")
    return root


@pytest.fixture(scope="session")
def make_photos() -> Callable[..., Path]:
    """`write_photos`, for tests in other files."""
    return write_photos


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders of 3 × 20 pictures; nobody may change them."""
    return write_photos(tmp_path_factory.mktemp("made") / "photos")


@pytest.fixture(scope="session")
def saved(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model fitted with ``classical`` on ``photos`` and saved; nobody may change it."""
    import foveal

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOVEAL_CACHE", str(tmp_path_factory.mktemp("cache")))
        model = foveal.fit(photos, backbone="classical")
        return model.save(tmp_path_factory.mktemp("saved") / "model")


@dataclass(frozen=True)
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Return what runs ``foveal WORDS`` in this process, from its very entry point."""
    from foveal.cli import run

    def answer(*words: object, stdin: bytes = b"") -> Said:
        monkeypatch.setattr(sys, "argv", ["foveal", *map(str, words)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
        capsys.readouterr()
        with pytest.raises(SystemExit) as done:
            run()
        said = capsys.readouterr()
        assert isinstance(done.value.code, int)
        return Said(done.value.code, said.out, said.err)

    return answer

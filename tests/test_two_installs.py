"""Two installs, one package: what [train] exported once, the base install uses for the whole story.

`make test` makes the second environment, `.venv-base`, with `pip install foveal` and nothing else.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
BASE = ROOT / ".venv-base" / "bin" / "python"
EACH = 14  # pictures of each class


def run(python: str | Path, cache: Path, *words: object) -> dict:
    done = subprocess.run(
        [python, "-m", "foveal", *map(str, words), "--json"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "FOVEAL_CACHE": str(cache)},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def base() -> Path:
    if not BASE.exists():
        pytest.skip("no second environment: `make test` makes .venv-base")
    return BASE


@pytest.fixture(scope="module")
def photos(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for name in ("ants", "bees"):
        (folder / name).mkdir()
        files = sorted((shared / "domains" / "hymenoptera" / "train" / name).iterdir())
        for file in files[:EACH]:
            shutil.copy(file, folder / name)
    return folder


def test_the_second_environment_has_no_torch(base: Path) -> None:
    code = (
        "import importlib.util as u; "
        "print([n for n in ('torch', 'timm', 'sklearn') if u.find_spec(n)])"
    )
    done = subprocess.run([base, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_base_install_tells_which_extra_an_export_needs(
    base: Path, shared: Path, photos: Path, tmp_path: Path
) -> None:
    done = subprocess.run(
        [base, "-m", "foveal", "fit", photos, "-o", tmp_path / "m", "--backbone", "resnet18",
         "--weights", shared / "weights" / "resnet18.safetensors"],
        capture_output=True, text=True, check=False,
        env={**os.environ, "FOVEAL_CACHE": str(tmp_path / "cache")},
    )  # fmt: skip
    assert done.returncode == 1
    assert "foveal[train]" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "m").exists()


def test_what_train_exported_the_base_install_fits_tests_and_ships(
    base: Path, shared: Path, photos: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    network = ["--backbone", "resnet18", "--weights", shared / "weights" / "resnet18.safetensors"]
    settings = [*network, "--features", "last", "--test-share", 0.25]
    run(sys.executable, cache, "fit", photos, "-o", tmp_path / "exported", *settings)

    model = tmp_path / "model"
    made = run(base, cache, "fit", photos, "-o", model, *settings)
    assert made["blocks"] == ["last"]
    test = run(base, cache, "test", model, photos)
    assert test["images"] == made["data"]["images"]["test"]
    assert (tmp_path / "model.run" / "report.html").stat().st_size > 10_000
    file = sorted((photos / "bees").iterdir())[0]
    answer = run(base, cache, "predict", model, file)
    assert answer["label"] in {"ants", "bees"}

    whole = {p.relative_to(model): p.read_bytes() for p in model.rglob("*") if p.is_file()}
    exported = tmp_path / "exported"
    assert whole == {p.relative_to(exported): p.read_bytes()
                     for p in exported.rglob("*") if p.is_file()}  # fmt: skip

    import timm
    import torch

    network = timm.create_model(f"local-dir:{model}", pretrained=True).eval()
    reference = json.loads((model / "reference" / "reference.json").read_text())["logits"]
    from foveal.image.pixels import pixels_of_file
    from foveal.model.bundle import read_bundle

    preprocess = read_bundle(model).preprocess
    for name, logits in reference.items():
        pixels = pixels_of_file(model / "reference" / name, preprocess)
        values = (pixels / 255 - np.array(preprocess.mean)) / np.array(preprocess.std)
        batch = torch.from_numpy(values.transpose(2, 0, 1)[None].astype(np.float32))
        with torch.no_grad():
            given = network(batch)[0].numpy()
        np.testing.assert_allclose(given, logits, atol=1e-4)

"""timm's layout: what Foveal writes without torch, timm itself opens to the same logits."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import foveal
from foveal.backbone.catalog import pick
from foveal.backbone.settings import BackboneSettings
from foveal.core.errors import BadWeights
from foveal.export.timm_layout import fits_timm, timm_files
from foveal.image.preprocess import Preprocess
from foveal.model.classifier import Classifier
from foveal.model.linear import LinearHead

NETWORKS = ("test_resnet", "test_vit")  # convolutions; and one that is built for one size


@pytest.fixture(scope="module", params=NETWORKS)
def backbone(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    """One of timm's tiny test networks with seeded random weights, exported."""
    torch, timm = pytest.importorskip("torch"), pytest.importorskip("timm")
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("timm")
    torch.manual_seed(0)
    network = timm.create_model(request.param, pretrained=False)
    save_file(network.state_dict(), folder / "w.safetensors")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOVEAL_CACHE", str(folder / "cache"))
        return pick(BackboneSettings(backbone=request.param, weights=folder / "w.safetensors"))


def classifier(backbone, classes: int = 5, temperature: float = 0.5) -> Classifier:
    rng = np.random.default_rng(0)
    wide = backbone.spec.features
    return Classifier(
        host=backbone,
        classical=None,
        blocks=("last",),
        head=LinearHead(
            rng.normal(0, 0.3, (classes, wide)).astype(np.float32),
            rng.normal(0, 1, classes).astype(np.float32),
        ).cooled(temperature),
        centre_D=np.zeros(wide, np.float32),
        classes=tuple(f"kind {n}" for n in range(classes)),
        temperature=temperature,
    )


def written(one: Classifier, folder: Path) -> dict[str, bytes]:
    weights = one.host.network_weights()
    assert weights is not None
    files = timm_files(one, weights)
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return files


def normalised(pixels: np.ndarray, preprocess: Preprocess):
    import torch

    scaled = (pixels / 255 - np.array(preprocess.mean)) / np.array(preprocess.std)
    return torch.from_numpy(scaled.transpose(0, 3, 1, 2).astype(np.float32))


def test_timm_opens_it_to_the_same_logits(backbone, tmp_path: Path) -> None:
    import timm
    import torch

    one = classifier(backbone)
    written(one, tmp_path / "m")
    network = timm.create_model(f"local-dir:{tmp_path}/m", pretrained=True).eval()
    size = backbone.spec.preprocess.size_px
    pixels = np.random.default_rng(1).integers(0, 256, (3, size, size, 3), dtype=np.uint8)
    with torch.inference_mode():
        found = network(normalised(pixels, backbone.spec.preprocess)).numpy()
    expected = one.head.logits(backbone.embed(pixels, ["last"])["last"])
    assert np.abs(found - expected).max() < 1e-4
    assert np.ptp(expected) > 0.1
    config = network.pretrained_cfg
    assert config["label_names"] == list(one.classes)
    assert tuple(config["mean"]) == backbone.spec.preprocess.mean
    assert config["crop_pct"] == backbone.spec.preprocess.crop


def test_the_number_of_classes_stands_beside_the_arguments_and_never_in_them(
    backbone, tmp_path: Path
) -> None:
    spec = replace(backbone.spec, model_args={"num_classes": 7, "drop_rate": 0.1})
    one = classifier(type(backbone)(spec, backbone._model))
    config = json.loads(timm_files(one, backbone.network_weights())["config.json"])
    assert config["num_classes"] == config["pretrained_cfg"]["num_classes"] == 5
    assert config["model_args"] == {"drop_rate": 0.1}


def test_the_same_classifier_is_the_same_bytes(backbone, tmp_path: Path) -> None:
    one = classifier(backbone)
    weights = backbone.network_weights()
    shuffled = dict(sorted(weights.items(), reverse=True))
    assert timm_files(one, weights) == timm_files(one, shuffled)


def test_a_head_of_another_width_is_refused(backbone) -> None:
    one = classifier(backbone)
    weights = dict(backbone.network_weights())
    name = f"{backbone.spec.classifier}.weight"
    weights[name] = np.zeros((9, backbone.spec.features + 1), np.float32)
    with pytest.raises(BadWeights, match="the head reads"):
        timm_files(one, weights)


def test_only_a_head_on_the_last_features_of_a_timm_network_fits(backbone) -> None:
    one = classifier(backbone)
    assert fits_timm(one)
    mean = backbone.spec.stages[0].mean if backbone.spec.stages else None
    if mean is not None:
        wide = backbone.spec.widths()[mean]
        more = replace(
            one,
            blocks=(mean,),
            head=LinearHead(np.zeros((5, wide), np.float32), np.zeros(5, np.float32)),
            centre_D=np.zeros(wide, np.float32),
        )
        assert not fits_timm(more)
    for change in ({"architecture": None}, {"architecture": "torchvision:resnet18"},
                   {"classifier": None}):  # fmt: skip
        other = classifier(type(backbone)(replace(backbone.spec, **change), backbone._model))
        assert not fits_timm(other)


def test_a_fitted_bundle_opens_in_timm(
    backbone, photos: Path, tmp_path: Path, own_cache: Path
) -> None:
    import timm
    import torch

    from foveal.backbone import store

    store.save(
        tmp_path / "net", backbone.spec, backbone._model,
        _bytes(backbone.network_weights()),
    )  # fmt: skip
    model = foveal.fit(photos, backbone=str(tmp_path / "net"), features="last")
    model.save(tmp_path / "m")
    assert "opens with `timm.create_model" in (tmp_path / "m" / "README.md").read_text()
    network = timm.create_model(f"local-dir:{tmp_path}/m", pretrained=True).eval()
    (batch,) = model.predictor.batches(sorted((photos / "grid").iterdir())[:4])
    with torch.inference_mode():
        found = network(normalised(batch.pixels, model.bundle.preprocess)).numpy()
    assert np.abs(found - model.predictor.logits(batch.pixels)).max() < 1e-4


def _bytes(weights) -> bytes:
    from safetensors.numpy import save

    return save({name: np.ascontiguousarray(value) for name, value in weights.items()})

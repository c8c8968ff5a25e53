"""The exported graph: every output is torch's, found another way; its bytes tell no machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from foveal.backbone import graphs, store, torch_export
from foveal.backbone.running import OnnxBackbone
from foveal.backbone.settings import BackboneSettings
from foveal.backbone.spec import LAST, LAST_MAP, LOGITS
from foveal.backbone.torch_bodies import TimmBody
from foveal.backbone.torch_export import export
from foveal.backbone.torch_load import Loaded, load_timm
from foveal.core.errors import BadWeights
from foveal.image.preprocess import Preprocess


def hooked(network: nn.Module, names: dict[str, str], planes: Tensor) -> dict[str, NDArray]:
    """Return what modules of a network put out, by hooks instead of timm's own interface."""
    found: dict[str, NDArray] = {}
    handles = [
        network.get_submodule(module).register_forward_hook(
            lambda _module, _inputs, output, key=key: found.__setitem__(key, output.numpy())
        )
        for key, module in names.items()
    ]
    with torch.no_grad():
        found[LOGITS] = network(planes).numpy()
    for handle in handles:
        handle.remove()
    return found


def normalised(pixels: NDArray[np.uint8], preprocess: Preprocess) -> Tensor:
    planes = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255.0
    mean, std = torch.tensor(preprocess.mean), torch.tensor(preprocess.std)
    return (planes - mean[:, None, None]) / std[:, None, None]


def close(got: NDArray, expected: NDArray, tolerance: float = 1e-4) -> bool:
    return bool(np.abs(got - expected).max() <= tolerance * np.abs(expected).max())


def photographs(shared: Path, size_px: int, count: int = 4) -> NDArray[np.uint8]:
    files = sorted((shared / "imagenet_samples").glob("*/*"))[:: 1000 // count][:count]
    opened = [Image.open(file).convert("RGB").resize((size_px, size_px)) for file in files]
    return np.stack([np.asarray(image) for image in opened])


def test_a_resnets_stages_are_its_four_layers(tiny: BackboneSettings, exported: Path) -> None:
    backbone = store.load(exported, threads=1)
    network = load_timm(tiny).network
    pixels = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    layers = {f"stage{n}/map": f"layer{n}" for n in (1, 2, 3, 4)}
    names = {**layers, LAST_MAP: "layer4", LAST: "global_pool"}
    expected = hooked(network, names, normalised(pixels, backbone.spec.preprocess))
    for stage in backbone.spec.stages:
        map_NCHW = expected[stage.map]
        expected[stage.mean] = map_NCHW.mean((2, 3))
        quarters = adaptive_avg_pool2d(torch.from_numpy(map_NCHW), 2).numpy()
        expected[stage.quarters] = quarters.reshape(3, -1)
        assert map_NCHW.shape[1:] == (stage.channels, stage.grid, stage.grid)
    got = backbone.embed(pixels, list(expected))
    for name, value in expected.items():
        assert close(got[name], value), name
    assert [stage.name for stage in backbone.spec.stages] == [
        "stage1",
        "stage2",
        "stage3",
        "stage4",
    ]
    assert backbone.spec.last_is_mean
    assert backbone.spec.last_grid == 2


def test_equal_networks_give_equal_bytes_with_no_trace_of_the_machine_or_on_the_screen(
    tiny: BackboneSettings, exported: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    _, content = store.sealed(*export(load_timm(tiny)))
    assert content == (exported / store.GRAPH).read_bytes()
    said = capfd.readouterr()
    assert said.out == said.err == ""
    for trace in (b"/home", b"site-packages", b"torch", b".py", str(Path.cwd()).encode()):
        assert trace not in content


def small_resnet18(like: Loaded, **arguments: object) -> Loaded:
    import timm

    torch.manual_seed(0)
    network = timm.create_model("resnet18", channels=(8, 8, 16, 16), **arguments).eval()
    body = TimmBody(network, like.preprocess.size_px).eval()
    return replace(like, network=network, body=body, architecture="resnet18")


def test_a_plain_resnet_is_assembled_and_needs_no_exporter(
    tiny: BackboneSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("torch's exporter was called")

    monkeypatch.setattr(torch_export, "_exported", never)
    spec, model = export(small_resnet18(load_timm(tiny)))
    assert [stage.grid for stage in spec.stages] == [16, 8, 4, 2]
    assert model.producer_name == "foveal"


def test_what_only_looks_like_a_plain_resnet_goes_through_torchs_exporter(
    tiny: BackboneSettings,
) -> None:
    loaded = small_resnet18(load_timm(tiny), act_layer="silu")
    spec, model = export(loaded)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    expected = hooked(loaded.network, {}, normalised(pixels, spec.preprocess))
    got = OnnxBackbone(spec, model, threads=1).embed(pixels, [LOGITS])
    assert close(got[LOGITS], expected[LOGITS])


def test_a_graph_that_disagrees_with_torch_is_refused(
    tiny: BackboneSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = graphs.add_normalisation

    def slightly_wrong(model: object, preprocess: Preprocess, *, to: str) -> None:
        std = tuple(value * 1.01 for value in preprocess.std)
        really(model, replace(preprocess, std=std), to=to)  # type: ignore[arg-type]  # passed on

    monkeypatch.setattr(torch_export.graphs, "add_normalisation", slightly_wrong)
    with pytest.raises(BadWeights, match="graph of test_resnet does not agree with torch"):
        export(load_timm(tiny))


def test_a_network_that_torch_cannot_export_is_one_sentence(tiny: BackboneSettings) -> None:
    class Stubborn(nn.Module):
        def forward(self, planes: Tensor) -> dict[str, Tensor]:
            if float(planes.sum()) > 1e30:  # a branch on values cannot be exported
                planes = planes * 2
            return {LAST: planes.mean((2, 3))}

    loaded = load_timm(tiny)
    with pytest.raises(BadWeights, match="torch cannot export test_resnet to ONNX") as caught:
        export(replace(loaded, body=Stubborn()))
    assert "\n" not in str(caught.value)


def test_mobilenet_from_tensorflow_matches_torch_with_its_own_padding_and_epsilon(
    shared: Path,
) -> None:
    settings = BackboneSettings(
        backbone="mobilenetv2_100",
        weights=shared / "weights" / "mobilenetv2_100.safetensors",
        model_args={"pad_type": "same", "bn_eps": 1e-3},
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
    )
    loaded = load_timm(settings)
    spec, model = export(loaded)
    assert spec.model_args == {"pad_type": "same", "bn_eps": 1e-3}
    assert not [sentence for sentence in spec.assumed if "mean" in sentence or "pad" in sentence]

    import timm

    network = timm.create_model("mobilenetv2_100", pad_type="same", bn_eps=1e-3).eval()
    assert settings.weights is not None
    weights = load_file(settings.weights)
    network.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    pixels = photographs(shared, 224)
    names = {"stage3/map": "blocks.4", LAST_MAP: "bn2", LAST: "global_pool"}
    expected = hooked(network, names, normalised(pixels, spec.preprocess))
    got = OnnxBackbone(spec, model, threads=1).embed(pixels, list(expected))
    for name, value in expected.items():
        assert close(got[name], value), name
    assert spec.last_is_mean


def test_the_real_resnet18_answers_as_torchvisions(shared: Path) -> None:
    import torchvision

    weights = shared / "weights" / "resnet18.safetensors"
    spec, model = export(load_timm(BackboneSettings(backbone="resnet18", weights=weights)))
    network = torchvision.models.resnet18(weights=None).eval()
    network.load_state_dict({name: t.float() for name, t in load_file(weights).items()})
    pixels = photographs(shared, 224)
    names = {f"stage{n}/map": f"layer{n}" for n in (1, 2, 3, 4)}
    expected = hooked(network, names, normalised(pixels, spec.preprocess))
    got = OnnxBackbone(spec, model, threads=1).embed(pixels, list(expected))
    for name, value in expected.items():
        assert close(got[name], value), name
    assert [stage.grid for stage in spec.stages] == [56, 28, 14, 7]
    assert spec.classes == 1000

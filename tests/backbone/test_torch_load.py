"""Loading networks: strict, named, never random, and everything assumed said aloud."""

from __future__ import annotations

import hashlib
import http.server
import pickle
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from foveal.backbone.settings import BackboneSettings
from foveal.backbone.torch_load import load_timm
from foveal.backbone.torch_ready import load_torchvision
from foveal.backbone.torch_weights import from_file, to_bytes
from foveal.core.errors import BadWeights, FovealError, NotThere, OutOfRange, UnknownName


def test_every_weight_comes_from_the_file(tiny: BackboneSettings) -> None:
    assert tiny.weights is not None
    state = load_timm(tiny).network.state_dict()
    for name, tensor in load_file(tiny.weights).items():
        assert torch.equal(state[name], tensor), name


def test_building_a_network_leaves_the_random_numbers_of_others_alone(
    tiny: BackboneSettings,
) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    load_timm(tiny)
    assert torch.equal(torch.rand(3), expected)


def test_half_precision_weights_are_loaded_as_single(
    tiny: BackboneSettings, tmp_path: Path
) -> None:
    assert tiny.weights is not None
    half = tmp_path / "half.safetensors"
    tensors = load_file(tiny.weights)
    save_file({k: v.half() if v.ndim > 1 else v for k, v in tensors.items()}, half)
    network = load_timm(BackboneSettings(backbone="test_resnet", weights=half)).network
    assert network.state_dict()["fc.weight"].dtype == torch.float32
    assert torch.equal(network.state_dict()["fc.weight"], tensors["fc.weight"].half().float())


def test_batchnorms_counters_may_be_left_out(tiny: BackboneSettings, tmp_path: Path) -> None:
    assert tiny.weights is not None
    path = tmp_path / "w.safetensors"
    tensors = load_file(tiny.weights)
    save_file({k: v for k, v in tensors.items() if "num_batches" not in k}, path)
    state = load_timm(BackboneSettings(backbone="test_resnet", weights=path)).network.state_dict()
    assert torch.equal(state["fc.weight"], tensors["fc.weight"])


def test_weights_of_another_network_name_what_differs(tiny: BackboneSettings) -> None:
    with pytest.raises(BadWeights) as caught:
        load_timm(BackboneSettings(backbone="test_efficientnet", weights=tiny.weights))
    message = str(caught.value)
    assert "does not fit test_efficientnet" in message
    assert "tensors missing (conv_stem.weight, " in message
    assert "tensors unexpected (" in message
    assert "\n" not in message


def test_one_missing_and_one_reshaped_tensor_are_named(
    tiny: BackboneSettings, tmp_path: Path
) -> None:
    assert tiny.weights is not None
    path = tmp_path / "w.safetensors"
    tensors = load_file(tiny.weights)
    del tensors["layer1.0.conv1.weight"]
    tensors["layer2.0.conv1.weight"] = torch.zeros(1, 2, 3, 3)
    save_file(tensors, path)
    expected = (
        r"w\.safetensors does not fit test_resnet: 1 tensor missing \(layer1\.0\.conv1\.weight\); "
        r"1 tensor of another shape \(layer2\.0\.conv1\.weight \(1, 2, 3, 3\) instead of \("
    )
    with pytest.raises(BadWeights, match=expected):
        load_timm(BackboneSettings(backbone="test_resnet", weights=path))


def test_not_a_number_is_refused(tiny: BackboneSettings, tmp_path: Path) -> None:
    assert tiny.weights is not None
    path = tmp_path / "w.safetensors"
    tensors = load_file(tiny.weights)
    tensors["fc.bias"][3] = float("nan")
    save_file(tensors, path)
    with pytest.raises(BadWeights, match=r"NaN in fc\.bias"):
        load_timm(BackboneSettings(backbone="test_resnet", weights=path))


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[object, tuple[Path]]:
            return Path.touch, (tmp_path / "ran",)

    path = tmp_path / "w.pth"
    path.write_bytes(pickle.dumps(Payload()))
    with pytest.raises(BadWeights, match=r"pickles .* can run code"):
        from_file(path)
    assert not (tmp_path / "ran").exists()


def test_a_weights_file_that_is_cut_off_packed_a_folder_or_missing_is_refused(
    tiny: BackboneSettings, tmp_path: Path
) -> None:
    assert tiny.weights is not None
    content = tiny.weights.read_bytes()
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(content[: len(content) // 2])
    packed = tmp_path / "w.safetensors.gz"
    packed.write_bytes(b"\x1f\x8b" + bytes(100))
    with pytest.raises(BadWeights, match=r"cut\.safetensors is not a safetensors file"):
        from_file(cut)
    with pytest.raises(BadWeights, match="Unpack it first"):
        from_file(packed)
    with pytest.raises(BadWeights, match="is a folder"):
        from_file(tmp_path)
    with pytest.raises(NotThere, match="no weights file at"):
        from_file(tmp_path / "none.safetensors")


def test_a_typo_suggests_the_name_that_was_meant(tiny: BackboneSettings) -> None:
    for typo, meant in (("resnet81x", "resnet"), ("mobilenetv2_10", "mobilenetv2_1")):
        with pytest.raises(UnknownName, match=f"Did you mean '{meant}"):
            load_timm(BackboneSettings(backbone=typo, weights=tiny.weights))
    with pytest.raises(UnknownName, match=r"Did you mean 'resnet18\.tv_in1k'"):
        load_timm(BackboneSettings(backbone="resnet18.tv_in2k", weights=tiny.weights))
    with pytest.raises(UnknownName, match=r"torchvision network .*Did you mean 'squeezenet1_1'"):
        load_torchvision(BackboneSettings(backbone="torchvision:squeezenet11"))


def test_an_argument_the_network_does_not_take_is_named(tiny: BackboneSettings) -> None:
    with pytest.raises(OutOfRange, match=r"\{'colour': 1\}.*unexpected keyword argument 'colour'"):
        load_timm(
            BackboneSettings(backbone="test_resnet", weights=tiny.weights, model_args={"colour": 1})
        )


@pytest.mark.parametrize("name", ["pretrained", "checkpoint_path", "in_chans", "img_size"])
def test_arguments_that_are_not_the_networks_are_refused_at_birth(name: str) -> None:
    with pytest.raises(OutOfRange, match=f"{name}.*use "):
        BackboneSettings(backbone="test_resnet", model_args={name: 1})


def test_the_classifier_is_as_wide_as_the_file_says(seeded: object, tmp_path: Path) -> None:
    weights = seeded("test_resnet", num_classes=7)  # type: ignore[operator]  # a fixture's function
    loaded = load_timm(BackboneSettings(backbone="test_resnet", weights=weights))
    assert loaded.network(torch.zeros(1, 3, 64, 64)).shape == (1, 7)
    assert loaded.model_args == {}  # who builds it again decides on the classes


def test_a_network_made_for_one_size_is_built_for_the_size_said(seeded: object) -> None:
    weights = seeded("test_vit")  # type: ignore[operator]  # a fixture's function
    loaded = load_timm(BackboneSettings(backbone="test_vit", weights=weights, size_px=96))
    assert loaded.model_args == {"img_size": 96}
    assert loaded.body(torch.zeros(1, 3, 96, 96))["last/map"].shape[2:] == (6, 6)


def test_torchvisions_own_vgg_files_fit_timms_vgg(tmp_path: Path) -> None:
    import torchvision

    network = torchvision.models.vgg11(weights=None, init_weights=False)
    path = tmp_path / "vgg11.safetensors"
    save_file(network.state_dict(), path)
    loaded = load_timm(BackboneSettings(backbone="vgg11", weights=path))
    picture = torch.rand(1, 3, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(loaded.network(picture), network.eval()(picture))


def test_what_the_file_left_open_is_said_and_what_was_said_is_not(tiny: BackboneSettings) -> None:
    silent = load_timm(BackboneSettings(backbone="test_resnet", weights=tiny.weights)).assumed
    assert len(silent) == 2
    assert "mean 0.5 0.5 0.5, std 0.5 0.5 0.5 assumed" in silent[0]
    assert "size_px 160, crop 0.95, shape crop, interpolation bilinear assumed" in silent[1]
    assert "--size --crop --shape --interpolation" in silent[1]
    partly = load_timm(tiny).assumed
    assert "mean" not in partly[0]
    assert "std 0.5 0.5 0.5 assumed" in partly[0]
    everything = BackboneSettings(
        backbone="test_resnet",
        weights=tiny.weights,
        size_px=64,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        crop=1.0,
        shape="squash",
        interpolation="bicubic",
    )
    assert load_timm(everything).assumed == ()


def test_a_file_without_a_tag_is_taken_for_the_first_plain_training(shared: Path) -> None:
    weights = shared / "weights" / "resnet18.safetensors"
    untold = load_timm(BackboneSettings(backbone="resnet18", weights=weights))
    assert (untold.preprocess.crop, untold.preprocess.interpolation) == (0.875, "bilinear")
    assert "from timm's record of resnet18.tv_in1k" in untold.assumed[-1]
    told = load_timm(BackboneSettings(backbone="resnet18.a1_in1k", weights=weights))
    assert told.preprocess.crop == 0.95
    assert "from timm's record of resnet18.a1_in1k" in told.assumed[-1]


def test_padding_and_epsilon_are_assumed_where_the_family_differs_in_them(seeded: object) -> None:
    weights = seeded("test_efficientnet")  # type: ignore[operator]  # a fixture's function
    plain = BackboneSettings(backbone="test_efficientnet", weights=weights)
    assert "does not say its pad_type and bn_eps" in load_timm(plain).assumed[-1]
    half = BackboneSettings(
        backbone="test_efficientnet", weights=weights, model_args={"pad_type": "same"}
    )
    assert "does not say its bn_eps: " in load_timm(half).assumed[-1]
    both = BackboneSettings(
        backbone="test_efficientnet",
        weights=weights,
        model_args={"pad_type": "same", "bn_eps": 1e-3},
    )
    assert not [sentence for sentence in load_timm(both).assumed if "pad_type" in sentence]


def test_a_licence_the_file_states_is_kept(tiny: BackboneSettings, tmp_path: Path) -> None:
    assert tiny.weights is not None
    path = tmp_path / "w.safetensors"
    save_file(load_file(tiny.weights), path, metadata={"license": "apache-2.0"})
    assert load_timm(BackboneSettings(backbone="test_resnet", weights=path)).licence == "apache-2.0"
    assert load_timm(tiny).licence is None


def test_without_network_or_file_the_message_says_what_to_do_and_soon(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    started = time.monotonic()
    with pytest.raises(FovealError, match=r"Give them with --weights FILE.*once with network"):
        load_timm(BackboneSettings(backbone="test_resnet"))
    assert time.monotonic() - started < 20  # huggingface_hub alone repeats for 45 s


def test_weights_from_the_hub_bring_their_own_classifier() -> None:
    with pytest.raises(OutOfRange, match="bring their own classifier"):
        load_timm(BackboneSettings(backbone="test_resnet", model_args={"num_classes": 3}))


@pytest.fixture
def hub(tiny: BackboneSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A hub of our own that has the tiny network's weights, and an empty cache of it."""
    assert tiny.weights is not None
    content = tiny.weights.read_bytes()

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self, *, body: bool) -> None:
            there = self.path.endswith("/resolve/main/model.safetensors")
            self.send_response(200 if there else 404)
            if there:
                self.send_header("ETag", hashlib.sha256(content).hexdigest())
                self.send_header("X-Repo-Commit", "0" * 40)
            self.send_header("Content-Length", str(len(content) if there else 0))
            self.end_headers()
            if body and there:
                self.wfile.write(content)

        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def log_message(self, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", address)
    monkeypatch.setattr(
        huggingface_hub.constants,
        "HUGGINGFACE_CO_URL_TEMPLATE",
        address + "/{repo_id}/resolve/{revision}/{filename}",
    )
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    yield
    server.shutdown()
    server.server_close()


def test_weights_and_preprocessing_come_from_the_hub_with_nothing_assumed(
    hub: None, tiny: BackboneSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tiny.weights is not None
    loaded = load_timm(BackboneSettings(backbone="test_resnet"))
    assert torch.equal(
        loaded.network.state_dict()["fc.weight"], load_file(tiny.weights)["fc.weight"]
    )
    assert loaded.weights == "timm/test_resnet.r160_in1k"
    assert loaded.licence == "apache-2.0"
    assert loaded.assumed == ()
    assert (loaded.preprocess.size_px, loaded.preprocess.mean) == (160, (0.5, 0.5, 0.5))
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    again = load_timm(BackboneSettings(backbone="test_resnet"))  # from the hub's own cache
    assert to_bytes(again.network) == to_bytes(loaded.network)


def test_a_ready_classifier_of_torchvisions_keeps_its_logits(tmp_path: Path) -> None:
    import torchvision

    network = torchvision.models.squeezenet1_1(weights=None).eval()
    path = tmp_path / "squeezenet.safetensors"
    save_file(network.state_dict(), path)
    loaded = load_torchvision(BackboneSettings(backbone="torchvision:squeezenet1_1", weights=path))
    picture = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 3, 224, 224))).float()
    with torch.no_grad():
        outputs = loaded.body(picture)
        torch.testing.assert_close(outputs["logits"], network(picture))
        torch.testing.assert_close(outputs["last/map"], network.features(picture))
    torch.testing.assert_close(outputs["last"], outputs["last/map"].mean((2, 3)))
    assert loaded.preprocess.resize_px == 256
    assert loaded.preprocess.interpolation == "bilinear"
    assert any("mean 0.485" in sentence for sentence in loaded.assumed)


def test_a_filter_of_timms_that_pictures_cannot_be_resized_with_is_said(
    tiny: BackboneSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = replace(timm.models.get_pretrained_cfg("test_resnet"), interpolation="nearest")
    monkeypatch.setattr(timm.models, "get_pretrained_cfg", lambda *_args, **_kwargs: record)
    loaded = load_timm(BackboneSettings(backbone="test_resnet", weights=tiny.weights))
    assert loaded.preprocess.interpolation == "bicubic"
    assert "resizes with 'nearest'" in loaded.assumed[0]
    said = BackboneSettings(backbone="test_resnet", weights=tiny.weights, interpolation="bilinear")
    assert not [sentence for sentence in load_timm(said).assumed if "nearest" in sentence]

"""Naming a backbone: what is found where, with and without torch, and what is said aloud."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest

from foveal.backbone import catalog, hub, store
from foveal.backbone.catalog import default_backbone, pick
from foveal.backbone.classical import DEFAULT_PREPROCESS
from foveal.backbone.settings import BackboneSettings
from foveal.backbone.spec import LAST
from foveal.core.errors import Damaged, MissingExtra, NotThere, OutOfRange, UnknownName
from foveal.recipes import keep


class Listening:
    def __init__(self) -> None:
        self.sentences: list[str] = []

    def say(self, sentence: str) -> None:
        self.sentences.append(sentence)

    def progress(self, stage: str, done: int, total: int, unit: str = "images") -> None:
        pass


@pytest.fixture
def base_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the extra 'train' can be found."""
    monkeypatch.setattr(catalog, "find_spec", lambda _name: None)
    monkeypatch.setattr(hub, "find_spec", lambda _name: None)


def test_what_is_cached_needs_no_torch_at_all(cached: Path, tiny: BackboneSettings) -> None:
    code = f"""
import sys
for name in ("torch", "torchvision", "timm", "onnxscript", "huggingface_hub"):
    sys.modules[name] = None
from pathlib import Path
import numpy as np
from foveal.backbone.catalog import pick
from foveal.backbone.settings import BackboneSettings
backbone = pick(BackboneSettings(backbone="test_resnet", weights=Path({str(tiny.weights)!r}),
                                 size_px=64, mean=(0.4, 0.5, 0.6), crop=1.0))
print(backbone.embed(np.zeros((1, 64, 64, 3), np.uint8), ["last"])["last"].shape)
print(len(backbone.network_weights()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.splitlines()[0] == "(1, 96)"


def test_naming_a_backbone_loads_nothing_heavy() -> None:
    code = "import sys, foveal.backbone.catalog; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"torch", "timm", "torchvision", "onnx", "onnxruntime", "polars", "huggingface_hub"}
    assert not heavy & set(done.stdout.split())


def test_the_second_use_exports_nothing(
    cached: Path, tiny: BackboneSettings, base_install: None
) -> None:
    heard = Listening()
    backbone = pick(tiny, heard)
    assert backbone.spec.name == "test_resnet"
    assert not [sentence for sentence in heard.sentences if "Exporting" in sentence]


def test_what_was_assumed_is_said_every_time(cached: Path, tiny: BackboneSettings) -> None:
    for _ in range(2):
        heard = Listening()
        backbone = pick(tiny, heard)
        assert heard.sentences == list(backbone.spec.assumed)
        assert any("std 0.5 0.5 0.5 assumed" in sentence for sentence in heard.sentences)


def test_a_damaged_export_is_not_used_and_the_remedy_is_said(
    cached: Path, tiny: BackboneSettings
) -> None:
    (cached / store.GRAPH).write_bytes((cached / store.GRAPH).read_bytes()[:-1])
    with pytest.raises(Damaged, match="Remove the folder"):
        pick(tiny)


@pytest.mark.usefixtures("base_install")
def test_a_typo_in_a_base_install_names_what_can_be_used(
    cached: Path, tiny: BackboneSettings
) -> None:
    expected = (
        r"'test_resnot' is neither built in nor in the cache \(classical, foveal-s, test_resnet "
        r"can be used; is it spelled right\?\), and exporting it needs the extra 'train'\. "
        r"Run: pip install 'foveal\[train\]'"
    )
    with pytest.raises(MissingExtra, match=expected):
        pick(replace(tiny, backbone="test_resnot"))


@pytest.mark.usefixtures("base_install", "cached")
def test_a_bare_name_finds_the_only_export_of_that_name() -> None:
    heard = Listening()
    backbone = pick(BackboneSettings(backbone="test_resnet"), heard)
    assert backbone.spec.preprocess.size_px == 64
    assert "test_resnet is taken from the cache as it was exported from" in heard.sentences[0]
    assert heard.sentences[0].endswith(", at 64 px.")


def test_an_export_says_its_size_and_which_are_there_already(
    cached: Path, tiny: BackboneSettings
) -> None:
    heard = Listening()
    pick(replace(tiny, size_px=32), heard)
    assert heard.sentences[0] == (
        "Exporting test_resnet to ONNX at 32 px; the cache keeps it for whoever asks for the same "
        "weights, size and preprocessing. It has test_resnet at 64 px, asked for otherwise."
    )
    heard = Listening()
    pick(replace(tiny, size_px=32), heard)
    assert not [said for said in heard.sentences if "Exporting" in said]
    assert {one.size_px for one in store.kept()} == {32, 64}
    assert {kept.label.rpartition(", ")[2] for kept in keep.kept("backbones")} == {
        "at 32 px",
        "at 64 px",
    }


@pytest.mark.usefixtures("base_install")
def test_a_bare_name_is_never_guessed_between_two_exports_nor_where_more_was_said(
    cached: Path,
) -> None:
    with pytest.raises(NotThere, match="of other weights, arguments or sizes, not of these"):
        pick(BackboneSettings(backbone="test_resnet", size_px=96))
    shutil.copytree(cached, cached.with_name("test_resnet-another"))
    with pytest.raises(NotThere, match="of other weights, arguments or sizes, not of these"):
        pick(BackboneSettings(backbone="test_resnet"))


def test_a_weights_file_that_is_not_there_comes_before_everything(tmp_path: Path) -> None:
    with pytest.raises(NotThere, match=r"no weights file at .*w\.safetensors"):
        pick(BackboneSettings(backbone="resnet18", weights=tmp_path / "w.safetensors"))


def test_a_backbone_folder_is_a_backbone_wherever_it_lies(exported: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(exported, folder)
    backbone = pick(BackboneSettings(backbone=str(folder), shape="squash"))
    assert backbone.spec.preprocess.shape == "squash"
    assert backbone.spec.fingerprint == store.load(exported).spec.fingerprint
    assert backbone.network_weights() is not None


@pytest.mark.parametrize(
    "said",
    [
        {"size_px": 96},
        {"mean": (0.1, 0.1, 0.1)},
        {"std": (0.1, 0.1, 0.1)},
        {"model_args": {"pad_type": "same"}},
    ],
)
def test_what_is_fixed_in_a_folder_is_refused_instead_of_ignored(
    exported: Path, said: dict[str, object]
) -> None:
    (field,) = said
    with pytest.raises(OutOfRange, match=f"{field} = .*fixed in"):
        pick(BackboneSettings(backbone=str(exported), **said))  # type: ignore[arg-type]  # one of four fields


def test_a_path_to_nothing_is_said(tmp_path: Path) -> None:
    for name in ("none.onnx", "none/folder"):
        with pytest.raises(NotThere, match="There is no backbone at"):
            pick(BackboneSettings(backbone=str(tmp_path / name)))
    with pytest.raises(NotThere, match="is no backbone folder"):
        pick(BackboneSettings(backbone=f"{tmp_path}/"))


def test_classical_takes_a_size_and_a_shape_and_no_weights(tiny: BackboneSettings) -> None:
    assert pick(BackboneSettings(backbone="classical")).spec.preprocess == DEFAULT_PREPROCESS
    wide = pick(BackboneSettings(backbone="classical", size_px=160, shape="crop"))
    assert (wide.spec.preprocess.size_px, wide.spec.preprocess.shape) == (160, "crop")
    pixels = np.zeros((1, 160, 160, 3), np.uint8)
    assert wide.embed(pixels, [LAST])[LAST].shape == (1, wide.spec.features)
    with pytest.raises(OutOfRange, match=r"weights = .*fixed in classical"):
        pick(BackboneSettings(backbone="classical", weights=tiny.weights))


def test_an_unknown_name_is_a_typo_where_timm_is_installed(tiny: BackboneSettings) -> None:
    with pytest.raises(UnknownName, match="Did you mean 'classical'"):
        pick(BackboneSettings(backbone="clasical"))


def test_an_empty_name_is_refused() -> None:
    with pytest.raises(OutOfRange, match="a name or a path"):
        BackboneSettings(backbone=" ")


@pytest.mark.usefixtures("base_install")
def test_the_default_is_the_one_in_the_box_in_a_base_install_and_says_why() -> None:
    name, why = default_backbone()
    assert name == "foveal-s"
    assert "not in the cache" in why
    assert "torch" in why


def test_the_default_is_the_one_in_the_box_while_the_hub_is_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    name, why = default_backbone()
    assert name == "foveal-s"
    assert "hub" in why


def test_the_default_is_mobilenet_once_it_can_be_had(
    monkeypatch: pytest.MonkeyPatch, own_cache: Path, exported: Path
) -> None:
    monkeypatch.setattr(catalog, "hub_answers", lambda: True)
    assert default_backbone()[0] == "mobilenetv2_100"
    monkeypatch.setattr(catalog, "hub_answers", lambda: False)
    place = store.cached_folder(BackboneSettings(backbone="mobilenetv2_100"))
    shutil.copytree(exported, place)
    assert default_backbone()[0] == "mobilenetv2_100"

"""Bringing: a ready classifier answers as it did where it came from."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import foveal
from foveal.backbone.settings import BackboneSettings
from foveal.core.errors import FovealError
from foveal.core.listener import SILENT
from foveal.recipes.bring import bring


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of somebody else's: mean colour of normalised 32 px pictures to 3 logits."""
    weights = np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("GlobalAveragePool", ["image"], ["mean"]),
            helper.make_node("Flatten", ["mean"], ["flat"]),
            helper.make_node("Gemm", ["flat", "w", "b"], ["logits"]),
        ],
        "colours",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, 32, 32])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 3])],
        [
            numpy_helper.from_array(weights, "w"),
            numpy_helper.from_array(np.array([0.1, -0.2, 0.3], np.float32), "b"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    path = tmp_path_factory.mktemp("foreign") / "colours.onnx"
    onnx.save(model, path)
    return path


@pytest.fixture
def names(tmp_path: Path) -> Callable[[str, str], Path]:
    """Return what writes a file of class names."""

    def write(name: str, text: str) -> Path:
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    return write


def brought(network: Path, classes: Path | None = None, listener=SILENT):
    return bring(BackboneSettings(backbone=str(network)), classes, listener)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("names.txt", "dots\ngrid\n\nwaves\n"),
        ("names.txt", "\ufeffdots\r\ngrid\r\nwaves"),
        ("names.json", '["dots", "grid", "waves"]'),
        ("names.json", '{"2": "waves", "0": "dots", "1": "grid"}'),
        ("names.json", '{"0": ["dots", "Dots"], "1": ["grid", "Grid"], "2": ["waves", "Waves"]}'),
    ],
)
def test_names_are_read_from_lines_lists_and_keras_index(
    network: Path, names: Callable, name: str, text: str
) -> None:
    model = brought(network, names(name, text))
    assert model.classes == ("dots", "grid", "waves")
    shown = {"dots": "Dots", "grid": "Grid", "waves": "Waves"} if "Dots" in text else {}
    assert model.bundle.card["names"] == shown


def test_without_names_classes_are_called_by_their_numbers(network: Path, heard: Callable) -> None:
    listener = heard()
    assert brought(network, listener=listener).classes == ("class 0", "class 1", "class 2")
    assert any("called by their numbers" in said for said in listener.sentences)
    assert any("colours.onnx does not say how it wants its colours" in said
               for said in listener.sentences)  # fmt: skip


def test_an_index_that_counts_from_one_is_refused(network: Path, names: Callable) -> None:
    """ImageNet's devkit counts so, and in another order than any network's."""
    with pytest.raises(FovealError, match="an object from 0, 1"):
        brought(network, names("index.json", '{"1": "dots", "2": "grid", "3": "waves"}'))


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("names.txt", "dots\ngrid\n", "'2 names' cannot work. Expected 3, one for each class"),
        ("names.txt", "dots\ngrid\ndots\n", "every class name once"),
        ("names.json", "[1, 2", "a JSON list, or an object from 0, 1"),
        ("names.json", '{"a": "dots"}', "a JSON list, or an object from 0, 1"),
        ("names.json", "3", "a JSON list, or an object from 0, 1"),
        ("names.json", "[[], [], []]", "every class name once"),
    ],
)
def test_names_that_cannot_be_are_refused(
    network: Path, names: Callable, name: str, text: str, sentence: str
) -> None:
    with pytest.raises(FovealError, match=sentence):
        brought(network, names(name, text))


def test_names_that_are_no_text_are_refused(network: Path, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_bytes(b"\xff\xfe\x00d")
    with pytest.raises(FovealError, match="text in UTF-8"):
        brought(network, tmp_path / "names.txt")


def test_it_answers_as_the_file_did_and_can_be_saved_and_tested(
    network: Path, names: Callable, photos: Path, tmp_path: Path, cli: Callable
) -> None:
    classes = names("names.txt", "dots\ngrid\nwaves\n")
    out = tmp_path / "m"
    said = cli("import", network, "--classes", classes, "-o", out, "--json")
    assert said.code == 0
    assert json.loads(said.out)["classes"] == ["dots", "grid", "waves"]
    model = foveal.load(out)
    (batch,) = model.predictor.batches([photos / "dots" / "00.png"])
    pre = model.bundle.preprocess
    image = (batch.pixels.astype(np.float64) / 255 - pre.mean) / pre.std
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(3, 3)).astype(np.float32)
    expected = image.mean(axis=(1, 2)) @ weights + [0.1, -0.2, 0.3]
    assert np.abs(model.predictor.logits(batch.pixels) - expected).max() < 1e-5
    judged = model.test(photos)
    assert judged.judgement.images == 60  # it has seen none of them, as far as anybody knows
    assert judged.judgement.baselines == ()
    run = json.loads((tmp_path / "m.run" / "run.json").read_bytes())
    assert run["command"].startswith("foveal import ")


def test_imagenets_own_list_gives_numbers_as_names_and_shows_the_words(
    network: Path, names: Callable
) -> None:
    text = "n01440764 tench, Tinca tinca\nn01443537 goldfish\nn01484850 great white shark\n"
    model = brought(network, names("LOC_synset_mapping.txt", text))
    assert model.classes == ("n01440764", "n01443537", "n01484850")
    assert model.bundle.card["names"]["n01440764"] == "tench, Tinca tinca"


@pytest.mark.slow
def test_a_real_network_is_right_as_often_as_it_should_be(shared: Path, names: Callable) -> None:
    """squeezenet1_1 on 100 of the ImageNet samples: 63 % by the data's README, on all 1,000."""
    pytest.importorskip("torchvision")
    settings = BackboneSettings(
        backbone="torchvision:squeezenet1_1",
        weights=shared / "weights" / "squeezenet1_1.safetensors",
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        crop=0.875,
        interpolation="bilinear",
    )
    folders = sorted((shared / "imagenet_samples").iterdir())
    wnids = names("names.txt", "\n".join(folder.name for folder in folders if folder.is_dir()))
    model = bring(settings, wnids, SILENT)
    files = sorted((shared / "imagenet_samples").glob("*/*"))[::10]
    right = sum(answer.label == Path(answer.path).parent.name for answer in model.stream(files))
    assert 0.5 < right / len(files) < 0.76

"""Shipping: what stands in a bundle, and that it opens elsewhere."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image

import foveal
from foveal.image.pixels import pixels
from foveal.image.preprocess import Preprocess
from foveal.model.linear import LinearHead
from foveal.recipes.ship import _head_file, read_head


@pytest.fixture(scope="module")
def card(saved: Path) -> dict:
    return json.loads((saved / "bundle.json").read_bytes())


def test_every_file_is_named_with_its_hash(saved: Path, card: dict) -> None:
    files = {str(p.relative_to(saved)) for p in saved.rglob("*") if p.is_file()}
    assert files == {*card["sha256"], "bundle.json"}


def test_the_card_counts_what_was_learnt_from(card: dict) -> None:
    assert card["data"]["images"] == {"train": 48, "val": 0, "test": 12}
    assert card["data"]["per_class"]["train"] == {"dots": 16, "grid": 16, "waves": 16}
    assert card["data"]["per_class"]["test"] == {"dots": 4, "grid": 4, "waves": 4}
    assert card["data"]["grouped"] is False
    assert card["data"]["broken"] == 0


def test_the_choice_and_the_promise_are_kept(card: dict) -> None:
    assert [row["chosen"] for row in card["choice"]].count(True) == 1
    assert card["promise"]["images"] == 48
    assert set(card["promise"]["metrics"]["top1"]) == {"value", "low", "high"}


def test_reference_pictures_and_their_logits_check_another_reader(saved: Path, card: dict) -> None:
    """As somebody without Foveal would: ONNX Runtime, the pictures, the logits."""
    reference = json.loads((saved / "reference" / "reference.json").read_bytes())["logits"]
    assert len(reference) == 4
    session = onnxruntime.InferenceSession(saved / "model.onnx")
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["names"]) == card["classes"]
    preprocess = Preprocess(**json.loads(metadata["preprocess"]))
    for name, logits in reference.items():
        content = (saved / "reference" / name).read_bytes()
        assert Image.open(io.BytesIO(content)).format == "PNG"
        assert name.endswith(".png")
        (found,) = session.run(["logits"], {"pixels": pixels(content, preprocess)[None]})
        assert np.abs(found[0] - logits).max() < 1e-4


def test_the_parts_tell_every_picture_by_its_hash_alone(saved: Path) -> None:
    lines = (saved / "parts.csv").read_text().splitlines()
    assert lines == sorted(lines)
    assert len(lines) == 60
    assert all(len(line.split(",")[0]) == 16 for line in lines)


def test_a_head_comes_back_from_its_file() -> None:
    rng = np.random.default_rng(0)
    head = LinearHead(rng.normal(size=(3, 5)).astype(np.float32)[:, ::-1],
                      rng.normal(size=3).astype(np.float32))  # fmt: skip
    again = read_head(_head_file(head))
    assert np.array_equal(again.weights_KD, head.weights_KD)
    assert np.array_equal(again.bias_K, head.bias_K)


def test_settings_name_files_without_their_folders(
    photos: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    model = foveal.fit(photos, backbone=str(tiny_folder), features="last")
    assert model.bundle.card["settings"]["backbone"]["backbone"] == "tiny"
    assert model.run["settings"]["fit"]["backbone"]["backbone"] == str(tiny_folder)


def test_heat_maps_come_out_of_the_graph_where_features_have_a_place(
    photos: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    model = foveal.fit(photos, backbone=str(tiny_folder), features="last,stage1/2x2,classical")
    model.save(tmp_path / "m")
    loaded = foveal.load(tmp_path / "m")
    assert loaded.predictor.has_heat_map
    (batch,) = loaded.predictor.batches([photos / "dots" / "00.png"])
    _, heat, unexplained = loaded.predictor.looks(batch.pixels)
    assert heat.shape[0] == 1
    assert heat.std() > 0
    assert 0 <= unexplained[0] <= 1

"""A pool, from two fits to a bundle that is proven, opened, tested and used as any other."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import foveal
from foveal.backbone.running import OnnxBackbone
from foveal.core.listener import SILENT
from foveal.data.readers import read
from foveal.evaluate.report import MemberFacts
from foveal.model.bundle import read_bundle
from foveal.model.pool import Pool
from foveal.recipes.clock import Clock
from foveal.recipes.fit import fit_classifier
from foveal.recipes.fitted import Fitted
from foveal.recipes.model import Model
from foveal.recipes.requested import FitOrder
from foveal.recipes.ship import bundle_of

RECIPE = ("last", "last,stage1/2x2,classical")  # what the two heads read


@pytest.fixture(scope="module")
def fitted(photos: Path, tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    """Two probes on one network that read other blocks, pooled."""

    def fit(features: str) -> Fitted:
        options = {"backbone": str(tiny_folder), "features": features}
        order = FitOrder.from_options(photos, None, options)
        return fit_classifier(read(photos), order.fit, SILENT, Clock())

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOVEAL_CACHE", str(tmp_path_factory.mktemp("cache")))
        one, two = map(fit, RECIPE)
    pool = Pool(
        members=(one.classifier, two.classifier),  # type: ignore[arg-type]  # no pool of pools
        weights=(0.25, 0.75),
        temperature=0.9,
    )
    files, first_NK = one.proof
    again, second_NK = two.proof
    assert files == again
    return replace(two, classifier=pool, proof=(files, pool.logits([first_NK, second_NK])))


@pytest.fixture(scope="module")
def folder(fitted: Fitted, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pool's bundle: a fresh process answered as numpy does before it was kept."""
    model = Model(bundle_of(fitted), proof=fitted.proof)
    return model.save(tmp_path_factory.mktemp("pool") / "model")


def test_the_card_tells_of_both_members_and_of_what_they_are_together(folder: Path) -> None:
    card = read_bundle(folder).card
    assert [(m["weight"], m["blocks"]) for m in card["members"]] == [
        (0.25, ["last"]),
        (0.75, ["last", "stage1/2x2", "classical"]),
    ]
    for member in card["members"]:
        assert member["backbone"]["name"] == "tiny"
        assert member["temperature"] > 0
    assert card["backbone"]["name"] == "tiny"
    assert card["backbone"]["weights"] == "random numbers, seed 0"
    assert card["blocks"] == ["last", "stage1/2x2", "classical"]
    assert card["temperature"] == 0.9
    text = (folder / "README.md").read_text()
    assert "2 networks answer together" in text
    assert "It opens in ONNX Runtime alone" in text
    assert not (folder / "config.json").exists()


def test_a_pool_whose_licences_are_not_all_known_has_none(fitted: Fitted) -> None:
    pool = fitted.classifier
    assert isinstance(pool, Pool)
    first = pool.members[0]
    spec = replace(first.host.spec, licence="MIT", name="other", assumed=("Something.",))
    host = OnnxBackbone(spec, first.host.graph(["last", "last/map"]))
    members = (replace(first, host=host), pool.members[1])
    card = bundle_of(replace(fitted, classifier=replace(pool, members=members))).card
    assert card["backbone"] == {
        "name": "other + tiny",
        "weights": "random numbers, seed 0",
        "licence": None,
        "assumed": ["Something."],
    }
    assert card["members"][0]["backbone"]["licence"] == "MIT"


def test_the_same_pool_is_the_same_bundle(fitted: Fitted, folder: Path) -> None:
    again = bundle_of(fitted)
    assert again.card["sha256"] == json.loads((folder / "bundle.json").read_bytes())["sha256"]


def test_a_saved_pool_is_tested_with_heat_maps_and_baselines(folder: Path, photos: Path) -> None:
    judged = foveal.load(folder).test(photos)
    assert judged.judgement.images == 12
    assert {baseline.name for baseline in judged.judgement.baselines} == {"majority", "classical"}
    assert all(picture.heat is not None for picture in judged.report.pictures)
    assert judged.report.model.members == (
        MemberFacts(
            backbone="tiny", weights="random numbers, seed 0", blocks=("last",), weight=0.25
        ),
        MemberFacts(
            backbone="tiny",
            weights="random numbers, seed 0",
            blocks=("last", "stage1/2x2", "classical"),
            weight=0.75,
        ),
    )
    assert b"network 2" in judged.html()


def test_a_saved_pool_predicts_from_the_command_line(
    folder: Path, photos: Path, cli: Callable
) -> None:
    said = cli("predict", folder, photos / "dots" / "00.png", "--json")
    assert said.code == 0
    (answer,) = [json.loads(line) for line in said.out.splitlines()]
    assert answer["path"].endswith("00.png")


def test_what_the_pool_says_is_what_its_members_say_by_weight(
    fitted: Fitted, folder: Path, photos: Path
) -> None:
    files, expected = fitted.proof
    loaded = foveal.load(folder)
    answered = np.concatenate(
        [loaded.predictor.logits(b.pixels) for b in loaded.predictor.batches(files)]
    )
    np.testing.assert_allclose(answered, expected, atol=1e-4)

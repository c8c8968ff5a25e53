"""Looking: the pictures of a report, with heat maps however the network allows them."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import foveal
from foveal.backbone import store
from foveal.image.preprocess import Preprocess
from foveal.recipes import look


@pytest.mark.parametrize("last_is_mean", [True, False])
def test_every_mistake_has_a_heat_map_by_the_graph_or_by_occlusion(
    make_photos: Callable, tmp_path: Path, last_is_mean: bool
) -> None:
    make = runpy.run_path(str(Path(__file__).parents[1] / "model" / "conftest.py"))["tiny_backbone"]
    tiny = make(last_is_mean=last_is_mean)
    store.save(tmp_path / "tiny", tiny.spec, tiny._model, None)
    root = make_photos(tmp_path / "hard", hard=True)
    model = foveal.fit(root, backbone=str(tmp_path / "tiny"), features="last")
    assert model.predictor.has_heat_map is last_is_mean
    new = make_photos(tmp_path / "new", seed=4, hard=True)
    shown = model.test(new).report.pictures
    assert len(shown) > look.OCCLUDED
    assert shown[0].truth != shown[0].answer
    confident = [p.confidence for p in shown if p.truth != p.answer]
    assert confident[0] == max(confident)
    with_map = shown if last_is_mean else shown[: look.OCCLUDED]
    assert all(p.heat is not None and np.ptp(p.heat) > 0 for p in with_map)
    if last_is_mean:  # each has its own
        (batch,) = model.predictor.batches(new / p.path for p in shown[:20])
        heat = model.predictor.looks(batch.pixels)[1]
        np.testing.assert_allclose([p.heat for p in shown[:20]], heat, atol=1e-5)
    else:
        assert all(p.heat is None for p in shown[look.OCCLUDED :])
        assert all(p.unexplained is None for p in shown)


def test_what_a_crop_cuts_away_is_shown_when_it_is_much(photos: Path) -> None:
    files = sorted((photos / "dots").iterdir())[:6]
    cut = look.cut_away([(128, 64)] * 6, files, Preprocess(size_px=32))
    assert cut is not None
    assert cut.share == pytest.approx(0.5)
    assert len(cut.examples) == look.EXAMPLES
    assert look.cut_away([(64, 64)] * 6, files, Preprocess(size_px=32)) is None
    assert look.cut_away([], [], Preprocess(size_px=32)) is None

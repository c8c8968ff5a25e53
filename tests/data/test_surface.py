"""Every defect changes the surface, none of them leaves the range, and faint ones are faint."""

from __future__ import annotations

import numpy as np
import pytest

from foveal.backbone.classical import classical
from foveal.data.surface import (
    CLEAN,
    DEFECTS,
    FINISHES,
    PICTURE_PX,
    SPAN,
    Part,
    photograph,
    render_part,
)


def change(before: Part, after: Part) -> float:
    height = np.abs(after.height - before.height).mean()
    return float(height + np.abs(after.colour - before.colour).mean())


@pytest.mark.parametrize("name", DEFECTS)
class TestEveryDefect:
    def test_shows_near_the_middle_of_every_finish(self, name: str) -> None:
        for finish in FINISHES:
            clean = finish(np.random.default_rng(0))
            worse = DEFECTS[name](np.random.default_rng(1), clean, 0.8)
            difference = np.abs(worse.colour - clean.colour).sum(axis=2)
            difference += np.abs(worse.height - clean.height)
            margin = (SPAN - PICTURE_PX) // 2 + 5
            assert difference[margin:-margin, margin:-margin].max() > 0.1
            assert worse.height.dtype == worse.colour.dtype == np.float32

    def test_a_severe_one_changes_more_than_a_faint_one(self, name: str) -> None:
        clean = FINISHES[0](np.random.default_rng(0))
        faint, severe = (
            DEFECTS[name](np.random.default_rng(1), clean, severity) for severity in (0.3, 1.0)
        )
        assert change(clean, severe) > 1.3 * change(clean, faint)


@pytest.mark.parametrize("name", [CLEAN, *DEFECTS])
def test_a_photograph_is_neither_black_nor_burnt_out(name: str) -> None:
    for seed in range(8):
        rng = np.random.default_rng(seed)
        pixels = np.asarray(photograph(rng, render_part(rng, name)))
        assert pixels.shape == (PICTURE_PX, PICTURE_PX, 3)
        assert pixels.dtype == np.uint8
        assert 30 < pixels.mean() < 225
        assert np.mean(pixels == 255) < 0.1


@pytest.mark.slow
def test_a_probe_finds_most_defects_but_not_all() -> None:
    """The set is a fair demonstration: far above chance, below perfect, parts kept apart."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    pixels, kinds, parts = [], [], []
    for part, kind in enumerate(2 * [CLEAN, CLEAN, *DEFECTS] * 25):
        rng = np.random.default_rng([0, part])
        rendered = render_part(rng, kind)
        for _ in range(2):
            pixels.append(np.asarray(photograph(rng, rendered).resize((96, 96))))
            kinds.append(kind)
            parts.append(part)
    features_ND = classical().embed(np.stack(pixels), ["last"])["last"]
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.03, max_iter=300))
    folds = StratifiedGroupKFold(4, shuffle=True, random_state=0)
    accuracy = cross_val_score(probe, features_ND, kinds, groups=parts, cv=folds).mean()
    assert 0.8 < accuracy < 0.97

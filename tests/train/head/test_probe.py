"""The probe: scikit-learn finds the same weights, in every regime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from foveal.core.errors import BadData
from foveal.model.linear import LinearHead, softmax
from foveal.train.head.class_weights import ClassWeights
from foveal.train.head.probe import Probe
from foveal.train.head.standard import Standard


def oracle(
    features_ND: NDArray[np.float32],
    labels_N: NDArray[np.int64],
    strength: float,
    class_weights: ClassWeights,
) -> LinearHead:
    standard = Standard.of(features_ND)
    two = labels_N.max() == 1
    found: Any = LogisticRegression(
        C=strength * (2 if two else 1),
        tol=1e-9,
        max_iter=20_000,
        class_weight="balanced" if class_weights == "balanced" else None,
    ).fit(standard.apply(features_ND, np.float64), labels_N)
    weights_KD, bias_K = found.coef_, found.intercept_
    if two:
        weights_KD, bias_K = np.vstack([-weights_KD, weights_KD]) / 2, np.r_[-bias_K, bias_K] / 2
    return standard.folded(weights_KD, bias_K)


def log_loss(
    head: LinearHead, features_ND: NDArray[np.float32], labels_N: NDArray[np.int64]
) -> float:
    logits_NK = features_ND.astype(np.float64) @ head.weights_KD.T.astype(np.float64) + head.bias_K
    return float(-np.log(softmax(logits_NK)[np.arange(len(labels_N)), labels_N]).mean())


@pytest.mark.parametrize("class_weights", ["none", "balanced"])
@pytest.mark.parametrize("strength", [1e-4, 1e-2, 1.0])
@pytest.mark.parametrize(("n", "d", "k"), [(240, 30, 4), (90, 400, 4), (120, 20, 2), (40, 200, 2)])
def test_scikit_learn_finds_the_same(
    clouds: Any, n: int, d: int, k: int, strength: float, class_weights: ClassWeights
) -> None:
    features_ND, labels_N = clouds(n, d, k)
    ours = Probe().fit(features_ND, labels_N, k, strength, class_weights)
    theirs = oracle(features_ND, labels_N, strength, class_weights)
    size = np.linalg.norm(theirs.weights_KD)
    assert np.linalg.norm(ours.weights_KD - theirs.weights_KD) < 1e-4 * size
    assert log_loss(ours, features_ND, labels_N) == pytest.approx(
        log_loss(theirs, features_ND, labels_N), abs=1e-7
    )


def test_wide_and_narrow_meet_where_features_are_as_many_as_images(clouds: Any) -> None:
    features_ND, labels_N = clouds(60, 60, 3)
    constant_ND = np.hstack([features_ND, np.full((60, 1), 7, dtype=np.float32)])  # now wide
    narrow = Probe().fit(features_ND, labels_N, 3, 0.1)
    wide = Probe().fit(constant_ND, labels_N, 3, 0.1)
    np.testing.assert_allclose(wide.weights_KD[:, :-1], narrow.weights_KD, rtol=1e-4, atol=1e-6)


def test_the_unit_of_a_feature_does_not_matter(clouds: Any) -> None:
    features_ND, labels_N = clouds(80, 12, 3)
    scale_D = np.float32(2.0) ** np.arange(-6, 6, dtype=np.float32)
    plain = Probe().fit(features_ND, labels_N, 3, 0.1)
    scaled = Probe().fit(features_ND * scale_D, labels_N, 3, 0.1)
    np.testing.assert_allclose(scaled.weights_KD * scale_D, plain.weights_KD, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("d", [20, 300])
def test_the_path_ends_near_the_exact_fits(clouds: Any, d: int) -> None:
    features_ND, labels_N = clouds(150, d, 3)
    standard = Standard.of(features_ND)
    rows_ND = standard.apply(features_ND)
    strengths = Probe.strengths[2:9]
    heads = list(Probe().path(rows_ND, labels_N, 3, strengths))
    assert len(heads) == len(strengths)
    for strength, rough in zip(strengths, heads, strict=True):
        exact = Probe().fit(features_ND, labels_N, 3, strength)
        difference = log_loss(rough, rows_ND, labels_N) - log_loss(exact, features_ND, labels_N)
        assert abs(difference) < 0.01


def test_weaker_regularisation_fits_the_images_more_closely(clouds: Any) -> None:
    features_ND, labels_N = clouds(100, 150, 3)
    losses = [
        log_loss(Probe().fit(features_ND, labels_N, 3, strength), features_ND, labels_N)
        for strength in Probe.strengths
    ]
    assert losses == sorted(losses, reverse=True)


def test_balanced_weights_answer_the_rare_class_more_often() -> None:
    rng = np.random.default_rng(3)
    labels_N = np.repeat([0, 1], [180, 20])
    features_ND = (rng.normal(size=(200, 5)) + labels_N[:, None] * 0.7).astype(np.float32)
    answered = [
        int(Probe().fit(features_ND, labels_N, 2, 0.1, weights).logits(features_ND).argmax(1).sum())
        for weights in ("none", "balanced")
    ]
    assert answered[0] < 20 < answered[1]


def test_features_that_are_no_numbers_are_refused(clouds: Any) -> None:
    features_ND, labels_N = clouds(30, 4, 2)
    features_ND[3, 2] = np.nan
    with pytest.raises(BadData, match="Column 2"):
        Probe().fit(features_ND, labels_N, 2, 1.0)


def test_on_real_features_of_photographs_it_is_exact_too(shared: Any) -> None:
    """Pixels of chest X-rays, reduced to 12 × 12: strongly correlated, unlike the clouds."""
    from PIL import Image

    files = sorted((shared / "domains" / "chest_xray" / "train").glob("*/*"))[::6]
    pictures = [np.asarray(Image.open(file).convert("L").resize((12, 12))) for file in files]
    features_ND = np.stack(pictures).reshape(len(files), -1).astype(np.float32)
    labels_N = np.unique([file.parent.name for file in files], return_inverse=True)[1]
    for rows in (slice(None), slice(None, None, 2)):  # narrow, wide
        ours = Probe().fit(features_ND[rows], labels_N[rows], 2, 0.1)
        theirs = oracle(features_ND[rows], labels_N[rows], 0.1, "none")
        size = np.linalg.norm(theirs.weights_KD)
        assert np.linalg.norm(ours.weights_KD - theirs.weights_KD) < 1e-4 * size


def test_a_faint_signal_is_not_given_up_at_the_start() -> None:
    """The first gradient step is tiny, and promises next to nothing of what there is to gain."""
    strengths = Probe.strengths[::4]
    rng = np.random.default_rng(0)
    labels_N = rng.integers(0, 40, 1200)
    rows_ND = rng.normal(size=(1200, 80)) @ rng.normal(size=(80, 80))
    rows_ND[:, 0] += (labels_N == 0) * 20
    features_ND = rows_ND.astype(np.float32)
    rows_ND = Standard.of(features_ND).apply(features_ND)
    for strength, rough in zip(
        strengths, Probe().path(rows_ND, labels_N, 40, strengths), strict=True
    ):
        exact = log_loss(Probe().fit(features_ND, labels_N, 40, strength), features_ND, labels_N)
        assert log_loss(rough, rows_ND, labels_N) == pytest.approx(exact, abs=0.03)
    assert exact < 3.5  # of log(40) = 3.69

"""Trials: out of fold means out of fold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from foveal.train.head.folds import Folds
from foveal.train.head.probe import Probe
from foveal.train.head.standard import Standard
from foveal.train.head.trials import Field, log_losses


def quiet(fits: int) -> None:
    """Hear nothing."""


def thirds(labels_N: Any) -> Folds:
    rows = np.arange(len(labels_N))
    return Folds(
        labels=labels_N,
        classes=int(labels_N.max()) + 1,
        pairs=tuple((rows[rows % 3 != fold], rows[rows % 3 == fold]) for fold in range(3)),
        units=rows,
    )


@pytest.mark.parametrize("d", [12, 200])
def test_losses_are_those_of_scikit_learn_fold_by_fold(clouds: Any, d: int) -> None:
    features_ND, labels_N = clouds(120, d, 3)
    folds = thirds(labels_N)
    half = d // 2
    blocks = {"a": features_ND[:, :half], "b": features_ND[:, half:]}
    trial = Field(blocks, folds).trial("probe", ("a", "b"), Probe.strengths[:8], quiet)
    z_ND = Standard.of(features_ND).apply(features_ND, np.float64)
    for strength, loss in trial.curve:
        shares_NK = np.empty((120, 3))
        for fit, held in folds.pairs:
            theirs = LogisticRegression(C=strength, tol=1e-6, max_iter=5000)
            shares_NK[held] = theirs.fit(z_ND[fit], labels_N[fit]).predict_proba(z_ND[held])
        assert loss == pytest.approx(log_loss(labels_N, shares_NK), abs=0.01)
    assert trial.log_loss == min(loss for _, loss in trial.curve)


def test_labels_without_a_cause_are_not_learnt(clouds: Any) -> None:
    features_ND, _ = clouds(90, 300, 2)
    labels_N = np.random.default_rng(8).integers(0, 2, 90)
    trial = Field({"a": features_ND}, thirds(labels_N)).trial(
        "probe", ("a",), Probe.strengths, quiet
    )
    assert trial.log_loss > 0.65  # fitted on them it would be near 0
    assert trial.strength == min(Probe.strengths) or trial.log_loss < 0.75


def test_a_path_ends_after_two_rises_and_every_fit_is_accounted_for(clouds: Any) -> None:
    features_ND, _ = clouds(90, 300, 2)
    labels_N = np.random.default_rng(8).integers(0, 2, 90)  # so the weaker, the worse
    heard: list[int] = []
    field = Field({"a": features_ND}, thirds(labels_N))
    trial = field.trial("probe", ("a",), Probe.strengths, heard.append)
    assert len(trial.curve) == trial.best + 3 < len(Probe.strengths)
    assert sum(heard) == 3 * len(Probe.strengths)
    whole = [field.trial("probe", ("a",), [strength], quiet) for strength in Probe.strengths]
    least = min(whole, key=lambda single: single.log_loss)
    assert trial.strength == least.strength
    np.testing.assert_allclose(trial.logits, least.logits, atol=0.05)


def test_a_short_path_is_tried_to_its_end(clouds: Any) -> None:
    features_ND, _ = clouds(90, 300, 2)
    labels_N = np.random.default_rng(8).integers(0, 2, 90)
    trial = Field({"a": features_ND}, thirds(labels_N)).trial("probe", ("a",), [1, 3, 10], quiet)
    assert [strength for strength, _ in trial.curve] == [1, 3, 10]


def test_a_held_out_label_changes_nothing_but_its_own_loss(clouds: Any) -> None:
    features_ND, labels_N = clouds(60, 10, 2)
    rows = np.arange(60)
    pair = ((rows[:40], rows[40:]),)
    answers = []
    for flip in (False, True):
        labels = labels_N.copy()
        labels[40:] ^= flip
        folds = Folds(labels=labels, classes=2, pairs=pair, units=rows)
        trial = Field({"a": features_ND}, folds).trial("probe", ("a",), [0.1], quiet)
        answers.append(trial.logits)
    np.testing.assert_array_equal(answers[0], answers[1])


def test_held_out_images_do_not_move_the_standard(clouds: Any) -> None:
    features_ND, labels_N = clouds(60, 10, 2)
    rows = np.arange(60)
    folds = Folds(labels=labels_N, classes=2, pairs=((rows[:40], rows[40:]),), units=rows)
    plain = Field({"a": features_ND}, folds).trial("probe", ("a",), [0.1], quiet)
    wild_ND = features_ND.copy()
    wild_ND[59] *= 1000
    wild = Field({"a": wild_ND}, folds).trial("probe", ("a",), [0.1], quiet)
    np.testing.assert_array_equal(plain.logits[:-1], wild.logits[:-1])


def test_balanced_weights_count_in_the_judgement_too(clouds: Any) -> None:
    features_ND, _ = clouds(90, 5, 2)
    labels_N = (np.arange(90) % 10 == 0).astype(np.int64)
    trial = Field({"a": features_ND}, thirds(labels_N), "balanced").trial(
        "probe", ("a",), [1e-5], quiet
    )
    assert trial.log_loss == pytest.approx(np.log(2), abs=0.02)  # as likely as each other
    right = trial.logits.argmax(axis=1) == trial.labels
    each = [right[trial.labels == k].mean() for k in range(2)]
    assert trial.accuracy == pytest.approx(np.mean(each))


def test_losses_of_absurd_logits_are_large_but_finite() -> None:
    found = log_losses(np.array([[1e4, 0.0]], dtype=np.float32), np.array([1]))
    assert found.tolist() == [10_000.0]

"""The metrics are scikit-learn's, to the last bits, and weights stand for repeated images."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as oracle
from sklearn.preprocessing import label_binarize

from foveal.evaluate.metrics import measure, places
from foveal.model.predictions import Predictions


def predictions(
    seed: int, images: int, classes: int, *, steps: int | None = None, skill: float = 1.0
) -> Predictions:
    """Return random answers; with ``steps`` the probabilities are coarse and full of ties."""
    rng = np.random.default_rng(seed)
    labels_N = rng.integers(classes, size=images)
    logits_NK = rng.normal(size=(images, classes))
    logits_NK[np.arange(images), labels_N] += skill
    p_NK = np.exp(logits_NK)
    if steps is not None:
        p_NK = np.ceil(p_NK / p_NK.max() * steps)
    p_NK /= p_NK.sum(axis=1, keepdims=True)
    return Predictions(
        probabilities=p_NK,
        labels=labels_N,
        classes=tuple(f"class{k}" for k in range(classes)),
        paths=("",) * images,
        ids=("",) * images,
    )


def values(given: Predictions) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    whole, classwise = measure(given, np.ones((1, len(given)), dtype=np.float32))
    return {name: float(v[0]) for name, v in whole.items()}, {n: v[0] for n, v in classwise.items()}


anything = st.builds(
    predictions,
    seed=st.integers(0, 2**32 - 1),
    images=st.integers(1, 60),
    classes=st.integers(2, 9),
    steps=st.sampled_from([None, 2, 5]),
)


@settings(deadline=None, max_examples=150)
@given(anything)
def test_every_number_is_scikit_learns(given: Predictions) -> None:
    whole, classwise = values(given)
    p_NK, y_N, answer_N = given.probabilities, given.labels, given.answers
    k = len(given.classes)
    there = np.unique(y_N)
    precision, recall, f1, support = oracle.precision_recall_fscore_support(
        y_N, answer_N, labels=np.arange(k), zero_division=0
    )
    binary_NK = label_binarize(y_N, classes=np.arange(max(k, 3)))[:, :k]
    mixed = [c for c in there if len(there) > 1]
    ap = {c: oracle.average_precision_score(binary_NK[:, c], p_NK[:, c]) for c in mixed}
    auc = {c: oracle.roc_auc_score(binary_NK[:, c], p_NK[:, c]) for c in mixed}
    expected = {
        "top1": oracle.accuracy_score(y_N, answer_N),
        "balanced_accuracy": recall[there].mean(),
        "macro_recall": recall[there].mean(),
        "macro_precision": precision[there].mean(),
        "macro_f1": f1[there].mean(),
        "log_loss": oracle.log_loss(y_N, p_NK, labels=np.arange(k)),
        "brier": np.mean([np.sum((p - np.eye(k)[y]) ** 2) for p, y in zip(p_NK, y_N, strict=True)]),
        "roc_auc": np.nan if not mixed else auc[1] if k == 2 else np.mean(list(auc.values())),
        "average_precision": np.mean(list(ap.values())) if mixed else np.nan,
    }
    assert {name: whole[name] for name in expected} == pytest.approx(
        expected, abs=1e-12, rel=1e-12, nan_ok=True
    )
    answered = np.bincount(answer_N, minlength=k) > 0
    np.testing.assert_allclose(classwise["recall"], np.where(support, recall, np.nan), atol=1e-12)
    np.testing.assert_allclose(
        classwise["precision"], np.where(answered, precision, np.nan), atol=1e-12
    )
    np.testing.assert_allclose(classwise["f1"], np.where(support, f1, np.nan), atol=1e-12)
    row_K = np.array([ap.get(c, np.nan) for c in range(k)])
    np.testing.assert_allclose(classwise["average_precision"], row_K, atol=1e-12)


@settings(deadline=None, max_examples=50)
@given(anything, st.integers(0, 2**32 - 1))
def test_a_weight_of_two_is_the_image_given_twice(given: Predictions, seed: int) -> None:
    weight_N = np.random.default_rng(seed).integers(0, 3, size=len(given))
    weight_N[0] += 1
    again = np.repeat(np.arange(len(given)), weight_N)
    repeated = Predictions(
        probabilities=given.probabilities[again],
        labels=given.labels[again],
        classes=given.classes,
        paths=("",) * len(again),
        ids=("",) * len(again),
    )
    whole, classwise = measure(given, weight_N[None].astype(np.float32))
    twice, per_class = values(repeated)
    assert {n: v[0] for n, v in whole.items()} == pytest.approx(twice, abs=1e-12, nan_ok=True)
    for name, values_RK in classwise.items():
        np.testing.assert_allclose(values_RK[0], per_class[name], atol=1e-12)


def test_top5_is_scikit_learns_where_nothing_ties() -> None:
    given = predictions(3, 400, 12, skill=0.5)
    expected = oracle.top_k_accuracy_score(given.labels, given.probabilities, k=5)
    assert values(given)[0]["top5"] == pytest.approx(expected, abs=1e-12)
    assert 0.5 < expected < 0.9


def test_top5_has_no_number_where_it_could_only_be_right() -> None:
    assert np.isnan(values(predictions(0, 20, 5))[0]["top5"])
    assert not np.isnan(values(predictions(0, 20, 6))[0]["top5"])


def test_equally_probable_classes_are_answered_in_their_order() -> None:
    tied = Predictions(
        probabilities=np.full((3, 3), 1 / 3),
        labels=np.array([0, 1, 2]),
        classes=("a", "b", "c"),
        paths=("",) * 3,
        ids=("",) * 3,
    )
    assert places(tied).tolist() == [0, 1, 2]
    assert values(tied)[0]["roc_auc"] == 0.5


def test_two_classes_are_ranked_by_the_second_alone() -> None:
    nearly = Predictions(  # rows of float32 sum to 1 only nearly: the first column is no mirror
        probabilities=np.array([[0.5, 0.5], [0.50001, 0.5]]),
        labels=np.array([0, 1]),
        classes=("a", "b"),
        paths=("",) * 2,
        ids=("",) * 2,
    )
    assert values(nearly)[0]["roc_auc"] == oracle.roc_auc_score([0, 1], [0.5, 0.5]) == 0.5


@settings(deadline=None, max_examples=50)
@given(anything)
def test_the_first_place_is_the_answer(given: Predictions) -> None:
    assert ((places(given) == 0) == (given.answers == given.labels)).all()


def test_one_class_only_has_no_ranking() -> None:
    given = predictions(0, 20, 3)
    alone = Predictions(
        probabilities=given.probabilities,
        labels=np.zeros(20, dtype=np.int64),
        classes=given.classes,
        paths=given.paths,
        ids=given.ids,
    )
    whole, _ = values(alone)
    assert np.isnan(whole["roc_auc"])
    assert np.isnan(whole["average_precision"])
    assert not np.isnan(whole["log_loss"])


def test_a_probability_of_zero_costs_much_and_not_everything() -> None:
    given = Predictions(
        probabilities=np.array([[1.0, 0.0]]),
        labels=np.array([1]),
        classes=("a", "b"),
        paths=("",),
        ids=("",),
    )
    assert values(given)[0]["log_loss"] == pytest.approx(-np.log(np.finfo(np.float64).eps))

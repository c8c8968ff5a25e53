"""A judgement is complete, repeatable, JSON-ready, and survives the smallest and largest inputs."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from foveal.core.errors import BadData, OutOfRange
from foveal.evaluate.interval import Interval
from foveal.evaluate.intervals import wilson
from foveal.evaluate.judge import Judgement, judge, majority
from foveal.evaluate.metrics import by_class, measure, probabilities, shares
from foveal.model.predictions import Predictions

METRICS = [
    "top1",
    "top5",
    "balanced_accuracy",
    "macro_precision",
    "macro_recall",
    "macro_f1",
    "roc_auc",
    "average_precision",
    "log_loss",
    "brier",
    "calibration_error",
    "overconfidence",
]


def predictions(
    images: int, classes: int, *, skill: float = 2.0, groups: int | None = None, seed: int = 0
) -> Predictions:
    rng = np.random.default_rng(seed)
    labels_N = rng.integers(classes, size=images)
    logits_NK = rng.normal(size=(images, classes))
    logits_NK[np.arange(images), labels_N] += skill
    p_NK = np.exp(logits_NK)
    return Predictions(
        probabilities=p_NK / p_NK.sum(axis=1, keepdims=True),
        labels=labels_N,
        classes=tuple(f"class{k}" for k in range(classes)),
        paths=tuple(f"{n}.jpg" for n in range(images)),
        ids=tuple(f"{n:064d}" for n in range(images)),
        groups=None if groups is None else tuple(f"g{n % groups}" for n in range(images)),
    )


@pytest.fixture(scope="module")
def judged() -> Judgement:
    given = predictions(300, 7)
    return judge(given, baselines={"majority": majority(given, np.arange(1, 8))})


def test_every_metric_has_a_value_inside_its_interval(judged: Judgement) -> None:
    assert list(judged.metrics) == METRICS
    for name, interval in judged.metrics.items():
        assert interval.low < interval.value < interval.high, name


def test_values_are_those_of_the_plain_metrics(judged: Judgement) -> None:
    given = predictions(300, 7)
    whole, classwise = measure(given, np.ones((1, 300), dtype=np.float32))
    assert {name: i.value for name, i in judged.metrics.items()} == pytest.approx(
        {name: v[0] for name, v in whole.items()}, abs=1e-12
    )
    for row in judged.per_class:
        for name, interval in row.numbers.items():
            number = int(row.name.removeprefix("class"))
            assert interval.value == pytest.approx(classwise[name][0, number], abs=1e-12)


def test_shares_of_independent_images_have_wilsons_interval(judged: Judgement) -> None:
    for name in ("top1", "top5"):
        assert judged.metrics[name] == wilson(judged.metrics[name].value, 300)
    for row in judged.per_class:
        assert row.numbers["recall"] == wilson(row.numbers["recall"].value, row.support)
        assert row.numbers["precision"] == wilson(row.numbers["precision"].value, row.answered)


def test_shares_of_grouped_images_have_the_wider_interval_of_the_groups() -> None:
    given = predictions(300, 4, skill=1.0)
    order = np.argsort(given.answers == given.labels, kind="stable")  # alike ones in one group
    groups = np.empty(300, dtype=object)
    groups[order] = [f"g{n // 10}" for n in range(300)]
    grouped = judge(replace(given, groups=tuple(groups)), resamples=400)
    naive = judge(given, resamples=400)
    assert grouped.groups == 30
    assert naive.groups is None
    assert grouped.metrics["top1"].value == naive.metrics["top1"].value
    for name in ("top1", "log_loss", "macro_f1"):
        wide, narrow = grouped.metrics[name], naive.metrics[name]
        assert wide.high - wide.low > 1.4 * (narrow.high - narrow.low), name


def test_few_images_a_class_leave_every_value_inside_its_interval() -> None:
    found = judge(predictions(500, 100, skill=0.5))
    for name, interval in found.metrics.items():
        assert interval.low < interval.value < interval.high, name


def test_the_confusion_matrix_is_scikit_learns(judged: Judgement) -> None:
    given = predictions(300, 7)
    expected = confusion_matrix(given.labels, given.answers, labels=np.arange(7))
    np.testing.assert_array_equal(judged.confusion, expected)
    assert judged.confusion.dtype == np.int64


def test_the_reliability_bins_hold_every_image_and_add_up_to_the_error(judged: Judgement) -> None:
    assert sum(each.count for each in judged.reliability) == 300
    assert [each.low for each in judged.reliability] == pytest.approx(np.arange(15) / 15)
    total = sum(
        each.count / 300 * abs(each.accuracy.value - each.confidence)
        for each in judged.reliability
        if each.count
    )
    assert total == pytest.approx(judged.metrics["calibration_error"].value)
    empty = [each for each in judged.reliability if not each.count]
    assert all(each.confidence is None and each.accuracy == Interval(None) for each in empty)


def test_the_same_seed_gives_the_same_and_another_nearly_the_same() -> None:
    given = predictions(200, 5)
    first, again, other = (judge(given, seed=seed).to_mapping() for seed in (3, 3, 4))
    assert first == again
    assert first["log_loss"] != other["log_loss"]
    assert first["log_loss"]["low"] == pytest.approx(other["log_loss"]["low"], rel=0.1)


def test_the_mapping_is_json_with_each_metric_on_top(judged: Judgement) -> None:
    plain = json.loads(json.dumps(judged.to_mapping(), allow_nan=False))
    for name in METRICS:
        assert set(plain[name]) == {"value", "low", "high"}
    assert plain["top1"]["value"] == judged.metrics["top1"].value
    assert plain["baselines"]["majority"]["roc_auc"]["value"] == 0.5
    assert plain["baselines"]["majority"]["difference"]["low"] > 0
    assert plain["per_class"][2]["name"] == "class2"
    assert plain["per_class"][2]["recall"]["value"] == judged.per_class[2].numbers["recall"].value
    assert plain["images"] == 300
    assert plain["resamples"] == 1000
    assert np.array(plain["confusion"]).sum() == 300


def test_the_majority_baseline_answers_the_commonest_training_class() -> None:
    given = predictions(50, 3)
    baseline = majority(given, np.array([10, 30, 20]))
    assert (baseline.answers == 1).all()
    assert baseline.probabilities[0] == pytest.approx([1 / 6, 1 / 2, 1 / 3])
    expected = (given.labels == 1).mean()
    found = judge(given, baselines={"majority": baseline}).baselines[0]
    assert found.metrics["top1"].value == pytest.approx(expected)
    assert found.difference.value == pytest.approx(
        (given.answers == given.labels).mean() - expected
    )


@pytest.mark.parametrize("counts", [[1, 2], [0, 0, 0], [-1, 2, 3]])
def test_counts_that_cannot_be_are_refused(counts: list[int]) -> None:
    with pytest.raises(OutOfRange, match="train_counts"):
        majority(predictions(5, 3), np.array(counts))


def test_a_baseline_is_resampled_in_the_models_groups() -> None:
    given = predictions(60, 3, groups=12)
    baseline = replace(predictions(60, 3, skill=0.5), groups=None)
    found = judge(given, baselines={"other": baseline}).baselines[0]
    assert found.metrics["top1"] != wilson(found.metrics["top1"].value, 60)


def test_no_images_are_no_judgement() -> None:
    with pytest.raises(BadData, match="no image to test on"):
        judge(predictions(0, 3))


def test_too_few_resamples_are_refused() -> None:
    with pytest.raises(OutOfRange, match="resamples = 10"):
        judge(predictions(10, 3), resamples=10)


def test_one_image_has_wilsons_interval_and_no_other() -> None:
    found = judge(predictions(1, 3, skill=9))
    assert found.metrics["top1"] == wilson(1.0, 1)
    assert found.metrics["log_loss"].value is not None
    assert found.metrics["log_loss"].low is None
    assert found.metrics["roc_auc"] == Interval(None)
    assert found.tells_apart is None
    json.dumps(found.to_mapping(), allow_nan=False)


def test_all_right_is_no_certainty_with_groups_or_without() -> None:
    alone = judge(predictions(60, 3, skill=40))
    grouped = judge(predictions(60, 3, skill=40, groups=12))
    assert alone.metrics["top1"] == wilson(1.0, 60)
    assert grouped.metrics["top1"] == wilson(1.0, 12)
    assert alone.metrics["macro_f1"] == Interval(1.0)
    assert grouped.per_class[0].numbers["recall"].low < alone.per_class[0].numbers["recall"].low


def test_one_group_has_numbers_and_no_interval() -> None:
    found = judge(predictions(60, 3, groups=1))
    for name, interval in found.metrics.items():
        assert interval.low is None, name
        assert interval.high is None, name
    assert found.metrics["top1"].value is not None
    assert any("one group" in sentence for sentence in found.sentences)


def test_classes_without_images_have_no_numbers_and_spoil_no_mean() -> None:
    given = predictions(80, 4, skill=1.0)
    wider = replace(
        given,
        probabilities=np.c_[given.probabilities * 0.9, np.full(80, 0.1)],
        classes=(*given.classes, "absent"),
    )
    narrow, wide = judge(given), judge(wider)
    assert wide.per_class[4].support == 0
    assert wide.per_class[4].numbers["recall"] == Interval(None)
    assert wide.metrics["balanced_accuracy"].value <= narrow.metrics["balanced_accuracy"].value
    assert wide.metrics["roc_auc"].value == pytest.approx(narrow.metrics["roc_auc"].value)
    assert any("absent" in sentence for sentence in wide.sentences)
    json.dumps(wide.to_mapping(), allow_nan=False)


def test_a_thousand_classes_are_judged_in_seconds() -> None:
    given = predictions(1000, 1000)
    start = time.process_time()
    found = judge(given)
    assert time.process_time() - start < 20
    assert found.metrics["top5"].value > found.metrics["top1"].value
    assert len(found.per_class) == 1000


@pytest.mark.slow
@pytest.mark.parametrize("per_group", [1, 8])
def test_intervals_hold_the_truth_in_about_95_of_100_trials(per_group: int) -> None:
    """Images of a group share most of what makes them hard; 60 groups or 300 images a trial."""
    classes, images = 4, 480 if per_group > 1 else 300

    def drawn(rng: np.random.Generator, count: int) -> Predictions:
        labels_N = np.repeat(rng.integers(classes, size=count // per_group), per_group)
        shared_NK = np.repeat(rng.normal(size=(count // per_group, classes)), per_group, axis=0)
        logits_NK = 0.9 * shared_NK + 0.45 * rng.normal(size=(count, classes))
        logits_NK[np.arange(count), labels_N] += 1.5
        p_NK = np.exp(1.5 * logits_NK)
        return Predictions(
            probabilities=p_NK / p_NK.sum(axis=1, keepdims=True),
            labels=labels_N,
            classes=tuple("abcd"),
            paths=("",) * count,
            ids=("",) * count,
            groups=tuple(str(n // per_group) for n in range(count)) if per_group > 1 else None,
        )

    rng = np.random.default_rng(11)
    names = ("top1", "balanced_accuracy", "macro_f1", "log_loss", "brier", "overconfidence")
    many = [drawn(rng, 40_000) for _ in range(5)]
    whole = [
        {
            metric: float(values[0])
            for evaluator in (shares, by_class, probabilities)
            for metric, values in evaluator(m, np.ones((1, len(m)), np.float32))
            if values.ndim == 1
        }
        for m in many
    ]
    truth = {name: np.mean([each[name] for each in whole]) for name in names}
    held = dict.fromkeys(names, 0)
    naive = 0
    trials = 300
    for trial in range(trials):
        given = drawn(rng, images)
        metrics = judge(given, seed=trial, resamples=300).metrics
        for name in names:
            held[name] += metrics[name].low <= truth[name] <= metrics[name].high
        plain = wilson(metrics["top1"].value, images)
        naive += plain.low <= truth["top1"] <= plain.high
    for name, count in held.items():
        assert 0.90 <= count / trials <= 0.99, name
    assert (naive / trials < 0.75) == (per_group > 1)

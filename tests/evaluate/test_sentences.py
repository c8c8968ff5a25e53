"""The sentences say what a person must know, and only when it is so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from foveal.evaluate.interval import Interval
from foveal.evaluate.judge import judge, majority
from foveal.model.predictions import Predictions


def predictions(right_N: np.ndarray, confidence: float = 0.9, classes: int = 3) -> Predictions:
    """Return answers that are right where said, always equally sure."""
    count = len(right_N)
    labels_N = np.arange(count) % classes
    answers_N = np.where(right_N, labels_N, (labels_N + 1) % classes)
    p_NK = np.full((count, classes), (1 - confidence) / (classes - 1))
    p_NK[np.arange(count), answers_N] = confidence
    return Predictions(
        probabilities=p_NK,
        labels=labels_N,
        classes=tuple(f"class{k}" for k in range(classes)),
        paths=("",) * count,
        ids=tuple(map(str, range(count))),
    )


def nine_of_ten(count: int) -> np.ndarray:
    return np.arange(count) // 3 % 10 != 0


def said(given: Predictions, **options: object) -> str:
    return "\n".join(judge(given, resamples=300, **options).sentences).replace("\xa0", " ")


def test_the_first_sentence_is_the_result_with_its_interval() -> None:
    first = said(predictions(nine_of_ten(90))).splitlines()[0]
    assert first.startswith("90.0 % of 90 test images are right")
    assert "82.1 % and 94.6 %" in first


def test_a_small_test_says_what_it_cannot_tell_apart() -> None:
    assert (
        "With 90 test images two models must differ by about 7 points "
        "before this test can tell them apart." in said(predictions(nine_of_ten(90)))
    )
    assert "no difference between two models" in said(predictions(nine_of_ten(5)))


def test_a_large_test_says_nothing_of_its_size() -> None:
    assert "tell them apart" not in said(predictions(nine_of_ten(6000)))


def test_a_baseline_is_better_worse_or_not_to_be_told() -> None:
    model, rng = predictions(nine_of_ten(300)), np.random.default_rng(0)
    worse = predictions(nine_of_ten(300) & (rng.random(300) < 0.8))
    swapped = predictions(np.roll(nine_of_ten(300), 3))
    assert "better than the baseline 'b' by" in said(model, baselines={"b": worse})
    assert "WORSE than the baseline 'b' by" in said(worse, baselines={"b": model})
    assert "cannot tell it from the baseline 'b'" in said(model, baselines={"b": swapped})
    one = predictions(np.ones(1, bool))
    assert "One image or group alone" in said(one, baselines={"b": majority(one, [1, 1, 1])})


@pytest.mark.parametrize(
    ("name", "promised", "verdict"),
    [
        ("top1", 0.91, "the promise was kept"),
        ("top1", 0.99, "the promise was NOT kept"),
        ("top1", 0.70, "better than promised"),
        ("log_loss", 0.1, "the promise was NOT kept"),
        ("log_loss", 1.5, "better than promised"),
    ],
)
def test_a_promise_is_held_against_the_test(name: str, promised: float, verdict: str) -> None:
    text = said(predictions(nine_of_ten(300)), promised={name: Interval(promised)})
    assert verdict in text
    assert "The fit promised" in text


def test_a_promise_of_an_unknown_number_is_passed_over() -> None:
    assert "promised" not in said(predictions(nine_of_ten(90)), promised={"other": Interval(0.5)})


@pytest.mark.parametrize(
    ("confidence", "verdict"),
    [
        (0.99, "too sure of itself: it is 99.0 % sure and 90.0 % right"),
        (0.60, "right more often than it says: it is 60.0 % sure and 90.0 % right"),
        (0.905, "do not contradict its confidence"),
    ],
)
def test_calibration_is_said_in_words(confidence: float, verdict: str) -> None:
    assert verdict in said(predictions(nine_of_ten(300), confidence))


def test_confidence_that_fits_on_the_mean_alone_is_found_out() -> None:
    sure, unsure = predictions(np.arange(600) % 2 == 0, 0.95), predictions(np.ones(600, bool), 0.55)
    both = Predictions(
        probabilities=np.r_[sure.probabilities, unsure.probabilities],
        labels=np.r_[sure.labels, unsure.labels],
        classes=sure.classes,
        paths=("",) * 1200,
        ids=("",) * 1200,
    )
    assert "fits on the mean but not everywhere" in said(both)


def test_classes_with_few_or_no_images_are_named() -> None:
    few = predictions(nine_of_ten(60), classes=8)
    assert "8 of 8 classes have fewer than 10 test images" in said(few)
    assert "class0, class1, class2, class3, class4 and 3 more" in said(few)
    wider = replace(
        predictions(nine_of_ten(90)),
        probabilities=np.c_[predictions(nine_of_ten(90)).probabilities, np.zeros(90)],
        classes=("class0", "class1", "class2", "ghost"),
    )
    assert "1 of 4 classes has no test image and is left out" in said(wider)
    assert "fewer than 10" not in said(wider)


def test_few_groups_are_called_rough_and_one_impossible() -> None:
    given = predictions(nine_of_ten(90))

    def grouped(groups: int) -> str:
        names = tuple(str(n // 3 % groups) for n in range(90))
        return said(replace(given, groups=names))

    assert "in 5 groups" in grouped(5)
    assert "only 5 groups" in grouped(5)
    assert "belong to one group" in grouped(1)
    assert "No interval for" not in grouped(1)
    assert "only" not in grouped(30)


def test_perfect_answers_are_not_called_free_of_mistakes() -> None:
    text = said(predictions(np.ones(60, bool)))
    assert "100.0 % of 60 test images are right" in text
    assert "No interval for" in text
    assert "macro f1" in text
    assert "No interval for" not in said(predictions(nine_of_ten(90), classes=7))


def weights(given: Predictions, **options: object) -> dict[str, str]:
    """Return the weight of each sentence, by its text."""
    found = judge(given, resamples=300, **options).said
    return {each.text.replace("\xa0", " "): each.weight for each in found}


def test_what_speaks_against_the_model_is_a_warning_and_stands_right_after_the_result() -> None:
    right = predictions(np.ones(300, dtype=bool))
    found = weights(
        predictions(nine_of_ten(300), confidence=0.99),
        baselines={"better": right, "majority": majority(right, [1, 1, 1])},
        promised={"top1": Interval(0.99, 0.98, 1.0)},
    )
    warnings = [text for text, weight in found.items() if weight == "warning"]
    assert list(found)[1 : 1 + len(warnings)] == warnings
    assert [
        next(key for key in ("WORSE", "NOT kept", "too sure") if key in text) for text in warnings
    ] == ["WORSE", "NOT kept", "too sure"]
    assert found[next(text for text in found if "'majority'" in text)] == "fact"


def test_what_limits_the_numbers_is_a_note() -> None:
    found = weights(predictions(nine_of_ten(30)))
    assert set(found.values()) == {"fact", "note"}
    assert found[next(text for text in found if "must differ by" in text)] == "note"


def test_a_little_too_sure_with_very_many_images_is_no_warning() -> None:
    found = weights(predictions(nine_of_ten(6000), confidence=0.93))
    assert found[next(text for text in found if "too sure" in text)] == "note"


def test_json_has_the_sentences_as_they_were_and_names_the_warnings() -> None:
    judged = judge(predictions(nine_of_ten(300), confidence=0.99), resamples=300)
    out = judged.to_mapping()
    assert out["sentences"] == [each.text for each in judged.said]
    assert out["warnings"] == [each for each in out["sentences"] if "too sure" in each]

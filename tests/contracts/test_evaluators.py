"""What every evaluator keeps to, shipped or plugged in."""

from __future__ import annotations

import numpy as np
import pytest

from foveal.evaluate.metrics import EVALUATORS
from foveal.model.predictions import Predictions


def predictions(images: int, classes: int, labels_N: np.ndarray | None = None) -> Predictions:
    rng = np.random.default_rng(images + classes)
    drawn_N = rng.integers(classes, size=images)
    return Predictions(
        probabilities=rng.dirichlet(np.ones(classes), size=images),
        labels=drawn_N if labels_N is None else labels_N,
        classes=tuple(map(str, range(classes))),
        paths=("",) * images,
        ids=("",) * images,
    )


CASES = {
    "ordinary": predictions(60, 7),
    "two classes": predictions(30, 2),
    "one image": predictions(1, 3),
    "one class in the test part": predictions(20, 4, np.full(20, 2)),
    "more classes than images": predictions(5, 40),
    "certain answers": Predictions(
        probabilities=np.eye(3)[[0, 1, 2, 0]],
        labels=np.array([0, 1, 1, 2]),
        classes=("a", "b", "c"),
        paths=("",) * 4,
        ids=("",) * 4,
    ),
}


def weights(images: int, rows: int = 8) -> np.ndarray:
    """Return a weighting of ones, then resamples."""
    drawn = np.random.default_rng(0).integers(images, size=(rows, images))
    counts = [np.bincount(row, minlength=images) for row in drawn]
    return np.stack([np.ones(images), *counts]).astype(np.float32)


@pytest.mark.parametrize("name", EVALUATORS.names())
class TestEveryEvaluator:
    @pytest.mark.parametrize("case", CASES)
    def test_yields_float64_per_weighting_or_per_weighting_and_class(
        self, name: str, case: str
    ) -> None:
        given = CASES[case]
        seen = set()
        for metric, values in EVALUATORS.pick(name)(given, weights(len(given))):
            assert metric.isidentifier()
            assert values.dtype == np.float64
            assert values.shape in {(9,), (9, len(given.classes))}
            assert not np.isinf(values).any()
            assert (metric, values.ndim) not in seen
            seen.add((metric, values.ndim))
        assert seen

    def test_shares_a_name_with_no_other(self, name: str) -> None:
        given = CASES["ordinary"]

        def names(kind: str) -> set[tuple[str, int]]:
            return {(m, v.ndim) for m, v in EVALUATORS.pick(kind)(given, weights(60))}

        for other in set(EVALUATORS.names()) - {name}:
            assert not names(name) & names(other)

    def test_gives_the_same_bits_again(self, name: str) -> None:
        given = CASES["ordinary"]
        first, again = (dict(EVALUATORS.pick(name)(given, weights(60))) for _ in range(2))
        for metric, values in first.items():
            np.testing.assert_array_equal(values, again[metric])

    def test_leaves_its_input_alone(self, name: str) -> None:
        given, weights_RN = CASES["ordinary"], weights(60)
        before = given.probabilities.copy(), given.labels.copy(), weights_RN.copy()
        list(EVALUATORS.pick(name)(given, weights_RN))
        for array, kept in zip(
            (given.probabilities, given.labels, weights_RN), before, strict=True
        ):
            np.testing.assert_array_equal(array, kept)

    def test_each_weighting_is_judged_on_its_own(self, name: str) -> None:
        given, weights_RN = CASES["ordinary"], weights(60)
        together = [values for _, values in EVALUATORS.pick(name)(given, weights_RN)]
        alone = [values for _, values in EVALUATORS.pick(name)(given, weights_RN[3:4])]
        for all_R, one_R in zip(together, alone, strict=True):
            np.testing.assert_allclose(all_R[3], one_R[0], rtol=1e-12)

    def test_the_order_of_images_does_not_matter(self, name: str) -> None:
        given, weights_RN = CASES["ordinary"], weights(60)
        order = np.random.default_rng(1).permutation(60)
        shuffled = Predictions(
            probabilities=given.probabilities[order],
            labels=given.labels[order],
            classes=given.classes,
            paths=given.paths,
            ids=given.ids,
        )
        straight = [values for _, values in EVALUATORS.pick(name)(given, weights_RN)]
        mixed = [v for _, v in EVALUATORS.pick(name)(shuffled, weights_RN[:, order])]
        for one, other in zip(straight, mixed, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-10)

    def test_certain_and_right_answers_are_the_best_there_are(self, name: str) -> None:
        labels_N = np.arange(24) % 8
        perfect = Predictions(
            probabilities=np.eye(8)[labels_N],
            labels=labels_N,
            classes=tuple(map(str, range(8))),
            paths=("",) * 24,
            ids=("",) * 24,
        )
        for metric, values in EVALUATORS.pick(name)(perfect, np.ones((1, 24), np.float32)):
            assert np.isin(values, (0.0, 1.0)).all(), metric

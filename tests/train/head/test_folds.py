"""Folds: who judges whom, samples in whole units, errors over units."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from foveal.core.errors import BadData, OutOfRange
from foveal.train.head.folds import Folds, standard_error


def thirds(labels: list[int], units: list[int] | None = None) -> Folds:
    """Folds by row number modulo 3."""
    rows = np.arange(len(labels))
    return Folds(
        labels=np.array(labels, dtype=np.int64),
        classes=max(labels) + 1,
        pairs=tuple(
            (np.flatnonzero(rows % 3 != fold), np.flatnonzero(rows % 3 == fold))
            for fold in range(3)
        ),
        units=rows if units is None else np.array(units, dtype=np.int64),
    )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"units": np.zeros(2, dtype=np.int64)}, "units"),
        ({"classes": 1}, "labels"),
        ({"labels": np.array([0, 1, -1])}, "labels"),
        ({"pairs": ()}, "pairs"),
        ({"pairs": ((np.array([0, 1]), np.array([1, 2])),)}, "one side of a pair"),
        ({"pairs": ((np.array([0, 1]), np.array([3])),)}, "row numbers"),
        ({"pairs": ((np.array([0, 1]), np.array([], dtype=np.int64)),)}, "both sides"),
        ({"pairs": ((np.array([0]), np.array([2])), (np.array([1]), np.array([2])))}, "once"),
    ],
)
def test_folds_that_cannot_judge_are_refused(change: dict[str, object], says: str) -> None:
    with pytest.raises(OutOfRange, match=says):
        replace(thirds([0, 1, 1]), **change)


def test_a_held_row_of_a_class_that_its_fit_side_never_saw_is_left_out() -> None:
    folds = thirds([0, 1, 0, 1, 0, 1, 2])  # class 2 only in row 6, held out by fold 0
    held = np.concatenate([held for _, held in folds.answerable()])
    assert sorted(held.tolist()) == [0, 1, 2, 3, 4, 5]


def test_one_image_a_class_leaves_nothing_to_judge_by() -> None:
    with pytest.raises(BadData, match="at least two"):
        thirds([0, 1, 2]).answerable()


def test_a_fold_whose_fit_side_has_one_class_is_left_out() -> None:
    pairs = ((np.array([0, 1]), np.array([2, 3])), (np.array([2, 3]), np.array([0, 1])))
    folds = replace(thirds([0, 0, 0, 1]), pairs=pairs)
    (kept,) = folds.answerable()
    assert kept[1].tolist() == [0, 1]


def test_a_sample_takes_whole_units_and_every_class_by_its_share() -> None:
    rng = np.random.default_rng(0)
    unit_N = np.repeat(np.arange(2000), 5)
    label_U = rng.choice(3, 2000, p=[0.6, 0.399, 0.001])
    label_U[:2] = 2
    folds = thirds(label_U[unit_N].tolist(), unit_N.tolist())
    rows = folds.sample(1000)
    assert abs(len(rows) - 1000) < 40
    np.testing.assert_array_equal(rows, folds.sample(1000))
    np.testing.assert_array_equal(rows, np.flatnonzero(np.isin(unit_N, unit_N[rows])))
    counts_K = np.bincount(folds.labels[rows])
    assert counts_K[0] / counts_K[1] == pytest.approx(0.6 / 0.399, rel=0.1)
    assert counts_K[2] >= 10  # two or three whole units of a class whose share is one image


def test_a_sample_of_no_fewer_than_there_are_is_all() -> None:
    assert thirds([0, 1, 0, 1, 1, 1, 1]).sample(7).tolist() == list(range(7))


def test_folds_among_some_rows_are_the_same_folds_renumbered() -> None:
    folds = thirds([0, 1, 0, 1, 0, 1, 0, 1, 0])
    few = folds.among(np.array([1, 2, 4, 6]))
    assert few.labels.tolist() == [1, 0, 0, 0]
    assert few.units.tolist() == [1, 2, 4, 6]
    assert [held.tolist() for _, held in few.pairs] == [[3], [0, 2], [1]]


def test_an_error_over_units_of_one_is_that_of_a_mean() -> None:
    values_M = np.random.default_rng(1).normal(size=50)
    found = standard_error(values_M, np.ones(50), np.arange(50))
    assert found == pytest.approx(values_M.std(ddof=1) / np.sqrt(50))


def test_copies_within_a_unit_do_not_make_a_number_surer() -> None:
    values_M = np.random.default_rng(2).normal(size=30)
    alone = standard_error(values_M, np.ones(30), np.arange(30))
    copied = standard_error(np.repeat(values_M, 4), np.ones(120), np.repeat(np.arange(30), 4))
    assert copied == pytest.approx(alone)


def test_one_unit_alone_counts_its_images_and_one_image_has_no_error() -> None:
    values_M = np.array([0.0, 1.0, 2.0])
    together = standard_error(values_M, np.ones(3), np.zeros(3, dtype=np.int64))
    assert together == pytest.approx(values_M.std(ddof=1) / np.sqrt(3))
    assert standard_error(np.array([3.0]), np.ones(1), np.array([0])) == 0.0

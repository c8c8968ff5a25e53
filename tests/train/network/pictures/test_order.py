"""The order of an epoch: permutations, balanced draws, and parts of ranks that fit together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foveal.core.errors import OutOfRange
from foveal.train.network.pictures.order import (
    LEFT_OUT,
    balanced_order,
    batches_of,
    epoch_order,
    steps_per_epoch,
)

SEEDS = st.integers(0, 2**63)


@given(n=st.integers(0, 300), seed=SEEDS, epoch=st.integers(0, 1000))
def test_an_order_is_a_permutation_and_the_same_each_time(n: int, seed: int, epoch: int) -> None:
    order = epoch_order(n, seed=seed, epoch=epoch)
    assert order.dtype == np.int64
    assert sorted(order.tolist()) == list(range(n))
    np.testing.assert_array_equal(order, epoch_order(n, seed=seed, epoch=epoch))


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    orders = {
        tuple(epoch_order(50, seed=seed, epoch=epoch)) for seed in range(4) for epoch in range(4)
    }
    assert len(orders) == 16


def test_every_place_is_as_likely_for_every_picture() -> None:
    counts = np.zeros((5, 5))
    for epoch in range(2000):
        counts[np.arange(5), epoch_order(5, seed=7, epoch=epoch)] += 1
    assert np.abs(counts / 2000 - 0.2).max() < 0.04  # four standard deviations are 0.036


def test_an_order_is_made_of_what_numpy_promises_to_keep() -> None:
    raw = np.random.PCG64(np.random.SeedSequence([3, 4])).random_raw(6).tolist()
    by_hand = sorted(range(6), key=lambda number: raw[number])
    assert epoch_order(6, seed=3, epoch=4).tolist() == by_hand


@given(
    labels=st.lists(st.integers(0, 6), max_size=60),
    seed=SEEDS,
    epoch=st.integers(0, 50),
)
def test_classes_are_drawn_as_often_as_each_other(labels: list[int], seed: int, epoch: int) -> None:
    labels_n = np.array(labels, np.int64)
    order = balanced_order(labels_n, seed=seed, epoch=epoch)
    assert len(order) == len(labels)
    if not labels:
        return
    drawn = np.bincount(labels_n[order], minlength=7)[np.unique(labels_n)]
    assert drawn.max() - drawn.min() <= 1
    for label in np.unique(labels_n):  # nobody again before everybody
        times = np.bincount(order, minlength=len(labels))[labels_n == label]
        assert times.max() - times.min() <= 1


def test_over_epochs_every_class_has_the_same_share_and_every_picture_its_turn() -> None:
    labels_n = np.array([0] * 12 + [1] * 3 + [2])
    draws = np.concatenate([balanced_order(labels_n, seed=0, epoch=e) for e in range(300)])
    shares = np.bincount(labels_n[draws]) / len(draws)
    np.testing.assert_allclose(shares, 1 / 3, atol=0.01)
    assert set(draws.tolist()) == set(range(16))


def test_a_balanced_order_is_the_same_each_time_other_in_each_epoch_and_mixed() -> None:
    labels_n = np.repeat([0, 1], [30, 10])
    first = balanced_order(labels_n, seed=1, epoch=0)
    np.testing.assert_array_equal(first, balanced_order(labels_n, seed=1, epoch=0))
    assert first.tolist() != balanced_order(labels_n, seed=1, epoch=1).tolist()
    assert 0 < labels_n[first][:20].sum() < 20


@given(
    n=st.integers(1, 200),
    each=st.integers(1, 20),
    ranks=st.integers(1, 5),
    whole=st.booleans(),
)
def test_ranks_side_by_side_are_the_batches_of_one_process(
    n: int, each: int, ranks: int, whole: bool
) -> None:
    order, batch = epoch_order(n, seed=0, epoch=0), each * ranks
    rows = batches_of(order, batch=batch, whole=whole)
    parts = [
        batches_of(order, batch=batch, rank=rank, ranks=ranks, whole=whole) for rank in range(ranks)
    ]
    assert rows.shape == (steps_per_epoch(n, batch=batch, whole=whole), batch)
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), rows)
    shown = rows.reshape(-1)
    np.testing.assert_array_equal(shown[:n], order[: shown.size])  # once each, then filled up
    assert n - shown.size <= (0 if whole else n / LEFT_OUT)
    assert shown.size - n < batch


def test_a_few_that_would_need_a_batch_of_their_own_are_left_out_of_the_epoch() -> None:
    assert steps_per_epoch(195, batch=32) == 6
    order = epoch_order(195, seed=0, epoch=0)
    rows = batches_of(order, batch=32)
    np.testing.assert_array_equal(rows.reshape(-1), order[:192])
    others = [set(epoch_order(195, seed=0, epoch=epoch)[192:].tolist()) for epoch in range(4)]
    assert len(set.union(*others)) > 3


@pytest.mark.parametrize(("n", "steps"), [(1, 1), (31, 1), (32, 1), (34, 1), (35, 2), (40, 2)])
def test_more_than_a_few_are_not_left_out_and_no_epoch_is_without_a_step(
    n: int, steps: int
) -> None:
    assert steps_per_epoch(n, batch=32) == steps


def test_a_last_batch_of_a_few_is_filled_up() -> None:
    order = epoch_order(35, seed=0, epoch=0)
    last = batches_of(order, batch=32)[1]
    assert last.tolist() == [*order[32:], *order[:29]]


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"batch": 0}, "batch"),
        ({"batch": 5, "ranks": 2}, "batch"),
        ({"batch": 4, "rank": 2, "ranks": 2}, "rank"),
        ({"batch": 4, "rank": -1, "ranks": 2}, "rank"),
    ],
)
def test_parts_that_cannot_be_are_refused(settings: dict[str, int], field: str) -> None:
    with pytest.raises(OutOfRange, match=f"{field} = "):
        batches_of(np.arange(9), **settings)


def test_nothing_to_train_on_is_refused() -> None:
    with pytest.raises(OutOfRange, match="at least one to train on"):
        batches_of(np.arange(0), batch=4)

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from foveal.data.balance import FREE, assign, contents_of, hash_order, whole_targets
from foveal.data.units import Units, join


def one_class_units(sizes: list[int]) -> tuple[Units, object]:
    group_N = np.repeat(np.arange(len(sizes)), sizes)
    units = join([f"{row:04d}" for row in range(len(group_N))], [*map(str, group_N)])
    return units, contents_of(units, np.arange(len(group_N)), np.zeros_like(group_N), 1)


def test_contents_count_images_and_the_labels_of_each_class():
    units = join(["a", "b", "c"], ["g", "g", None])
    contents = contents_of(units, np.array([0, 1, 1, 2]), np.array([0, 0, 2, 2]), 3)
    assert contents.sizes == [2, 1]
    assert contents.labels == [[(0, 2), (2, 1)], [(2, 1)]]
    assert contents.totals == [2, 0, 2]


@given(st.lists(st.integers(1, 30), min_size=1, max_size=60), st.floats(0.05, 0.95))
def test_a_bin_is_off_by_half_of_the_largest_unit_at_most(sizes, share):
    units, contents = one_class_units(sizes)
    n = sum(sizes)
    bins = assign(units, contents, [[(1 - share) * n], [share * n]], [1 - share, share], seed=0)
    held = sum(size for size, bin_ in zip(contents.sizes, bins, strict=True) if bin_ == 1)
    assert abs(held - share * n) <= max(sizes) / 2 + 1e-9


def test_large_groups_are_held_out_as_often_as_small_ones():
    sizes = [*range(1, 31)] * 10
    units, contents = one_class_units(sizes)
    n = sum(sizes)
    bins = np.array(assign(units, contents, [[0.8 * n], [0.2 * n]], [0.8, 0.2], seed=0))
    size_U = np.array(contents.sizes)
    assert 0.9 < size_U[bins == 1].mean() / size_U[bins == 0].mean() < 1.1


def test_a_fixed_unit_stays_and_the_others_make_up_for_it():
    units, contents = one_class_units([1] * 10)
    fixed = [1, 1, 1] + [FREE] * 7
    bins = assign(units, contents, [[5.0], [5.0]], [0.5, 0.5], seed=0, fixed_U=fixed)
    assert bins[:3] == [1, 1, 1]
    assert sum(bins) == 5


def test_equal_units_with_low_hashes_go_to_the_last_bin():
    units, contents = one_class_units([1] * 100)
    bins = assign(units, contents, [[80.0], [20.0]], [0.8, 0.2], seed=4)
    assert {unit for unit, bin_ in enumerate(bins) if bin_} == set(hash_order(units.ids, 4)[:20])


def test_units_without_labels_are_spread_evenly():
    units = join([str(n) for n in range(10)], [None] * 10)
    nothing = np.zeros(0, dtype=np.int64)
    bins = assign(
        units, contents_of(units, nothing, nothing, 1), [[0.0], [0.0]], [0.5, 0.5], seed=0
    )
    assert sorted(bins) == [0] * 5 + [1] * 5


@given(
    st.lists(st.integers(0, 50), min_size=1, max_size=40), st.floats(0.01, 0.99), st.integers(0, 3)
)
def test_whole_targets_are_each_share_rounded_and_right_in_sum(totals, share, seed):
    most = [max(total - 1, 0) for total in totals]
    targets = whole_targets(
        totals, [str(k) for k in range(len(totals))], share, most=most, seed=seed
    )
    exact = [min(share * total, cap) for total, cap in zip(totals, most, strict=True)]
    assert all(abs(t - e) < 1 for t, e in zip(targets, exact, strict=True))
    assert all(0 <= t <= cap for t, cap in zip(targets, most, strict=True))
    assert abs(sum(targets) - sum(exact)) <= 0.5 + 1e-6


def test_many_small_classes_hold_out_their_share_together():
    names = [str(k) for k in range(100)]
    assert sum(whole_targets([2] * 100, names, 0.2, most=[1] * 100, seed=0)) == 40


def test_hash_order_changes_with_the_seed_alone():
    names = [str(n) for n in range(50)]
    assert hash_order(names, 0) == hash_order(names, 0) != hash_order(names, 1)
    assert sorted(hash_order(names, 0)) == list(range(50))

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from foveal.core.errors import OutOfRange
from foveal.data.split import Split, folds, parts_by_prefix, prefixes, split
from foveal.data.units import join, units_of


@pytest.fixture(scope="session")
def images_of(make_manifest):
    """A manifest of (class, group, content) triples."""
    return lambda rows: make_manifest(
        [label for label, _, _ in rows],
        groups=[group for _, group, _ in rows],
        contents=[what for _, _, what in rows],
    )


def part_of(manifest, parts: Split) -> np.ndarray:
    """The part of every row, and that every row has exactly one."""
    rows = np.concatenate([parts.train, parts.val, parts.test])
    assert sorted(rows.tolist()) == list(range(len(manifest)))
    out = np.empty(len(manifest), dtype=object)
    for name in ("train", "val", "test"):
        out[getattr(parts, name)] = name
    return out


def share_out(manifest, parts: Split) -> np.ndarray:
    labels_N = manifest.label_indices
    held = np.bincount(labels_N[parts.test], minlength=len(manifest.classes))
    return held / np.bincount(labels_N, minlength=len(manifest.classes))


IMAGES = st.lists(
    st.tuples(
        st.sampled_from("aaaaabbc"),  # class
        st.none() | st.integers(0, 8).map(str),  # group
        st.integers(0, 200),  # content
    ),
    min_size=1,
    max_size=80,
)


@given(images=IMAGES, share=st.floats(0, 0.99), seed=st.integers(0, 3), random=st.randoms())
@settings(deadline=None, max_examples=150)
def test_splits_are_whole_and_depend_on_the_pictures_alone(images_of, images, share, seed, random):
    manifest = images_of(images)
    parts = split(manifest, test_share=share, seed=seed)
    part_N = part_of(manifest, parts)
    unit_N = units_of(manifest).of_N
    for unit in set(unit_N.tolist()):
        assert len(set(part_N[unit_N == unit])) == 1
    for label in manifest.classes:
        assert (part_N[[name == label for name, _, _ in images]] == "train").any()
    order = list(range(len(images)))
    random.shuffle(order)
    again = images_of([images[n] for n in order])
    assert part_of(again, split(again, test_share=share, seed=seed)).tolist() == (
        part_N[order].tolist()
    )


@given(
    counts=st.lists(st.integers(1, 120), min_size=1, max_size=8),
    share=st.floats(0.05, 0.95),
    seed=st.integers(0, 5),
)
@settings(deadline=None, max_examples=80)
def test_every_class_is_held_out_by_its_share_up_to_one_image(images_of, counts, share, seed):
    labels = [str(k) for k, count in enumerate(counts) for _ in range(count)]
    manifest = images_of([(label, None, n) for n, label in enumerate(labels)])
    out_K = share_out(manifest, split(manifest, test_share=share, seed=seed))
    count_K = np.bincount(manifest.label_indices)
    assert (np.abs(out_K - share) * count_K < 1 + 1e-9).all()


@given(
    sizes=st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 12)), min_size=1, max_size=60)
)
@settings(deadline=None, max_examples=60)
def test_every_class_of_groups_is_held_out_by_its_share_up_to_one_group(images_of, sizes):
    rows = [(c, str(g)) for g, (c, size) in enumerate(sizes) for _ in range(size)]
    manifest = images_of([(c, g, n) for n, (c, g) in enumerate(rows)])
    held = share_out(manifest, split(manifest))
    for k, label in enumerate(manifest.classes):
        mine = [size for c, size in sizes if c == label]
        assert abs(held[k] - 0.2) * sum(mine) <= max(mine) + 1


@given(first=IMAGES, more=IMAGES)
@settings(deadline=None, max_examples=80)
def test_what_was_kept_stays_where_it_was_when_pictures_are_added(images_of, first, more):
    before = images_of(first)
    kept = parts_by_prefix(before, split(before))
    after = images_of(first + more)
    parts = parts_by_prefix(after, split(after, kept=kept))
    units = units_of(after)
    kept_N = [kept.get(prefix) for prefix in prefixes(after)]
    for name, row in zip(prefixes(after), range(len(after)), strict=True):
        mates = {kept_N[n] for n in np.flatnonzero(units.of_N == units.of_N[row])} - {None}
        if mates == {"test"} or mates == {"train"}:
            assert {parts[name]} == mates
        elif mates:  # a new picture tied what was held out to what was trained on
            assert parts[name] == "train"


def test_shares_come_back_when_pictures_are_added(images_of):
    rng = np.random.default_rng(0)
    labels = rng.choice(list("aabbbc"), size=2000).tolist()
    kept = {}
    for n in (50, 60, 100, 400, 1000, 2000):
        manifest = images_of([(label, None, row) for row, label in enumerate(labels[:n])])
        parts = split(manifest, kept=kept)
        now = parts_by_prefix(manifest, parts)
        assert all(now[name] == part for name, part in kept.items())
        kept = now
        images_K = np.bincount(manifest.label_indices)
        assert (np.abs(share_out(manifest, parts) - 0.2) <= np.maximum(0.02, 1 / images_K)).all()


def test_without_memory_a_few_more_pictures_move_a_few_and_not_most(images_of):
    labels = ["a", "b", "b"] * 200
    before = images_of([(label, None, n) for n, label in enumerate(labels[:540])])
    after = images_of([(label, None, n) for n, label in enumerate(labels)])
    old, new = (parts_by_prefix(m, split(m)) for m in (before, after))
    assert sum(new[name] != part for name, part in old.items()) <= 25


def test_the_seed_chooses_another_split_of_the_same_shares(images_of):
    manifest = images_of([(label, None, n) for n, label in enumerate("ab" * 100)])
    one, other = split(manifest, seed=0), split(manifest, seed=1)
    assert one.test.tolist() != other.test.tolist()
    assert len(one.test) == len(other.test) == 40


def test_the_names_of_files_do_not_matter(make_manifest):
    manifest = make_manifest(["a", "b"] * 30)
    renamed = manifest.with_table(manifest.table.with_columns(path=manifest.table["path"] + "x"))
    assert split(manifest).test.tolist() == split(renamed).test.tolist()


def test_a_class_of_one_unit_trains_and_so_does_one_class_folder_without_pictures(images_of):
    manifest = images_of([("a", "g", 0), ("a", "g", 1), ("b", None, 2), ("b", None, 3)])
    parts = split(manifest, test_share=0.9)
    assert {0, 1} <= set(parts.train.tolist())
    assert len(parts.test) == 1


def test_the_smaller_of_two_groups_trains_where_the_share_would_take_both(images_of):
    rows = [("a", "g")] * 5 + [("a", "h")] * 6 + [("b", None)] * 20
    manifest = images_of([(c, g, n) for n, (c, g) in enumerate(rows)])
    train = split(manifest, test_share=0.95).train
    assert set(range(5)) <= set(train.tolist())
    assert not set(range(5, 11)) & set(train.tolist())


def test_no_class_is_held_out_whole_however_groups_tie_classes_together(images_of):
    rows = [("a", "g"), ("b", "g"), ("a", "h"), ("b", "i"), ("b", "j")]
    manifest = images_of([(c, g, n) for n, (c, g) in enumerate(rows)])
    for seed in range(20):
        trained = split(manifest, test_share=0.8, seed=seed).train
        assert set(manifest.label_indices[trained].tolist()) == {0, 1}


def test_images_of_several_labels_are_stratified_by_each(make_manifest):
    import polars as pl

    manifest = make_manifest(["a", "b", "c"] * 40)
    both = [["a", "b"] if n % 2 else ["c"] for n in range(120)]
    manifest = manifest.with_table(manifest.table.with_columns(pl.Series("labels", both)))
    assert sorted(n % 2 for n in split(manifest).test.tolist()) == [0] * 12 + [1] * 12


def test_nothing_is_held_out_of_a_share_of_nothing(images_of):
    manifest = images_of([("a", None, 0), ("b", None, 1)] * 5)
    kept = dict.fromkeys(prefixes(manifest), "test")
    assert len(split(manifest, test_share=0, kept=kept).train) == 10


def test_given_parts_are_respected_and_a_row_of_no_part_trains(make_manifest):
    given = ["test", "val", None, "train", "val"]
    manifest = make_manifest(list("ababa"), parts=given)
    kept = dict.fromkeys(prefixes(manifest), "train")
    parts = split(manifest, test_share=0.5, kept=kept)
    assert part_of(manifest, parts).tolist() == ["test", "val", "train", "train", "val"]
    assert parts.test.dtype == np.int64


def test_a_part_that_nobody_gave_stays_empty(make_manifest):
    parts = split(make_manifest(list("abab"), parts=["train", "train", "val", "val"]))
    assert len(parts.test) == 0


def test_given_parts_never_score_a_picture_that_was_learnt_from(make_manifest):
    given = ["train", "test", "test", "val", "val", "test"]
    same = [1, 1, 2, 2, 3, 4]
    manifest = make_manifest(list("aaaaaa"), parts=given, contents=same)
    assert part_of(manifest, split(manifest)).tolist() == [
        "train",
        "train",
        "val",
        "val",
        "val",
        "test",
    ]


def test_groups_that_the_source_tore_are_left_as_they_are(make_manifest):
    manifest = make_manifest(list("aab"), parts=["train", "test", "train"], groups=["g", "g", "h"])
    assert split(manifest).test.tolist() == [1]


@pytest.mark.parametrize("share", [-0.1, 1.0, 20, float("nan")])
def test_a_share_that_is_none_is_refused(make_manifest, share):
    with pytest.raises(OutOfRange, match="test_share"):
        split(make_manifest(["a", "b"]), test_share=share)


@given(images=IMAGES, k=st.integers(2, 6), seed=st.integers(0, 3))
@settings(deadline=None, max_examples=100)
def test_folds_keep_units_whole_and_none_is_empty(images_of, images, k, seed):
    manifest = images_of(images)
    units = units_of(manifest)
    if len(units) < k:
        with pytest.raises(OutOfRange, match="folds"):
            folds(manifest.label_indices, units, k=k, seed=seed)
        return
    fold_N = folds(manifest.label_indices, units, k=k, seed=seed)
    assert set(fold_N.tolist()) == set(range(k))
    for unit in range(len(units)):
        assert len(set(fold_N[units.of_N == unit].tolist())) == 1


@given(counts=st.lists(st.integers(1, 40), min_size=1, max_size=8), k=st.integers(2, 7))
@settings(deadline=None, max_examples=60)
def test_single_images_are_folded_evenly_by_class_and_in_all(counts, k):
    labels_N = np.repeat(np.arange(len(counts)), counts)
    units = join([f"{n:03d}" for n in range(len(labels_N))], [None] * len(labels_N))
    if len(units) < k:
        return
    fold_N = folds(labels_N, units, k=k, seed=0)
    for label, count in enumerate(counts):
        held = np.bincount(fold_N[labels_N == label], minlength=k)
        assert held.max() - held.min() <= 1
        assert (held > 0).sum() == min(count, k)
    sizes = np.bincount(fold_N, minlength=k)
    assert sizes.max() - sizes.min() <= len(counts)


def test_folds_are_as_even_as_those_of_scikit_learn():
    ours, theirs = [], []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        group_N = np.repeat(np.arange(100), rng.integers(1, 15, size=100))
        class_of = rng.dirichlet(np.ones(5) / 2, size=100)
        label_N = np.array([rng.choice(5, p=class_of[g]) for g in group_N])
        units = join([f"{n:04d}" for n in range(len(group_N))], [*map(str, group_N)])
        ours.append(unevenness(label_N, folds(label_N, units, k=5, seed=0)))
        oracle = StratifiedGroupKFold(5, shuffle=True, random_state=seed)
        fold_N = np.zeros(len(label_N), dtype=np.int64)
        for fold, (_, held) in enumerate(oracle.split(label_N, label_N, group_N)):
            fold_N[held] = fold
        theirs.append(unevenness(label_N, fold_N))
    assert np.mean(ours) <= 1.1 * np.mean(theirs)


def unevenness(label_N: np.ndarray, fold_N: np.ndarray) -> float:
    """Root mean square deviation of class shares over the folds."""
    counts_FK = np.zeros((5, 5))
    np.add.at(counts_FK, (fold_N, label_N), 1)
    return float(np.sqrt(((counts_FK / counts_FK.sum(axis=0) - 0.2) ** 2).mean()))


def test_a_hundred_thousand_images_are_folded_in_seconds():
    import time

    rng = np.random.default_rng(0)
    labels_N = rng.integers(0, 1000, size=100_000)
    units = join([f"{n:016x}" for n in rng.permutation(100_000)], [None] * 100_000)
    start = time.process_time()
    folds(labels_N, units, k=5, seed=0)
    assert time.process_time() - start < 10

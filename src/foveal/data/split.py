"""`split` and `folds`: stratified, never tearing a unit, and the same for the same pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foveal.core.errors import OutOfRange
from foveal.data.balance import FREE, Contents, assign, contents_of, whole_targets
from foveal.data.manifest import PARTS, Manifest, Part
from foveal.data.units import Units, units_of

PREFIX_DIGITS = 16  # of SHA-256: in a million images two agree with a chance of 1 in 37 million
TEST = PARTS.index("test")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Split:
    """Row numbers of each part, int64, ascending; together all rows, none twice."""

    train: NDArray[np.int64]
    val: NDArray[np.int64]
    test: NDArray[np.int64]


def split(
    manifest: Manifest,
    *,
    test_share: float = 0.2,
    seed: int = 0,
    kept: Mapping[str, Part] | None = None,
) -> Split:
    """Return which rows train, validate and test.

    Parts that the source gives are respected: a row of no part trains, a part nobody gave stays
    empty, ``test_share`` and ``kept`` are not asked. One thing is stronger: pictures of the same
    bytes all go where the most is learnt from them (train before val before test), since a test
    on a picture that was trained on measures nothing. Groups that the source itself tore are told
    by the reader, not mended.

    Otherwise ``test_share`` of the images is held out by class, in whole units, in an order that
    only the contents and the seed decide. A class of one unit trains, and no class is held out
    whole. Images known to ``kept`` stay where they were, however the shares came out; the others
    are assigned so that the shares come back. A unit of which some images trained before and
    others were held out (a new picture may join two groups) trains from now on.

    Args:
        manifest: scanned.
        test_share: of the images, in [0, 1); 0 trains on everything, whatever was kept.
        seed: another seed, another split.
        kept: ``prefixes`` of images -> part they were in before; val counts as train, since
            something was learnt from it.

    Raises:
        OutOfRange: if ``test_share`` is not a share.
        FovealError: if the manifest was not scanned.
    """
    if not 0 <= test_share < 1:
        raise OutOfRange("test_share", test_share, "a share from 0 to less than 1")
    given = manifest.table["part"].to_list()
    if any(part is not None for part in given):
        units = units_of(manifest, by_group=False)
        return _split(_most_learnt(units, [part or "train" for part in given])[units.of_N])
    if test_share == 0:
        return _split(np.zeros(len(manifest), dtype=np.int64))
    units = units_of(manifest)
    before = _most_learnt(units, [(kept or {}).get(prefix) for prefix in prefixes(manifest)])
    fixed_U = np.where(before == FREE, FREE, before == TEST)
    out_U = _hold_out(manifest, units, test_share, seed, fixed_U)
    return _split(np.where(out_U, TEST, 0)[units.of_N])


def prefixes(manifest: Manifest) -> list[str]:
    """Return the first ``PREFIX_DIGITS`` digits of every image's hash: its name across runs."""
    short: list[str] = manifest.table["sha256"].str.head(PREFIX_DIGITS).to_list()
    return short


def parts_by_prefix(manifest: Manifest, parts: Split) -> dict[str, Part]:
    """Return the part of every image by its prefix: what a ledger or a bundle remembers."""
    names = prefixes(manifest)
    return {names[row]: part for part in PARTS for row in getattr(parts, part).tolist()}


def folds(labels_N: NDArray[np.int64], units: Units, *, k: int, seed: int) -> NDArray[np.int64]:
    """Return the fold of every image (N,) int64 in [0, k): stratified, in whole units.

    A class of fewer units than ``k`` appears in as many folds as it has units; training on the
    other folds then may lack it, which is for the caller to bear.

    Args:
        labels_N: class of every image, from 0.
        units: of the same N images.
        k: number of folds, at least 2.
        seed: another seed, other folds.

    Raises:
        OutOfRange: if there are fewer units than folds, so that one would be empty.
    """
    if not 2 <= k <= len(units):
        raise OutOfRange("k", k, f"2 or more folds, and at most one for each of {len(units)} units")
    classes = int(labels_N.max()) + 1
    contents = contents_of(units, np.arange(len(labels_N)), labels_N, classes)
    targets_K = [total / k for total in contents.totals]
    fold_U = assign(units, contents, [targets_K] * k, [1 / k] * k, seed=seed)
    return np.array(fold_U, dtype=np.int64)[units.of_N]


def _contents(manifest: Manifest, units: Units) -> Contents:
    index = {name: k for k, name in enumerate(manifest.classes)}
    labels = manifest.table["labels"].to_list()
    pairs = [(row, index[name]) for row, names in enumerate(labels) for name in names]
    row_P, class_P = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return contents_of(units, row_P, class_P, len(index))


def _most_learnt(units: Units, parts: Sequence[Part | None]) -> NDArray[np.int64]:
    """Return the first in ``PARTS`` of each unit's known parts (U), ``FREE`` where none is."""
    unknown = len(PARTS)
    rank = {part: number for number, part in enumerate(PARTS)}
    rank_N = np.array([unknown if part is None else rank[part] for part in parts], dtype=np.int64)
    part_U = np.full(len(units), unknown, dtype=np.int64)
    np.minimum.at(part_U, units.of_N, rank_N)
    return np.where(part_U == unknown, FREE, part_U)


def _hold_out(
    manifest: Manifest, units: Units, test_share: float, seed: int, fixed_U: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Return which units are held out (U), where those of ``fixed_U`` are settled: 0 in, 1 out."""
    contents = _contents(manifest, units)
    units_K = Counter(k for pairs in contents.labels for k, _ in pairs)
    most = [total - 1 if units_K[k] > 1 else 0 for k, total in enumerate(contents.totals)]
    test_K = whole_targets(contents.totals, manifest.classes, test_share, most=most, seed=seed)
    train_K = [total - test for total, test in zip(contents.totals, test_K, strict=True)]
    out_U = assign(
        units,
        contents,
        [train_K, test_K],
        [1 - test_share, test_share],
        seed=seed,
        fixed_U=fixed_U.tolist(),
    )
    trained = {k for unit, out in enumerate(out_U) if not out for k, _ in contents.labels[unit]}
    free = [unit for unit in np.flatnonzero(fixed_U == FREE).tolist() if out_U[unit]]
    for unit in sorted(free, key=contents.sizes.__getitem__):  # ids are sorted: no tie is open
        if any(k not in trained for k, _ in contents.labels[unit]):
            out_U[unit] = 0
            trained.update(k for k, _ in contents.labels[unit])
    return np.array(out_U, dtype=bool)


def _split(part_N: NDArray[np.int64]) -> Split:
    return Split(**{part: np.flatnonzero(part_N == n) for n, part in enumerate(PARTS)})

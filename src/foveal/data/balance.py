"""`assign`: units into bins so that every class is spread over them as it should be.

Splits and folds are both made here. The order in which units come is a hash of the seed and
of what is in them, so a result depends on the pictures and the seed alone.
"""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from foveal.data.units import Units

FREE = -1  # a unit that is not assigned yet


@dataclass(frozen=True, slots=True, eq=False)
class Contents:
    """What U units hold: their sizes, and how many labels of each class."""

    sizes: list[int]  # U
    labels: list[list[tuple[int, int]]]  # U lists of (class, number of labels), by class
    totals: list[int]  # K


def contents_of(
    units: Units, row_P: NDArray[np.int64], class_P: NDArray[np.int64], classes: int
) -> Contents:
    """Return what units hold, from P pairs of a row and one of its classes in [0, classes).

    An ordinary dataset has one pair per row; with several labels a row has several.
    """
    cell_Q, number_Q = np.unique(units.of_N[row_P] * classes + class_P, return_counts=True)
    labels: list[list[tuple[int, int]]] = [[] for _ in units.ids]
    for cell, number in zip(cell_Q.tolist(), number_Q.tolist(), strict=True):
        labels[cell // classes].append((cell % classes, number))
    return Contents(
        sizes=np.bincount(units.of_N, minlength=len(units)).tolist(),
        labels=labels,
        totals=np.bincount(class_P, minlength=classes).tolist(),
    )


def assign(
    units: Units,
    contents: Contents,
    targets_BK: Sequence[Sequence[float]],
    shares_B: Sequence[float],
    *,
    seed: int,
    fixed_U: Sequence[int] | None = None,
) -> list[int]:
    """Return the bin of every unit (U), large units first, each where it is wanted most.

    A unit goes where Pearson's chi-squared between the labels that the bins hold and those that
    they should hold grows least: deviations are squared, counted by class and divided by what is
    expected. That division lets a small bin have its part of the large units too; plain squared
    deviations would fill a test part with small groups alone. Equals are settled by the number of
    images, then by the first bin. No bin is off by more than half of the largest unit of a class,
    as long as units are of one class each.

    Units of the same contents could change places without any bin noticing. Of those the last bin
    gets the lowest hashes, the first the highest: a few more images then move a few, not most.

    Args:
        units: their ids settle the order among units of one size.
        contents: what they hold.
        targets_BK: labels of each class that each bin should hold.
        shares_B: share of all images that each bin should hold, each above 0.
        seed: another seed, another order.
        fixed_U: bins that are settled already, ``FREE`` where not.
    """
    lack_BK = [list(target_K) for target_K in targets_BK]
    lack_B = [share * sum(contents.sizes) for share in shares_B]
    bins = list(fixed_U) if fixed_U is not None else [FREE] * len(units)
    expected_K = [max(total, 1) for total in contents.totals]

    def put(unit: int, bin_: int) -> None:
        bins[unit] = bin_
        lack_B[bin_] -= contents.sizes[unit]
        for k, number in contents.labels[unit]:
            lack_BK[bin_][k] -= number

    def cost(unit: int, bin_: int) -> tuple[float, float]:
        lack_K, growth = lack_BK[bin_], 0.0
        for k, number in contents.labels[unit]:
            growth += number * (number - 2 * lack_K[k]) / expected_K[k]
        return growth / shares_B[bin_], -lack_B[bin_] / shares_B[bin_]

    for unit, bin_ in enumerate(bins):
        if bin_ != FREE:
            put(unit, bin_)
    free = [unit for unit in hash_order(units.ids, seed) if bins[unit] == FREE]
    free.sort(key=contents.sizes.__getitem__, reverse=True)  # stable: equals stay in hash order
    for unit in free:
        put(unit, min(range(len(lack_B)), key=partial(cost, unit)))
    _lowest_last(free, contents, bins)
    return bins


def _lowest_last(units: Sequence[int], contents: Contents, bins: list[int]) -> None:
    """Exchange the bins of ``units``, given in hash order, among those of the same contents."""
    alike: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for unit in units:
        alike[contents.sizes[unit], *contents.labels[unit]].append(unit)
    for exchangeable in alike.values():
        taken = sorted((bins[unit] for unit in exchangeable), reverse=True)
        for unit, bin_ in zip(exchangeable, taken, strict=True):
            bins[unit] = bin_


def whole_targets(
    totals: Sequence[int], names: Sequence[str], share: float, *, most: Sequence[int], seed: int
) -> list[int]:
    """Return how many images of each class make up ``share`` of them: whole, and right in sum.

    Every class gets its share rounded down; what is then missing of the whole goes, one each, to
    the classes that lost most by rounding. So 100 classes of two images hold out 40, not none.

    Args:
        totals: images of each class (K).
        names: of the classes; they settle equals, by a hash with the seed.
        share: in [0, 1].
        most: the most that each class may give (K).
        seed: another seed, another choice among equals.

    >>> whole_targets([8, 3, 1], ["a", "b", "c"], 0.25, most=[7, 2, 0], seed=0)
    [2, 1, 0]
    """
    exact = [min(share * total, cap) for total, cap in zip(totals, most, strict=True)]
    targets = [math.floor(value + 1e-9) for value in exact]
    missing = round(sum(exact)) - sum(targets)
    order = hash_order(names, seed)
    order.sort(key=lambda k: targets[k] - exact[k])
    for k in [k for k in order if targets[k] < most[k] and exact[k] > targets[k]][:missing]:
        targets[k] += 1
    return targets


def hash_order(names: Sequence[str], seed: int) -> list[int]:
    """Return the numbers of ``names`` in an order that only the seed and the names decide."""
    keys = [hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=16).digest() for name in names]
    return sorted(range(len(names)), key=keys.__getitem__)

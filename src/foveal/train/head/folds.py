"""`Folds`: labelled images, which of them judge which, and which belong together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foveal.core.errors import BadData, OutOfRange

Rows = NDArray[np.int64]
Pairs = Sequence[tuple[Rows, Rows]]  # (rows to fit on, rows held out)

_LEAST = 3  # units of a class that a sample keeps, so that folds can still share them


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Folds:
    """N labelled images and how candidates are judged on them.

    Raises:
        OutOfRange: if lengths disagree, a label is no class, a row is no image, is on both
            sides of a pair, or is held out by two.
    """

    labels: NDArray[np.int64]  # (N,), in [0, classes)
    classes: int  # K
    pairs: tuple[tuple[Rows, Rows], ...]  # of k folds, or the one of a given validation part
    units: NDArray[np.int64]  # (N,): images with one number (a group) vary together

    def __post_init__(self) -> None:
        """Refuse what would judge by the images that were learnt from."""
        count = len(self.labels)
        if len(self.units) != count:
            raise OutOfRange("units", len(self.units), f"{count} numbers, one for each label")
        if count and not (self.labels.min() >= 0 and self.labels.max() < self.classes):
            raise OutOfRange("labels", int(self.labels.max()), f"classes in [0, {self.classes})")
        if not self.pairs:
            raise OutOfRange("pairs", [], "at least one pair of rows to fit on and rows held out")
        for fit, held in self.pairs:
            rows = np.concatenate([fit, held])
            if not len(fit) or not len(held):
                raise OutOfRange("pairs", (len(fit), len(held)), "images on both sides")
            if rows.min() < 0 or rows.max() >= count:
                raise OutOfRange("pairs", int(rows.max()), f"row numbers in [0, {count})")
            if both := np.intersect1d(fit, held).tolist():
                raise OutOfRange("pairs", both[0], "a row on one side of a pair only")
        held = np.concatenate([held for _, held in self.pairs])
        if len(np.unique(held)) != len(held):
            raise OutOfRange("pairs", "a row twice", "each row held out no more than once")

    @property
    def fitted(self) -> Rows:
        """Rows that something is fitted on, sorted: what may be standardised by."""
        return np.unique(np.concatenate([fit for fit, _ in self.pairs]))

    @property
    def used(self) -> Rows:
        """Rows on either side of any pair, sorted."""
        return np.unique(np.concatenate([np.concatenate(pair) for pair in self.pairs]))

    def answerable(self) -> tuple[tuple[Rows, Rows], ...]:
        """Return the pairs, each held row left out whose class its fit side never saw.

        No candidate can know such a class, so those rows tell nothing about which is better;
        a head that is fitted on all images will have seen it.

        Raises:
            BadData: if that leaves no row at all.
        """
        kept = []
        for fit, held in self.pairs:
            seen = np.unique(self.labels[fit])
            if len(seen) > 1:
                kept.append((fit, held[np.isin(self.labels[held], seen)]))
        kept = [(fit, held) for fit, held in kept if len(held)]
        if not kept:
            raise BadData(
                "No class has images both to learn from and to be judged by.",
                hint="Add images: every class needs at least two, from different groups.",
            )
        return tuple(kept)

    def sample(self, count: int) -> Rows:
        """Return about ``count`` rows, sorted: whole units, every class by its share.

        At least three units of a class are kept, where there are so many. The same images give
        the same sample.
        """
        order = np.random.default_rng(0).permutation(len(self.labels))
        first_U, unit_N = np.unique(self.units, return_index=True, return_inverse=True)[1:]
        size_U = np.bincount(unit_N)
        taken_U = np.zeros(len(first_U), dtype=bool)
        label_U = self.labels[first_U]
        units = unit_N[order]
        units = units[np.sort(np.unique(units, return_index=True)[1])]  # shuffled, each once
        for label, images in enumerate(np.bincount(label_U, size_U, self.classes)):
            mine = units[label_U[units] == label]
            quota = round(count * images / len(self.labels))
            before = np.cumsum(size_U[mine]) - size_U[mine]
            taken_U[mine[before < quota]] = True
            taken_U[mine[:_LEAST]] = True
        return np.flatnonzero(taken_U[unit_N])

    def among(self, rows: Rows) -> Folds:
        """Return the folds of these rows alone, numbered in their order."""
        number_N = np.full(len(self.labels), -1, dtype=np.int64)
        number_N[rows] = np.arange(len(rows))
        sides = [(number_N[fit], number_N[held]) for fit, held in self.pairs]
        pairs = [(fit[fit >= 0], held[held >= 0]) for fit, held in sides]
        return Folds(
            labels=self.labels[rows],
            classes=self.classes,
            pairs=tuple((fit, held) for fit, held in pairs if len(fit) and len(held)),
            units=self.units[rows],
        )


def standard_error(
    values_M: NDArray[np.float64], weights_M: NDArray[np.float64], units_M: NDArray[np.int64]
) -> float:
    """Return the standard error of the weighted mean of values that vary by whole units.

    Where all are of one unit there is nothing else to go by: each then counts as its own.

    Source:
        the linearised variance of a ratio over clusters: Cochran, "Sampling Techniques",
        3rd edition 1977, section 9A.1 (units of unequal size).

    >>> one_each = standard_error(np.array([0.0, 1.0]), np.ones(2), np.array([0, 1]))
    >>> round(one_each, 3)
    0.5
    """
    total = weights_M.sum()
    off_M = weights_M * (values_M - (values_M @ weights_M) / total)
    unit_M = np.unique(units_M, return_inverse=True)[1]
    if unit_M.max() == 0:
        unit_M = np.arange(len(values_M))
    count = int(unit_M.max()) + 1
    if count < 2:
        return 0.0
    off_U = np.bincount(unit_M, off_M)
    return float(np.sqrt(off_U @ off_U * count / (count - 1)) / total)

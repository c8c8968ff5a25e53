"""Which pictures an epoch shows, in which order, and which of them a step on a rank takes.

Pure functions of the seed and the epoch: nothing of an order is ever saved, and a run that goes
on from step 1,234 has the very batches it would have had. They are made of NumPy's bit
generators, whose numbers are promised to stay the same; those of ``Generator.permutation`` are
not (NEP 19), and a checkpoint may outlive a version of NumPy.

**Every batch is full**, whatever the number of pictures: BatchNorm never sees one picture alone, no
update rests on a handful, every rank has the same number of steps, and shapes never change. What
does not fill a last batch is left out of the epoch if it is few of the pictures, at most a
sixteenth, others each time: a step for three pictures takes as long as any other. If it is more,
the last batch is filled up from the beginning of the same order, and some are shown twice.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from foveal.core.errors import OutOfRange

Places = NDArray[np.int64]

LEFT_OUT = 16  # at most one in so many pictures is left out of an epoch


def epoch_order(n: int, *, seed: int, epoch: int) -> Places:
    """Return the numbers 0 to n - 1, shuffled: (n,).

    >>> sorted(epoch_order(5, seed=0, epoch=3).tolist())
    [0, 1, 2, 3, 4]
    """
    return _shuffled(n, _bits(seed, epoch))


def balanced_order(labels_n: NDArray[np.int64], *, seed: int, epoch: int) -> Places:
    """Return n picture numbers in which every class that occurs is drawn as often: (n,).

    Each of K classes has ⌊n/K⌋ places, or one more where n does not divide: which classes that
    is changes from epoch to epoch. Within a class no picture comes again before every other one
    has come; of a class with more pictures than places, each epoch shows others.

    >>> labels = np.array([0, 0, 0, 0, 0, 1])
    >>> np.bincount(labels[balanced_order(labels, seed=0, epoch=0)]).tolist()
    [3, 3]
    """
    bits = _bits(seed, epoch)
    members = [np.flatnonzero(labels_n == label) for label in np.unique(labels_n)]
    each, more = divmod(len(labels_n), max(len(members), 1))
    lucky = set(_shuffled(len(members), bits)[:more].tolist())
    drawn = [
        np.resize(rows_m[_shuffled(len(rows_m), bits)], each + (number in lucky))
        for number, rows_m in enumerate(members)
    ]
    order_n = np.concatenate([*drawn, np.empty(0, np.int64)])
    return order_n[_shuffled(len(order_n), bits)]


def steps_per_epoch(n: int, *, batch: int, whole: bool = False) -> int:
    """Return how many steps show n pictures: at least one, if there are any.

    Args:
        n: pictures.
        batch: pictures a step.
        whole: leave out none.

    >>> steps_per_epoch(100, batch=32), steps_per_epoch(100, batch=32, whole=True)
    (3, 4)
    """
    steps, rest = divmod(n, batch)
    fill = rest > 0 if whole else rest * LEFT_OUT > n
    return steps + fill


def batches_of(
    order_n: Places, *, batch: int, rank: int = 0, ranks: int = 1, whole: bool = False
) -> Places:
    """Return what a rank takes of an epoch's order: (S, batch / ranks), a row for each step.

    The parts of all ranks, one behind the other, are the batch that a single process would take.

    >>> batches_of(np.arange(5), batch=4).tolist()
    [[0, 1, 2, 3], [4, 0, 1, 2]]
    >>> batches_of(np.arange(5), batch=4, rank=1, ranks=2).tolist()
    [[2, 3], [1, 2]]

    Raises:
        OutOfRange: if there is nothing to take, or the ranks cannot have equal parts.
    """
    if not len(order_n):
        raise OutOfRange("pictures", 0, "at least one to train on")
    if not 0 <= rank < ranks:
        raise OutOfRange("rank", rank, f"0 to {ranks - 1}, of {ranks} ranks")
    if batch < 1 or batch % ranks:
        raise OutOfRange("batch", batch, f"a multiple of the {ranks} ranks, which share it equally")
    steps = steps_per_epoch(len(order_n), batch=batch, whole=whole)
    return np.resize(order_n, (steps, ranks, batch // ranks))[:, rank]


def _bits(seed: int, epoch: int) -> np.random.PCG64:
    return np.random.PCG64(np.random.SeedSequence([seed, epoch]))


def _shuffled(n: int, bits: np.random.PCG64) -> Places:
    """Return 0 to n - 1 by the size of random numbers of 64 bits each: ties do not happen."""
    return np.argsort(bits.random_raw(n), kind="stable").astype(np.int64, copy=False)

"""`Trial`: what one head over one set of blocks answers to the images it was not fitted on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foveal.train.head.class_weights import ClassWeights
from foveal.train.head.classes import image_weights
from foveal.train.head.coordinates import cholesky_rows
from foveal.train.head.folds import Folds, Rows, standard_error
from foveal.train.head.heads import HEADS
from foveal.train.head.standard import Standard
from foveal.train.head.threads import own_threads

Told = Callable[[int], None]  # hears how many fits are done, or need not be done any more

_RISES = 2  # strengths in a row that were worse than the best before them: enough of a path
_SHORT = 3  # strengths that are all tried, fold after fold: one fold in memory at a time


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trial:
    """One candidate, at its best strength."""

    head: str
    blocks: tuple[str, ...]
    curve: tuple[tuple[float, float], ...]  # (strength, log loss) of all strengths tried
    best: int  # which of them has the least log loss
    rows: Rows  # (M,): held out, of a class that the fit side knew
    labels: NDArray[np.int64]  # (M,)
    units: NDArray[np.int64]  # (M,)
    weights: NDArray[np.float64]  # (M,): how much each counts
    logits: NDArray[np.float32]  # (M, K)
    losses: NDArray[np.float64]  # (M,) nats

    @property
    def strength(self) -> float:
        """The strength of the least log loss."""
        return self.curve[self.best][0]

    @property
    def log_loss(self) -> float:
        """Weighted mean of the losses, nats."""
        return self.curve[self.best][1]

    @property
    def standard_error(self) -> float:
        """Standard error of the log loss, over units."""
        return standard_error(self.losses, self.weights, self.units)

    @property
    def accuracy(self) -> float:
        """Share of the weight that was answered rightly, in [0, 1]."""
        right_M = self.logits.argmax(axis=1) == self.labels
        return float(np.average(right_M, weights=self.weights))

    def behind(self, other: Trial) -> tuple[float, float]:
        """Return how much more this loses than ``other``, image by image, and its error."""
        more_M = self.losses - other.losses
        mean = float(np.average(more_M, weights=self.weights))
        return mean, standard_error(more_M, self.weights, self.units)


class Field:
    """The images that candidates meet on: standardised blocks and their Gram matrices.

    Columns are standardised once, over all rows that something is fitted on: labels play no part
    in it. A Gram matrix of joined blocks is the sum of the blocks' own, each computed once.
    """

    def __init__(
        self,
        blocks: Mapping[str, NDArray[np.float32]],
        folds: Folds,
        class_weights: ClassWeights = "none",
    ) -> None:
        self._blocks, self._folds, self._class_weights = blocks, folds, class_weights
        self._fitted = folds.fitted
        self._standard: dict[str, NDArray[np.float32]] = {}
        self._grams: dict[str, NDArray[np.float32]] = {}
        self._rows: tuple[tuple[str, ...], NDArray[np.float32]] | None = None  # the last made

    def trial(
        self, head: str, blocks: tuple[str, ...], strengths: Sequence[float], told: Told
    ) -> Trial:
        """Fit ``head`` over ``blocks`` on each fold, for each strength; keep the best strength.

        All folds go from strong to weak side by side, and stop when their common loss has been
        above its least for two strengths in a row: the weak ones cost most and overfit.

        Args:
            head: a name of the head table.
            blocks: names of blocks, to be joined in this order.
            strengths: from strong to weak regularisation.
            told: is called after every strength with the number of fits.
        """
        with own_threads():
            return self._trial(head, blocks, strengths, told)

    def _trial(
        self, head: str, blocks: tuple[str, ...], strengths: Sequence[float], told: Told
    ) -> Trial:
        folds = self._folds
        pairs = folds.answerable()
        rows_M = np.concatenate([held for _, held in pairs])
        labels_M = folds.labels[rows_M]
        weights_M = image_weights(labels_M, self._class_weights)
        answers = [self._answers(head, blocks, pair, strengths) for pair in pairs]
        if len(strengths) <= _SHORT:
            answers = [iter(list(of_fold)) for of_fold in answers]
        curve: list[tuple[float, float]] = []
        best, least = 0, np.inf
        for number, (strength, parts) in enumerate(
            zip(strengths, zip(*answers, strict=True), strict=True)
        ):
            logits_MK = np.concatenate(parts)
            losses_M = log_losses(logits_MK, labels_M)
            mean = float(np.average(losses_M, weights=weights_M))
            curve.append((strength, mean))
            told(len(pairs))
            if number == 0 or mean < least:
                best, least, kept = number, mean, (logits_MK, losses_M)
            elif number - best >= _RISES and len(strengths) > _SHORT:
                break
        told(len(pairs) * (len(strengths) - len(curve)))
        return Trial(
            head=head,
            blocks=blocks,
            curve=tuple(curve),
            best=best,
            rows=rows_M,
            labels=labels_M,
            units=folds.units[rows_M],
            weights=weights_M,
            logits=kept[0],
            losses=kept[1],
        )

    def _answers(
        self,
        head: str,
        blocks: tuple[str, ...],
        pair: tuple[Rows, Rows],
        strengths: Sequence[float],
    ) -> Iterator[NDArray[np.float32]]:
        """Yield the logits (M, K) of one fold's held-out rows for every strength."""
        (fit, held), folds = pair, self._folds
        rows_NR = self._rows_of(blocks)
        heads = HEADS.pick(head).path(
            rows_NR[fit], folds.labels[fit], folds.classes, strengths, self._class_weights
        )
        held_MR = rows_NR[held]
        for fitted in heads:
            yield fitted.logits(held_MR)

    def _rows_of(self, blocks: tuple[str, ...]) -> NDArray[np.float32]:
        """Return joined standardised blocks (N, R), or shorter rows with their inner products."""
        if self._rows is None or self._rows[0] != blocks:
            width = sum(self._blocks[block].shape[1] for block in blocks)
            if width <= len(self._folds.labels):
                rows_NR = np.hstack([self._standardised(block) for block in blocks])
            else:
                gram_NN = self._gram(blocks[0]).copy()
                for block in blocks[1:]:
                    gram_NN += self._gram(block)
                rows_NR = cholesky_rows(gram_NN)
            self._rows = (blocks, rows_NR)
        return self._rows[1]

    def _standardised(self, block: str) -> NDArray[np.float32]:
        if block not in self._standard:
            plain_ND = self._blocks[block]
            self._standard[block] = Standard.of(plain_ND[self._fitted]).apply(plain_ND)
        return self._standard[block]

    def _gram(self, block: str) -> NDArray[np.float32]:
        if block not in self._grams:
            z_ND = self._standardised(block)
            self._grams[block] = z_ND @ z_ND.T
        return self._grams[block]


def log_losses(logits_MK: NDArray[np.floating], labels_M: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return minus the log of the probability given to the true class (M,), nats; never infinite.

    >>> log_losses(np.zeros((1, 4)), np.array([2])).round(4).tolist()
    [1.3863]
    """
    shifted_MK = logits_MK - logits_MK.max(axis=1, keepdims=True)
    total_M = np.exp(shifted_MK).sum(axis=1, dtype=np.float64)
    picked_M = shifted_MK[np.arange(len(labels_M)), labels_M]
    out: NDArray[np.float64] = np.log(total_M) - picked_M
    return out

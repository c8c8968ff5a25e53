"""The strategy "auto": the probe; the fine-tuned network where val says that it pays; or both.

What the two know differs: a probe that reads shallow blocks and oriented gradients is often right
where the network is not. So three are compared on the same val part, in this order: the probe,
the network, the two pooled. A later one is kept only if its log loss is less by more than one
standard error of the difference, picture by picture: the network's epoch and the pool's weight
were chosen on the same pictures, and ties go to what is simpler.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foveal.core.errors import FovealError
from foveal.model.classifier import Classifier
from foveal.model.linear import softmax
from foveal.model.pool import Pool, pooled_logits
from foveal.recipes.fitted import Fitted
from foveal.recipes.orders import AUTO_BUDGET
from foveal.recipes.probe import probe
from foveal.recipes.promise import promise_of
from foveal.recipes.task import Task
from foveal.recipes.training.finetune import INSTEAD, begin
from foveal.recipes.training.schooling import machine_of, schooled
from foveal.train.head.temperature import temperature

WEIGHTS = tuple(round(0.05 * step, 2) for step in range(1, 20))  # of the network in the pool
HOW = "On the val part, which also chose the epoch and the weights,"
LEAST = 1e-12  # probability that a log loss is taken of


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candidate:
    """One of those compared."""

    name: str  # probe, network, pool
    losses_M: NDArray[np.float64]  # log loss of every val picture
    top1: float

    @property
    def loss(self) -> float:
        """Mean log loss."""
        return float(self.losses_M.mean())


def auto(task: Task) -> Fitted:
    """Return the probe, the fine-tuned network or both pooled, and say why.

    Raises:
        MissingExtra: in a base install.
        FovealError: what ``finetune`` raises.
    """
    train = task.settings.train
    if train.budget is None:
        task = task.with_settings(replace(task.settings, train=replace(train, budget=AUTO_BUDGET)))
    with machine_of(task) as here:
        begun = begin(task, here)
        assert begun.probe is not None
        held = begun.probe.promise.predictions
        if float((held.probabilities.argmax(1) == held.labels).mean()) == 1:
            why = (
                f"The probe is right on all {len(held)} val pictures: nothing is left for "
                "fine-tuning to win."
            )
            return _told(task, probe(task), why, {})
        network = schooled(task, begun, here).fitted()
    return _preferred(task, begun.probe, network)


def _preferred(task: Task, frozen: Fitted, network: Fitted) -> Fitted:
    """Return the one of the three that val prefers."""
    labels_M = frozen.promise.predictions.labels
    logits = [_logits(frozen, frozen), _logits(network, frozen)]
    weight = min(WEIGHTS, key=lambda w: _cooled(logits, w, labels_M)[1].mean())
    cool, losses_M = _cooled(logits, weight, labels_M)
    both = pooled_logits(logits, (1 - weight, weight))
    candidates = [
        _candidate("probe", logits[0], labels_M),
        _candidate("network", logits[1], labels_M),
        Candidate(name="pool", losses_M=losses_M, top1=_right(both, labels_M)),
    ]
    best = candidates[0]
    reasons = []
    for other in candidates[1:]:
        gain_M = best.losses_M - other.losses_M
        gain, error = float(gain_M.mean()), float(gain_M.std() / np.sqrt(len(gain_M)))
        better = gain > error
        word = "less" if gain >= 0 else "more"
        reasons.append(
            f"the {other.name}'s is {abs(gain):.3f} ± {error:.3f} {word} than the {best.name}'s"
        )
        best = other if better else best
    table = {each.name: {"log_loss": each.loss, "top1": each.top1} for each in candidates}
    why = (
        f"On {len(labels_M)} val pictures the log loss of the probe is {candidates[0].loss:.3f}; "
        f"{'; '.join(reasons)}. The {best.name} is kept"
        + (f", the network with weight {weight:g}." if best.name == "pool" else ".")
    )
    if best.name == "probe":
        return _told(task, _beside(probe(task), network), why, table)
    if best.name == "network":
        return _told(task, network, why, table)
    return _told(task, _pooled(frozen, network, weight, cool, both), why, table)


def _beside(frozen: Fitted, network: Fitted) -> Fitted:
    """Return the probe with what is known of the training that it was preferred to."""
    tried = network.story["training"]
    said = {**tried, "kept": None, "sentence": f"{tried['sentence']} {INSTEAD}"}
    course = {**(network.course or {}), "kept": None, "sentence": said["sentence"]}
    return replace(frozen, story={**frozen.story, "training": said}, course=course)


def _pooled(
    frozen: Fitted, network: Fitted, weight: float, cool: float, both_MK: NDArray[np.float32]
) -> Fitted:
    """Return both as one classifier."""
    members = (frozen.classifier, network.classifier)
    assert isinstance(members[0], Classifier)
    assert isinstance(members[1], Classifier)
    pool = Pool(members=(members[0], members[1]), weights=(1 - weight, weight), temperature=cool)
    (files, one_NK), (same, other_NK) = frozen.proof, network.proof
    if files != same:
        raise FovealError("The proofs of probe and network are of different pictures.")
    held = replace(frozen.promise.predictions, probabilities=softmax(both_MK / cool))
    return replace(
        network,
        classifier=pool,
        story={**network.story, "head": "a probe and a network trained further, pooled"},
        promise=promise_of(held, HOW),
        proof=(files, pool.logits([one_NK, other_NK])),
    )


def _told(task: Task, fitted: Fitted, why: str, table: Mapping[str, Mapping[str, float]]) -> Fitted:
    """Return what is kept, with the reason in its card and beside its curves; say it."""
    task.listener.say(why)
    story: dict[str, Any] = {**fitted.story, "auto": {"sentence": why, "compared": dict(table)}}
    course = fitted.course and {**fitted.course, "sentence": f"{fitted.course['sentence']} {why}"}
    return replace(fitted, story=story, course=course)


def _logits(fitted: Fitted, order: Fitted) -> NDArray[np.float64]:
    """Return log-probabilities (M, K) for the val pictures, in the order of another's."""
    said = fitted.promise.predictions
    place = {path: row for row, path in enumerate(said.paths)}
    rows = [place[path] for path in order.promise.predictions.paths]
    return np.log(np.maximum(said.probabilities[rows], LEAST))


def _cooled(
    logits: list[NDArray[np.float64]], weight: float, labels_M: NDArray[np.int64]
) -> tuple[float, NDArray[np.float64]]:
    """Return the temperature and the losses (M,) of the pool with a weight of the network."""
    both_MK = pooled_logits(logits, (1 - weight, weight))
    cool = temperature(both_MK, labels_M)
    return cool, _losses(both_MK / cool, labels_M)


def _candidate(name: str, logits_MK: NDArray[np.float64], labels_M: NDArray[np.int64]) -> Candidate:
    cool = temperature(logits_MK, labels_M)  # as the pool's: else that would be its gain
    losses_M = _losses(logits_MK / cool, labels_M)
    return Candidate(name=name, losses_M=losses_M, top1=_right(logits_MK, labels_M))


def _losses(logits_MK: NDArray[Any], labels_M: NDArray[np.int64]) -> NDArray[np.float64]:
    right_M = softmax(logits_MK)[np.arange(len(labels_M)), labels_M]
    losses_M: NDArray[np.float64] = -np.log(np.maximum(right_M, LEAST))
    return losses_M


def _right(logits_MK: NDArray[Any], labels_M: NDArray[np.int64]) -> float:
    return float((logits_MK.argmax(1) == labels_M).mean())

"""`Facts`: what a bundle says of itself, checked once, so that nobody who reads it has to doubt it.

Hashes tell that a bundle is as it was written. That what was written makes sense, they do not:
a card may be edited and sealed anew. More may stand in a card than is named here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from foveal.core.errors import Damaged, FovealError
from foveal.core.settings import from_mapping, to_json
from foveal.image.preprocess import Preprocess

HINT = "Copy the bundle again from where it came."


@dataclass(frozen=True, slots=True, kw_only=True)
class Backbone:
    """Where the network came from."""

    name: str
    weights: str  # in words
    licence: str | None = None
    assumed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A measured value with its interval."""

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """What held-out pictures said before any test."""

    how: str
    images: int
    metrics: dict[str, Number]


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """What was learnt from."""

    images: dict[str, int]  # part -> pictures
    per_class: dict[str, dict[str, int]]  # part -> class -> pictures
    grouping: str = ""
    grouped: bool = False
    broken: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One row of the choice that the fit made."""

    head: str
    blocks: tuple[str, ...]
    strength: float | None
    log_loss: float
    standard_error: float
    accuracy: float
    chosen: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One of the classifiers that answer together, see ``model.pool``."""

    backbone: Backbone
    blocks: tuple[str, ...]  # what its head reads
    weight: float  # above 0; those of all members sum to 1
    temperature: float  # above 0; of its own logits, before they are pooled


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """How the network itself was trained; None for what is not known."""

    strategy: str | None = None
    sentence: str | None = None  # what was done, in plain words
    epochs: int | None = None  # that were run, from 1
    kept: int | None = None  # number of the epoch whose weights these are, in [1, epochs]
    policy: str | None = None  # of augmentation
    optimizer: str | None = None
    batch: int | None = None  # pictures of one update
    size_px: int | None = None  # side of the pictures that were trained on
    precision: str | None = None  # of the products: float32, bf16, fp16
    frozen_until: str | None = None  # the deepest stage that was not trained
    val_images: int | None = None  # pictures that chose the epoch


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The part of a card that Foveal itself reads."""

    classes: tuple[str, ...]  # K different names
    preprocess: dict[str, Any]
    backbone: Backbone
    blocks: tuple[str, ...]
    temperature: float  # above 0
    sha256: dict[str, str]
    names: dict[str, str] = field(default_factory=dict)
    head: str = ""
    choice: tuple[Option, ...] = ()
    promise: Promise | None = None
    data: Data | None = None
    members: tuple[Member, ...] = ()  # of a pool; then what stands above is said of all of them
    training: Training | None = None
    settings: dict[str, Any] = field(default_factory=dict)


def check_facts(card: Mapping[str, Any], *, where: str) -> tuple[tuple[str, ...], Preprocess]:
    """Return the classes and the preprocessing of a card, all of which was looked at.

    Raises:
        Damaged: for what is missing, of the wrong type or impossible, naming it.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        facts = TypeAdapter(Facts).validate_json(to_json(card), strict=True)
        preprocess = from_mapping(Preprocess, facts.preprocess, where=where)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        if first["type"] == "missing":
            raise Damaged(f"{where} does not say its {place}.", hint=HINT) from None
        raise Damaged(f"{where} cannot be right: {place}: {first['msg']}.", hint=HINT) from None
    except (FovealError, ValueError) as error:  # ValueError: a number that is none
        raise Damaged(f"{where} cannot be right: {error}", hint=HINT) from None
    for wrong in _impossible(facts):
        raise Damaged(f"{where} cannot be right: {wrong}.", hint=HINT)
    return facts.classes, preprocess


def _impossible(facts: Facts) -> list[str]:
    """Return what has the right type and cannot be, in words."""
    wrong = []
    if not facts.classes or len(set(facts.classes)) < len(facts.classes):
        wrong.append("classes: expected different names, one at least")
    if not facts.temperature > 0:
        wrong.append(f"temperature = {facts.temperature}: expected a number above 0")
    if facts.promise and (lacking := {"top1", "log_loss"} - facts.promise.metrics.keys()):
        wrong.append(f"promise.metrics: {min(lacking)} is missing")
    if facts.data:
        counts = facts.data.per_class
        numbers = [n for part in (facts.data.images, *counts.values()) for n in part.values()]
        if min(numbers, default=0) < 0:
            wrong.append("data: a number of pictures below 0")
        if not sum(counts.get("train", {}).get(name, 0) for name in facts.classes):
            wrong.append("data.per_class.train: not one picture of any class")
    return [*wrong, *_impossible_members(facts.members), *_impossible_training(facts.training)]


def _impossible_members(members: Sequence[Member]) -> list[str]:
    wrong = ["members: one alone answers with nobody"] if len(members) == 1 else []
    wrong += [
        f"members.{number}.{name} = {value}: expected a number above 0"
        for number, member in enumerate(members)
        for name in ("weight", "temperature")
        if not (value := getattr(member, name)) > 0
    ]
    if members and not math.isclose(sum(member.weight for member in members), 1, abs_tol=1e-6):
        wrong.append("members: their weights do not sum to 1")
    return wrong


def _impossible_training(training: Training | None) -> list[str]:
    if training is None:
        return []
    wrong = [
        f"training.{name} = {value}: expected 1 or more"
        for name in ("epochs", "kept", "batch", "size_px", "val_images")
        if (value := getattr(training, name)) is not None and value < 1
    ]
    if training.epochs and training.kept and training.kept > training.epochs:
        wrong.append(f"training.kept = {training.kept}: there were {training.epochs} epochs")
    return wrong

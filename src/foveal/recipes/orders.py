"""What a person asks for, as records: from keyword arguments, options, or a run.json."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from foveal.backbone.settings import BackboneSettings
from foveal.core.errors import OutOfRange, UnknownName
from foveal.core.settings import from_mapping
from foveal.train.head.settings import ProbeSettings
from foveal.train.network.settings import TrainSettings

SEEDS = 2**64  # how many there are: what torch's generators take
AUTO = "auto"  # the backbone that is named where nobody named one
AUTO_BUDGET = "10m"  # of wall time for the training of the strategy "auto", where none was named


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareSettings:
    """How files are accepted and held out."""

    test_share: float = 0.2  # of the images, in [0, 1); 0 trains on everything
    seed: int = 0  # of the split and the folds
    max_broken: float = 0.05  # share of unreadable files to put up with, in [0, 1]
    strict: bool = False  # stop at the first unreadable file

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if not 0 <= self.test_share < 1:
            raise OutOfRange("test_share", self.test_share, "a share from 0 to less than 1")
        _check(self.seed, self.max_broken)


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeSettings:
    """How a model is tested."""

    seed: int = 0  # of the bootstrap
    max_broken: float = 0.05  # share of unreadable files to put up with, in [0, 1]
    strict: bool = False  # stop at the first unreadable file

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        _check(self.seed, self.max_broken)


def _check(seed: int, max_broken: float) -> None:
    if not 0 <= seed < SEEDS:
        raise OutOfRange("seed", seed, "0 or a positive whole number of at most 64 bits")
    if not 0 <= max_broken <= 1:
        raise OutOfRange("max_broken", max_broken, "a share in [0, 1]")


@dataclass(frozen=True, slots=True, kw_only=True)
class FitSettings:
    """Everything that decides a fit but the data."""

    backbone: BackboneSettings = field(default_factory=lambda: BackboneSettings(backbone=AUTO))
    prepare: PrepareSettings = field(default_factory=PrepareSettings)
    probe: ProbeSettings = field(default_factory=ProbeSettings)
    train: TrainSettings = field(default_factory=TrainSettings)


def sorted_out(options: Mapping[str, Any], **kinds: type[Any]) -> dict[str, dict[str, Any]]:
    """Sort flat options into the records that have a field of that name.

    Args:
        options: field name -> value.
        kinds: record name -> dataclass; no field name stands in two of them.

    Raises:
        UnknownName: for an option that no record has.

    >>> sorted_out({"seed": 3}, judge=JudgeSettings, backbone=BackboneSettings)
    {'judge': {'seed': 3}, 'backbone': {}}
    """
    owner = {
        each.name: kind for kind, record in kinds.items() for each in dataclasses.fields(record)
    }
    out: dict[str, dict[str, Any]] = {kind: {} for kind in kinds}
    for name, value in options.items():
        if name not in owner:
            raise UnknownName("setting", name, owner)
        out[owner[name]][name] = value
    return out


def fit_settings(options: Mapping[str, Any], *, where: str = "the settings") -> FitSettings:
    """Return the settings of a fit from flat options, such as ``seed=1, features="last"``."""
    parts = sorted_out(
        options,
        backbone=BackboneSettings,
        prepare=PrepareSettings,
        probe=ProbeSettings,
        train=TrainSettings,
    )
    return FitSettings(
        backbone=from_mapping(
            BackboneSettings, {"backbone": AUTO, **parts["backbone"]}, where=where
        ),
        prepare=from_mapping(PrepareSettings, parts["prepare"], where=where),
        probe=from_mapping(ProbeSettings, parts["probe"], where=where),
        train=from_mapping(TrainSettings, parts["train"], where=where),
    )

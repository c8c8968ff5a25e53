"""`FitOrder`, `JudgeOrder`: a fit and a test as they were asked for: data, reading, settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foveal.backbone import store
from foveal.backbone.settings import BackboneSettings
from foveal.core.errors import CannotResume, NotThere, OutOfRange, UnknownName
from foveal.core.settings import from_mapping, to_mapping
from foveal.data.reading import ReadSettings
from foveal.recipes.clock import read_run
from foveal.recipes.orders import (
    AUTO,
    FitSettings,
    JudgeSettings,
    PrepareSettings,
    sorted_out,
)
from foveal.recipes.workplace import Workplace
from foveal.train.head.settings import ProbeSettings
from foveal.train.network.saving.same_run import check_same
from foveal.train.network.settings import TrainSettings

NOT_THE_RUN = ("workers", "device", "track", "budget")  # what may differ when a run is resumed
_ELSEWHERE = (*NOT_THE_RUN, "root", "weights", "backbone")  # … or is compared by what it holds


@dataclass(frozen=True, slots=True, kw_only=True)
class FitOrder:
    """A fit as it was asked for: the data, how to read it, every setting."""

    data: Path
    read: ReadSettings
    fit: FitSettings

    @classmethod
    def from_options(
        cls, data: Path | None, run: Path | None, options: Mapping[str, Any]
    ) -> FitOrder:
        """Return the order for flat options, over those of an earlier ``run.json``.

        Raises:
            NotThere: if neither ``data`` nor ``run`` says which photographs.
            UnknownName, OutOfRange: for a setting that does not exist or cannot work.
        """
        if run is None:
            return cls._over({}, data, options, where="the options")
        return cls._over(_object(read_run(run), "settings", str(run)), data, options, str(run))

    @classmethod
    def resumed(
        cls, workplace: Workplace, data: Path | None, options: Mapping[str, Any]
    ) -> FitOrder:
        """Return the order of the training that was cut off; options may say it once more.

        Raises:
            NotThere: if none was cut off there.
            CannotResume: if it is a pretraining, or was begun with another strategy; if options
                differ, or a budget is named for it now.
        """
        begun = workplace.settings()
        if "fit" not in begun:
            raise CannotResume(
                f"{workplace.folder} holds a training of `foveal pretrain`.",
                hint="Go on with it by foveal pretrain --resume.",
            )
        order = cls._over(begun, data, options, str(workplace.folder))
        workplace.check_strategy(order.fit.train.strategy)
        if workplace.worth_keeping:
            before = cls._over(begun, data, {}, str(workplace.folder))
            check_same(before.choices(), order.choices(), where=workplace.folder)
        if "budget" in options and workplace.worth_keeping:
            raise CannotResume(
                f"The training in {workplace.folder} goes on with the epochs it was begun with: "
                "a budget changes nothing.",
                hint="Go on without --budget, or begin anew in another folder.",
            )
        return order

    @classmethod
    def _over(
        cls, earlier: Mapping[str, Any], data: Path | None, options: Mapping[str, Any], where: str
    ) -> FitOrder:
        """Return the order for flat options over earlier settings."""
        given = sorted_out(options, read=ReadSettings, **_RECORDS)
        before = _object(earlier, "fit", where)
        for name in [*(earlier.keys() - {"data", "read", "fit"}), *(before.keys() - _RECORDS)]:
            raise UnknownName(f"setting of {where}", name, ["data", "read", "fit", *_RECORDS])
        records = {name: _object(before, name, where) for name in _RECORDS}
        records["backbone"] = {"backbone": AUTO, **records["backbone"]}
        source = str(earlier.get("data", "")) if data is None else data
        if not source:
            raise NotThere(
                "No photographs were named.", hint="Say where they are: a folder or a table."
            )
        return cls(
            data=Path(source),
            read=from_mapping(
                ReadSettings, {**_object(earlier, "read", where), **given["read"]}, where=where
            ),
            fit=FitSettings(
                **{
                    name: from_mapping(kind, {**records[name], **given[name]}, where=where)
                    for name, kind in _RECORDS.items()
                }
            ),
        )

    def choices(self) -> dict[str, Any]:
        """Return what was chosen, flat, but for what may lie or run elsewhere."""
        fit = to_mapping(self.fit)
        flat = {name: value for record in fit.values() for name, value in record.items()}
        flat |= to_mapping(self.read)
        return {name: value for name, value in flat.items() if name not in _ELSEWHERE}

    def to_mapping(self) -> dict[str, Any]:
        """Return it as ``run.json`` keeps it: repeatable from anywhere on this machine."""
        read, fit = to_mapping(self.read), to_mapping(self.fit)
        if self.read.root is not None:
            read["root"] = str(self.read.root.absolute())
        fit["backbone"] = kept_backbone(self.fit.backbone)
        return {"data": str(self.data.absolute()), "read": read, "fit": fit}


def kept_backbone(network: BackboneSettings) -> dict[str, Any]:
    """Return a backbone's settings JSON-ready, with paths that mean the same from everywhere."""
    kept, file = to_mapping(network), Path(network.backbone)
    if network.weights is not None:
        kept["weights"] = str(network.weights.absolute())
    if (file.suffix == ".onnx" and file.is_file()) or (file / store.SPEC).is_file():
        kept["backbone"] = str(file.absolute())
    return kept


def _object(values: Mapping[str, Any], name: str, where: str) -> dict[str, Any]:
    """Return the JSON object called ``name``; an empty one where there is none."""
    found = values.get(name, {})
    if not isinstance(found, dict):
        raise OutOfRange(name, found, f"a JSON object (in {where})")
    return found


_RECORDS: dict[str, type[Any]] = {
    "backbone": BackboneSettings,
    "prepare": PrepareSettings,
    "probe": ProbeSettings,
    "train": TrainSettings,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeOrder:
    """A test as it was asked for."""

    data: Path
    read: ReadSettings
    judge: JudgeSettings

    @classmethod
    def from_options(cls, data: Path, options: Mapping[str, Any]) -> JudgeOrder:
        """Return the order for flat options."""
        given = sorted_out(options, read=ReadSettings, judge=JudgeSettings)
        return cls(
            data=data,
            read=from_mapping(ReadSettings, given["read"], where="the options"),
            judge=from_mapping(JudgeSettings, given["judge"], where="the options"),
        )

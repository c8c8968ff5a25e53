"""The story as the command line tells it: read, fit, save; load, judge, write the report."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foveal.backbone.settings import BackboneSettings
from foveal.core.errors import NotThere
from foveal.core.files import check_exists, check_free, write_file
from foveal.core.listener import SILENT, Listener
from foveal.core.settings import from_mapping, to_json, to_mapping
from foveal.data.manifest import Manifest
from foveal.data.readers import read
from foveal.data.reading import ReadSettings
from foveal.recipes.bring import bring
from foveal.recipes.clock import RUN, Clock, environment, peak_mb, read_run, run_folder
from foveal.recipes.fit import fit_classifier
from foveal.recipes.judge import Judged, judge_model
from foveal.recipes.model import Model, load
from foveal.recipes.orders import (
    AUTO,
    FitSettings,
    JudgeSettings,
    PrepareSettings,
    sorted_out,
)
from foveal.recipes.ship import bundle_of
from foveal.train.settings import ProbeSettings


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
        earlier = read_run(run)["settings"] if run is not None else {}
        source = data if data is not None else earlier.get("data")
        if source is None:
            raise NotThere("No photographs were named.", hint="Say: foveal fit PHOTOS -o MODEL")
        given = sorted_out(options, read=ReadSettings, **_RECORDS)
        where = "the options" if run is None else str(run)
        before = {"backbone": {"backbone": AUTO}, **earlier.get("fit", {})}
        fit = {
            name: from_mapping(kind, {**before.get(name, {}), **given[name]}, where=where)
            for name, kind in _RECORDS.items()
        }
        reading = {**earlier.get("read", {}), **given["read"]}
        return cls(
            data=Path(source),
            read=from_mapping(ReadSettings, reading, where=where),
            fit=FitSettings(**fit),
        )

    def to_mapping(self) -> dict[str, Any]:
        """Return it as ``run.json`` keeps it: repeatable from anywhere on this machine."""
        return {
            "data": str(self.data.absolute()),
            "read": to_mapping(self.read),
            "fit": to_mapping(self.fit),
        }


_RECORDS: dict[str, type[Any]] = {
    "backbone": BackboneSettings,
    "prepare": PrepareSettings,
    "probe": ProbeSettings,
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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Saved:
    """A model that was made and saved, in words and in numbers."""

    model: Model
    folder: Path

    def to_mapping(self) -> dict[str, Any]:
        """Return it JSON-ready."""
        card = self.model.bundle.card
        keys = ("classes", "backbone", "head", "blocks", "strength", "temperature", "choice")
        more = ("promise", "data")
        return {
            "model": str(self.folder),
            "run": str(run_folder(self.folder)),
            **{key: card[key] for key in (*keys, *more) if key in card},
            "seconds": self.model.run.get("seconds", {}),
            "peak_mb": self.model.run.get("peak_mb"),
        }

    def lines(self) -> list[str]:
        """Return it as lines of text, for a terminal."""
        card = self.model.bundle.card
        name = card["backbone"]["name"]
        out = [f"{self.folder}: {len(card['classes'])} classes on {name}"]
        if promise := card.get("promise"):
            top1 = promise["metrics"]["top1"]
            out.append(
                f"{promise['how']} right on {_percent(top1['value'])} "
                f"({_percent(top1['low'])} to {_percent(top1['high'])}) of {promise['images']} "
                f"pictures; the head reads {' + '.join(card['blocks'])}."
            )
        if seconds := self.model.run.get("seconds"):
            out.append(f"{sum(seconds.values()):.1f} s: " + _stages(seconds))
        if (card.get("data") or {}).get("images", {}).get("test"):
            held = card["data"]["images"]["test"]
            out.append(f"{held} pictures were held out: foveal test {self.folder} PHOTOS")
        return out


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reported:
    """A test whose report was written."""

    judged: Judged
    folder: Path

    def to_mapping(self) -> dict[str, Any]:
        """Return every number JSON-ready, and where the report lies."""
        return {**self.judged.to_mapping(), "report": str(self.folder / "report.html")}

    def lines(self) -> list[str]:
        """Return the numbers as lines of text, and where the report lies."""
        return [*self.judged.lines(), "", f"Report: {self.folder / 'report.html'}"]


def fit_model(data: Manifest, settings: FitSettings, listener: Listener = SILENT) -> Model:
    """Return a model fitted on ``data``, not saved yet."""
    clock = Clock()
    fitted = fit_classifier(data, settings, listener, clock)
    with clock("graph"):
        bundle = bundle_of(fitted)
    run = {
        "command": list(sys.argv),
        "seconds": {stage: round(seconds, 3) for stage, seconds in clock.seconds.items()},
        "peak_mb": peak_mb(),
        "environment": environment(),
        "settings": {"data": str(data.root.absolute()), "fit": to_mapping(settings)},
    }
    return Model(bundle, proof=fitted.proof, run=run)


def fit_and_save(order: FitOrder, out: Path, *, overwrite: bool, listener: Listener) -> Saved:
    """Read, fit, prove, save; refuse a taken folder before any work is done."""
    check_free(out, overwrite=overwrite)
    check_exists(order.data, "dataset")
    data = read(order.data, settings=order.read)
    model = fit_model(data, order.fit, listener)
    model.run["settings"] = order.to_mapping()
    model.save(out, overwrite=overwrite)
    return Saved(model=model, folder=out)


def bring_and_save(
    options: Mapping[str, Any],
    classes: Path | None,
    out: Path,
    *,
    overwrite: bool,
    listener: Listener,
) -> Saved:
    """Make a model of a ready classifier and save it."""
    check_free(out, overwrite=overwrite)
    settings = from_mapping(BackboneSettings, options, where="the options")
    model = bring(settings, classes, listener)
    model.save(out, overwrite=overwrite)
    return Saved(model=model, folder=out)


def judge_and_save(
    order: JudgeOrder, folder: Path, out: Path | None, *, listener: Listener
) -> Reported:
    """Load, read, judge; write ``report.html`` and ``test.json`` beside the model or to ``out``."""
    model = load(folder)
    beside = run_folder(folder)
    if (beside / RUN).is_file():
        model.run = read_run(beside)
    check_exists(order.data, "dataset")
    data = read(order.data, settings=order.read)
    judged = judge_model(model.tested, data, order.judge, listener)
    target = out or beside
    write_file(target / "report.html", judged.html())
    write_file(target / "test.json", to_json(judged.to_mapping()))
    return Reported(judged=judged, folder=target)


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"


def _stages(seconds: Mapping[str, float]) -> str:
    return ", ".join(f"{stage} {took:.1f}" for stage, took in seconds.items() if took >= 0.05)

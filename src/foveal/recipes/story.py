"""The story as the command line tells it: read, fit, save; load, judge, write the report."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from foveal.backbone.settings import BackboneSettings
from foveal.core.errors import AlreadyThere, OutOfRange
from foveal.core.files import check_exists, write_file
from foveal.core.listener import SILENT, Listener
from foveal.core.machine import rank
from foveal.core.settings import from_mapping, to_json, to_mapping
from foveal.core.words import number_of
from foveal.data.manifest import Manifest
from foveal.data.readers import read
from foveal.data.reading import ReadSettings
from foveal.model.bundle import SELF
from foveal.recipes.bring import bring
from foveal.recipes.clock import (
    NUMBERS,
    REPORT,
    RUN,
    Clock,
    environment,
    peak_mb,
    read_run,
    run_folder,
)
from foveal.recipes.command import command
from foveal.recipes.fit import fit_classifier
from foveal.recipes.judge import Judged, judge_model
from foveal.recipes.model import Model, check_out, load
from foveal.recipes.orders import FitSettings
from foveal.recipes.requested import FitOrder, JudgeOrder
from foveal.recipes.ship import bundle_of
from foveal.recipes.workplace import Workplace
from foveal.train.network.settings import TrainSettings


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Saved:
    """A model that was made and saved, in words and in numbers."""

    model: Model
    folder: Path

    def to_mapping(self) -> dict[str, Any]:
        """Return it JSON-ready."""
        card = self.model.bundle.card
        keys = ("classes", "backbone", "head", "blocks", "strength", "temperature", "choice")
        more = ("members", "training", "auto", "promise", "data")
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
        if training := card.get("training"):
            kept = f" Epoch {training['kept']} was kept." if training["kept"] else ""
            out.append(training["sentence"] + kept)
        if seconds := self.model.run.get("seconds"):
            out.append(f"{sum(seconds.values()):.1f} s: " + _stages(seconds))
        if (card.get("data") or {}).get("images", {}).get("test"):
            held = card["data"]["images"]["test"]
            out.append(f"{number_of(held, 'picture')} held out: foveal test {self.folder} PHOTOS")
        return out


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reported:
    """A test whose report was written."""

    judged: Judged
    folder: Path

    def to_mapping(self) -> dict[str, Any]:
        """Return every number JSON-ready, and where the report lies."""
        return {**self.judged.to_mapping(), "report": str(self.folder / REPORT)}

    def lines(self) -> list[str]:
        """Return the numbers as lines of text, and where the report lies."""
        return [*self.judged.lines(), "", f"Report: {self.folder / REPORT}"]


def fit_order(
    order: FitOrder, listener: Listener = SILENT, workplace: Workplace | None = None
) -> Model:
    """Read and fit as ordered; the model knows how to repeat it."""
    model = fit_model(read(order.data, settings=order.read), order.fit, listener, workplace)
    model.run["settings"] = order.to_mapping()
    return model


def fit_model(
    data: Manifest,
    settings: FitSettings,
    listener: Listener = SILENT,
    workplace: Workplace | None = None,
) -> Model:
    """Return a model fitted on ``data``, not saved yet."""
    clock = Clock()
    fitted = fit_classifier(data, settings, listener, clock, workplace)
    with clock("graph"):
        bundle = bundle_of(fitted)
    run = {
        "command": command(),
        "seconds": {stage: round(seconds, 3) for stage, seconds in clock.seconds.items()},
        "peak_mb": peak_mb(),
        "environment": environment(),
        "settings": {"fit": to_mapping(settings)},  # how a manifest was made is not known
        **({} if fitted.course is None else {"course": dict(fitted.course)}),
    }
    return Model(bundle, proof=fitted.proof, run=run)


def fit_and_save(
    order: FitOrder, out: Path, *, overwrite: bool, resume: bool = False, listener: Listener
) -> Saved:
    """Read, fit, prove, save; refuse a taken folder before any work is done.

    Of several ranks, each fits and the first one saves.
    """
    leads = rank() == 0
    if leads:
        check_out(out, overwrite=overwrite)
    check_exists(order.data, "dataset")
    if order.data.is_dir() and out.resolve().is_relative_to(order.data.resolve()):
        raise OutOfRange(
            "out", str(out), f"a folder outside {order.data}: its pictures would become a class"
        )
    workplace = Workplace.of(out)
    trains = order.fit.train.strategy != TrainSettings().strategy
    held: AbstractContextManager[None] = nullcontext()
    if leads and trains:
        held = workplace.held(order.to_mapping(), resume=resume, overwrite=overwrite)
    elif leads:
        workplace.check_free(overwrite=overwrite)
    with held:
        try:
            model = fit_order(order, listener, workplace if trains else None)
        except KeyboardInterrupt:
            if leads and workplace.worth_keeping:
                listener.say(f"What was learnt is kept: foveal fit -o {out} --resume goes on.")
            raise
        if leads:
            if resume:  # what began it is what makes it again
                model.run["command"] = workplace.command() or command()
            model.save(out, overwrite=overwrite)
            workplace.remove()
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
    check_out(out, overwrite=overwrite)
    settings = from_mapping(BackboneSettings, options, where="the options")
    model = bring(settings, classes, listener)
    model.run = {"command": command(), "environment": environment()}
    model.save(out, overwrite=overwrite)
    return Saved(model=model, folder=out)


def judge_and_save(
    order: JudgeOrder, folder: Path, out: Path | None, *, listener: Listener
) -> Reported:
    """Load, read, judge; write ``report.html`` and ``test.json`` beside the model or to ``out``."""
    beside = run_folder(folder)
    target = out or beside
    if target.exists() and not target.is_dir():
        raise AlreadyThere(f"{target} is a file.", hint="Name a folder for the report with --out.")
    for place, what in ((folder, "the model"), (order.data, "the photographs")):
        if place.is_dir() and target.resolve().is_relative_to(place.resolve()):
            raise OutOfRange("out", str(target), f"a folder outside of {what}, {place}")
    model = load(folder)
    if (beside / RUN).is_file() and (run := read_run(beside)).get(SELF) == model.bundle.card[SELF]:
        model.run = run
    check_exists(order.data, "dataset")
    data = read(order.data, settings=_grouped_as_fitted(order.read, model, listener))
    judged = judge_model(model.tested, data, order.judge, listener)
    page, numbers = judged.html(), to_json(judged.to_mapping())
    fresh = not target.exists()
    try:
        write_file(target / REPORT, page)
        write_file(target / NUMBERS, numbers)
    except BaseException:
        if fresh:
            shutil.rmtree(target, ignore_errors=True)
        raise
    return Reported(judged=judged, folder=target)


def _grouped_as_fitted(read: ReadSettings, model: Model, listener: Listener) -> ReadSettings:
    """Return the reading of a test with the pattern or level of the fit, where it names none.

    A group column needs no such care: its name is guessed, or said to be missing.
    """
    asked = (read.group_column, read.group_pattern, read.group_level)
    before = (model.run.get("settings") or {}).get("read") or {}
    same = {
        name: before[name]
        for name in ("group_pattern", "group_level", "group_scope")
        if before.get(name) is not None
    }
    if not same or any(value is not None for value in asked):
        return read
    with_groups = replace(read, **same)
    listener.say(f"Groups are made as for the fit: {with_groups.grouping}.")
    return with_groups


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"


def _stages(seconds: Mapping[str, float]) -> str:
    return ", ".join(f"{stage} {took:.1f}" for stage, took in seconds.items() if took >= 0.05)

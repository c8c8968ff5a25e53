"""Judge: a model's answers to pictures it was not trained on, as numbers and as a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foveal.backbone.classical import classical
from foveal.backbone.spec import LAST
from foveal.core.errors import BadData
from foveal.core.listener import Listener
from foveal.core.words import number_of
from foveal.data.finding import Finding
from foveal.data.manifest import Manifest
from foveal.data.scan import broken_check, scan
from foveal.evaluate.curves import course_in
from foveal.evaluate.interval import Interval
from foveal.evaluate.judge import judge, majority
from foveal.evaluate.judgement import Judgement
from foveal.evaluate.lines import lines, sentence_lines
from foveal.evaluate.report import (
    Cost,
    DataSummary,
    MemberFacts,
    ModelFacts,
    Option,
    Picture,
    Report,
)
from foveal.model.bundle import BASELINE, Bundle
from foveal.model.classifier import CLASSICAL
from foveal.model.linear import softmax
from foveal.model.predictions import Predictions
from foveal.model.predictor import Predictor
from foveal.recipes.clock import Clock, environment, peak_mb
from foveal.recipes.command import command_in
from foveal.recipes.look import cut_away, pictures
from foveal.recipes.orders import JudgeSettings
from foveal.recipes.prepare import labelled, tell
from foveal.recipes.ship import read_head
from foveal.recipes.unseen import labels_of, tell_groups, unseen


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judged:
    """What a test gave: print it, or make the report of it."""

    judgement: Judgement
    report: Report

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def lines(self) -> list[str]:
        """Return the numbers as lines of text, for a terminal."""
        rows = lines(self.judgement)
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        table = ["  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)) for r in rows]
        return [*(line.rstrip() for line in table), "", *sentence_lines(self.judgement)]

    def to_mapping(self) -> dict[str, Any]:
        """Return everything JSON-ready: ``top1: {value, low, high}`` and so on."""
        return self.report.to_mapping()

    def html(self) -> bytes:
        """Return the report as one self-contained HTML page."""
        from foveal.evaluate.page import render

        return render(self.report)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tested:
    """The model that is judged, as far as judging needs it."""

    bundle: Bundle
    predictor: Predictor
    run: Mapping[str, Any]  # of its fit, where that is known: seconds, settings, command


@dataclass(slots=True, kw_only=True, eq=False)
class _Answers:
    """What the network said, row by row of the scored manifest; grows batch by batch."""

    rows: list[int] = field(default_factory=list)
    probabilities: list[NDArray[np.float64]] = field(default_factory=list)
    heat: list[NDArray[np.float32]] = field(default_factory=list)
    unexplained: list[NDArray[np.float32]] = field(default_factory=list)
    baseline: list[NDArray[np.float64]] = field(default_factory=list)
    broken: list[tuple[int, str]] = field(default_factory=list)


def judge_model(
    model: Tested, data: Manifest, settings: JudgeSettings, listener: Listener
) -> Judged:
    """Score the test rows and unseen pictures of ``data``; never one that was learnt from.

    Args:
        model: a bundle, fitted here or brought from elsewhere, and its predictor.
        data: labelled; its classes must be the model's, by name.
        settings: what is accepted, and the seed of the bootstrap.
        listener: hears what is left out.

    Raises:
        BadData: if a class is unknown to the model, or nothing is left to score.
    """
    clock = Clock()
    with clock("reading files"):
        scanned = scan(
            data, listener=listener, strict=settings.strict, max_broken=settings.max_broken
        )
        tell(scanned, listener)
        scanned = labelled(scanned, listener)
        scored, left_out = unseen(model.bundle, scanned, listener)
        tell_groups(model.bundle, scored, listener)
        labels_N = labels_of(model.bundle, scored)
    with clock("answers"):
        answers = _answers(model, scored, listener)
    named = _broken(scored, answers.broken, settings, len(scanned))
    for path, reason in named:
        listener.say(f"{path} is left out: {reason}")
    scored = scored.rows(np.array(answers.rows, dtype=np.int64))
    probabilities_NK = np.concatenate(answers.probabilities)
    predictions = _predictions(model, scored, labels_N[answers.rows], probabilities_NK)
    with clock("numbers"):
        judgement = judge(
            predictions,
            baselines=_baselines(model, predictions, answers),
            promised=_promised(model),
            seed=settings.seed,
        )
    files = [scored.file(path) for path in scored.paths]
    with clock("pictures"):
        maps = None
        if answers.heat:
            maps = np.concatenate(answers.heat), np.concatenate(answers.unexplained)
        shown = pictures(model.predictor, predictions, files, maps, listener)
    seconds = clock.seconds["answers"]
    cost = Cost(
        seconds={**_fit_seconds(model), **{f"test: {k}": v for k, v in clock.seconds.items()}},
        images_per_second=len(scored) / seconds if seconds else None,
        peak_mb=peak_mb(),
    )
    summary = _summary(model, scanned, scored, named, left_out)
    report = _report(model, judgement, shown, cost, summary, scanned.root.name)
    return Judged(judgement=judgement, report=report)


def _answers(model: Tested, scored: Manifest, listener: Listener) -> _Answers:
    """Run network and classical baseline over the pictures, in one decode pass."""
    bundle, out = model.bundle, _Answers()
    has_baseline = BASELINE in bundle.card["sha256"]
    head = read_head(bundle.read(BASELINE)) if has_baseline else None
    plain = classical(bundle.preprocess) if has_baseline else None
    for batch in model.predictor.batches(scored.file(path) for path in scored.paths):
        out.broken.extend(batch.broken)
        if not len(batch.pixels):
            continue
        out.rows.extend(batch.rows.tolist())
        logits_NK = _look(model.predictor, batch.pixels, out)
        out.probabilities.append(softmax(logits_NK))
        if head is not None and plain is not None:
            features_ND = plain.embed(batch.pixels, [LAST])[LAST]
            out.baseline.append(softmax(head.logits(features_ND)))
        listener.progress("testing", len(out.rows) + len(out.broken), len(scored))
    if not out.rows:
        raise BadData(f"None of the {len(scored)} pictures could be read.")
    return out


def _look(predictor: Predictor, pixels: NDArray[np.uint8], out: _Answers) -> NDArray[np.float32]:
    """Return the logits, and keep where the network looked: the report shows some of it."""
    if not predictor.has_heat_map:
        return predictor.logits(pixels)
    logits_NK, heat_NGG, unexplained_N = predictor.looks(pixels)
    out.heat.append(heat_NGG)
    out.unexplained.append(unexplained_N)
    return logits_NK


def _broken(
    scored: Manifest, broken: Sequence[tuple[int, str]], settings: JudgeSettings, total: int
) -> tuple[tuple[str, str], ...]:
    found = [
        Finding(kind="broken", message=reason, path=scored.paths[row]) for row, reason in broken
    ]
    broken_check(found, total, strict=settings.strict, max_broken=settings.max_broken)
    return tuple((finding.path, finding.message) for finding in found)


def _predictions(
    model: Tested,
    scored: Manifest,
    labels_N: NDArray[np.int64],
    probabilities_NK: NDArray[np.float64],
) -> Predictions:
    groups = scored.table["group"].to_list()
    ids = scored.table["sha256"].to_list()
    grouped = any(group is not None for group in groups)
    own = [group if group is not None else sha for group, sha in zip(groups, ids, strict=True)]
    return Predictions(
        probabilities=probabilities_NK,
        labels=labels_N,
        classes=model.bundle.classes,
        paths=tuple(scored.paths),
        ids=tuple(ids),
        groups=tuple(own) if grouped else None,
    )


def _baselines(
    model: Tested, predictions: Predictions, answers: _Answers
) -> Mapping[str, Predictions]:
    found: dict[str, Predictions] = {}
    data = model.bundle.card.get("data")
    if data:
        train = data["per_class"]["train"]
        counts_K = np.array([train.get(name, 0) for name in model.bundle.classes], dtype=np.int64)
        found["majority"] = majority(predictions, counts_K)
    if answers.baseline:
        found[CLASSICAL] = replace(predictions, probabilities=np.concatenate(answers.baseline))
    return found


def _promised(model: Tested) -> dict[str, Interval]:
    promise = model.bundle.card.get("promise") or {"metrics": {}}
    return {name: Interval(**number) for name, number in promise["metrics"].items()}


def _fit_seconds(model: Tested) -> dict[str, float]:
    return {f"fit: {stage}": float(s) for stage, s in model.run.get("seconds", {}).items()}


def _summary(
    model: Tested,
    scanned: Manifest,
    scored: Manifest,
    broken: tuple[tuple[str, str], ...],
    left_out: int,
) -> DataSummary:
    data = model.bundle.card.get("data") or {}
    trained = data.get("per_class", {})
    noticed = [f.message for f in scanned.findings if f.kind != "broken"]
    if unread := data.get("broken"):
        noticed.append(
            f"{number_of(unread, 'picture')} could not be read when the model was fitted."
        )
    counts = {
        part: tuple(int(per.get(name, 0)) for name in model.bundle.classes)
        for part, per in trained.items()
        if part != "test" and any(per.values())
    }
    labels = [names[0] for names in scored.table["labels"].to_list()]
    counts["scored"] = tuple(labels.count(name) for name in model.bundle.classes)
    groups = scored.table["group"].drop_nulls()
    sizes = scored.table.select("width", "height").rows()
    files = [scored.file(path) for path in scored.paths]
    by_area = sorted(sizes, key=lambda size: size[0] * size[1])
    named = {"smallest": by_area[0], "median": by_area[len(by_area) // 2], "largest": by_area[-1]}
    found = [(f.path, f.message) for f in scanned.findings if f.kind == "broken"]
    return DataSummary(
        source=scanned.source,
        counts=counts,
        groups={"scored": groups.n_unique()} if len(groups) else {},
        sizes=named,
        findings=tuple(noticed),
        broken=(*found, *broken),
        left_out=left_out,
        cut_away=cut_away(sizes, files, model.bundle.preprocess),
    )


def _report(
    model: Tested,
    judgement: Judgement,
    shown: tuple[Picture, ...],
    cost: Cost,
    data: DataSummary,
    name: str,
) -> Report:
    card = model.bundle.card
    backbone = card["backbone"]
    return Report(
        title=f"{name}: {len(model.bundle.classes)} classes on {backbone['name']}",
        judgement=judgement,
        model=ModelFacts(
            backbone=backbone["name"],
            weights=backbone["weights"],
            head=card.get("head", "its own"),
            blocks=tuple(card["blocks"]),
            temperature=float(card["temperature"]),
            input=_input(model),
            licence=backbone.get("licence"),
            assumed=tuple(backbone.get("assumed", ())),
            members=tuple(map(_member, card.get("members", ()))),
        ),
        data=data,
        cost=cost,
        pictures=shown,
        choice=tuple(map(_option, card.get("choice", ()))),
        course=course_in(model.run.get("course")),
        settings=model.run.get("settings", card.get("settings", {})),
        command=command_in(model.run),
        environment=environment(),
    )


def _option(row: Mapping[str, Any]) -> Option:
    """Return one row of the choice; what a later version may add to it is passed over."""
    known = {name.name: row[name.name] for name in fields(Option) if name.name in row}
    return Option(**{**known, "blocks": tuple(row["blocks"])})


def _member(row: Mapping[str, Any]) -> MemberFacts:
    """Return what a card says of one network of a pool."""
    backbone = row["backbone"]
    return MemberFacts(
        backbone=backbone["name"],
        weights=backbone["weights"],
        blocks=tuple(row["blocks"]),
        weight=float(row["weight"]),
        licence=backbone.get("licence"),
    )


def _input(model: Tested) -> str:
    p = model.bundle.preprocess
    ways = {
        "crop": f"the central crop of {100 * p.crop:g} %",
        "squash": "squashed to a square",
        "pad": "padded to a square",
    }
    return f"{p.size_px} × {p.size_px} pixels, {ways[p.shape]}, {p.interpolation}"

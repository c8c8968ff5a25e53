"""`render`: a `Report` as one HTML file that asks nothing of anybody and trusts no name in it.

All styles and the one script lie inside, and the page's own policy names them by their hashes,
so that nothing else may run or load. It says all its numbers without the script.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np

from foveal.evaluate import charts, curves
from foveal.evaluate.gallery import MISTAKES, heat_png, worth_showing
from foveal.evaluate.glossary import BASELINES, SAME_AS_ANOTHER, WORDS, Meaning, meaning
from foveal.evaluate.interval import Interval
from foveal.evaluate.judgement import Judgement
from foveal.evaluate.report import Picture, Report
from foveal.evaluate.wording import number, percent, plain, plain_json

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

MOST_BYTES = 4_800_000  # of the file: what the numbers leave is for the pictures
CARD_BYTES = 5_000  # at most, around the picture and heat map of a card, names of 80 letters
SHOT_BYTES = 100  # likewise of a picture in the data, beside its path
TABLE_CLASSES = 60  # up to here the confusion matrix is a table, beyond it a map of dots
NAME_LENGTH = 80  # longer class names are shortened in the middle, for people
PAIRS = 20  # most confused pairs that are listed
MUCH_CUT_AWAY = 0.3  # of the area: from here on examples are shown


def render(report: Report) -> bytes:
    """Return the report as one UTF-8 HTML file, below 5 MB for 1,000 classes and more.

    It opens from disk, with or without scripts, and makes no request. The same report gives
    the same bytes. Pictures come in the order of ``gallery.worth_showing`` while there is room;
    a cell whose pictures did not all fit says how many are missing.
    """
    bare = _page(report, ())
    shots = _affordable(report.pictures, MOST_BYTES - len(bare))
    return _page(report, shots) if shots else bare


def _page(report: Report, shots: Sequence[_Shot]) -> bytes:
    from markupsafe import Markup

    judged = report.judgement
    names = [plain(name, NAME_LENGTH) for name in judged.classes]
    cards = [shot for shot in shots if not shot.right][:MISTAKES]
    style, script = _template("report.css"), _template("report.js")
    template = _environment().get_template("report.html.j2")
    page = template.render(
        report=report,
        judged=judged,
        names=names,
        correct=int(np.trace(judged.confusion)),
        rivals=_rivals(report),
        measures=_measures(judged),
        matrix=_matrix(judged, names) if len(names) <= TABLE_CLASSES else None,
        pairs=_pairs(judged),
        panels=_panels(report.course),
        reliability=charts.reliability(judged.reliability),
        heat_scale=charts.heat_scale(),
        cards=cards,
        shown=len(shots),
        has_heat=any(shot.png for shot in cards),
        cut_pictures=_cut_pictures(report),
        stages=_stages(report),
        settings=plain_json(report.settings),
        words=WORDS,
        policy=policy(style, script),
        style=Markup(style),  # noqa: S704  # a file of this package
        script=Markup(script),  # noqa: S704  # a file of this package
        data=inert_json(_data(judged, names, shots, cards)),
    )
    return page.encode()


def policy(style: str, script: str) -> str:
    """Return a Content-Security-Policy that allows this style, this script and data pictures."""
    style_hash, script_hash = (
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        for text in (style, script)
    )
    return (
        f"default-src 'none'; img-src data:; style-src 'sha256-{style_hash}'; "
        f"script-src 'sha256-{script_hash}'; base-uri 'none'; form-action 'none'"
    )


def inert_json(value: object) -> Markup:
    r"""Return JSON that may stand inside a script element: nothing in it can end the element.

    >>> print(inert_json("</script><!--"))
    "\u003c/script\u003e\u003c!--"
    """
    from markupsafe import Markup

    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704  # no character left that HTML gives a meaning


@dataclass(frozen=True, slots=True)
class _Shot:
    """A picture as it stands in the file."""

    picture: Picture
    jpeg: str  # base64
    png: str  # base64; empty: no heat map

    @property
    def right(self) -> bool:
        return self.picture.truth == self.picture.answer

    @property
    def path(self) -> str:
        return plain(self.picture.path)


def _affordable(pictures: Sequence[Picture], room: int) -> list[_Shot]:
    """Return the pictures that fit into ``room`` bytes, most telling first."""
    if not pictures:
        return []
    order = worth_showing(
        np.asarray([picture.truth for picture in pictures]),
        np.asarray([picture.answer for picture in pictures]),
        np.asarray([picture.confidence for picture in pictures]),
    )
    shots: list[_Shot] = []
    for picture in (pictures[row] for row in order):
        png = base64.b64encode(heat_png(picture.heat)).decode() if picture.heat is not None else ""
        shot = _Shot(picture, base64.b64encode(picture.thumbnail).decode(), png)
        is_card = not shot.right and len(shots) < MISTAKES
        around = CARD_BYTES if is_card else SHOT_BYTES
        size = len(shot.jpeg) + len(shot.png) + 6 * len(shot.path) + around
        if size <= room:
            room -= size
            shots.append(shot)
    return shots


@dataclass(frozen=True, slots=True)
class _Rival:
    label: str
    kind: str  # us, them or hope: how it is drawn
    interval: Interval
    track: Markup


def _rivals(report: Report) -> Iterator[_Rival]:
    """Yield this model, the baselines, and what the fit had promised."""
    judged = report.judgement

    def rival(label: str, kind: str, interval: Interval) -> _Rival:
        return _Rival(label, kind, interval, charts.track(interval))

    top1 = judged.metrics["top1"]
    yield rival(f"This model ({plain(report.model.backbone, 40)})", "us", top1)
    if "top1" in judged.promised:
        yield rival("Promised by the fit", "hope", judged.promised["top1"])
    for baseline in judged.baselines:
        label = BASELINES.get(baseline.name, plain(baseline.name, 60))
        yield rival(label, "them", baseline.metrics["top1"])


@dataclass(frozen=True, slots=True)
class _Measure:
    meaning: Meaning
    interval: Interval
    track: Markup | None
    others: list[tuple[str, float]]  # what to compare with: words, value


def _measures(judged: Judgement) -> Iterator[_Measure]:
    """Yield every metric that has a number, with what it is to be compared with."""
    for metric, interval in judged.metrics.items():
        if interval.value is None or metric in SAME_AS_ANOTHER:
            continue
        others = []
        if metric in judged.promised:
            others.append(("promised", judged.promised[metric].value))
        others += [
            (baseline.name, baseline.metrics[metric].value)
            for baseline in judged.baselines
            if metric in baseline.metrics
        ]
        known = [(plain(who, 40), value) for who, value in others if value is not None]
        said = meaning(metric)
        track = None
        if said.on_rail:
            track = charts.track(interval, rivals=[value for _, value in known])
        yield _Measure(said, interval, track, known)


@dataclass(frozen=True, slots=True)
class _Cell:
    count: int
    share: float  # of the images of the true class
    tint: int  # 1 to 10
    label: str


def _matrix(judged: Judgement, names: Sequence[str]) -> list[list[_Cell | None]]:
    """Return the confusion matrix for a table; None where it is zero."""
    support_K = judged.confusion.sum(axis=1)

    def cell(truth: int, answer: int) -> _Cell | None:
        count = int(judged.confusion[truth, answer])
        if not count:
            return None
        share = count / int(support_K[truth])
        tint = math.ceil(10 * (share if truth == answer else math.sqrt(share)))
        said = "answered right" if truth == answer else f"taken for {names[answer]}"
        return _Cell(count, share, tint, f"{names[truth]} {said}: {count}, {percent(share)}")

    return [[cell(truth, answer) for answer in range(len(names))] for truth in range(len(names))]


def _pairs(judged: Judgement) -> list[tuple[int, int, int, float]]:
    """Return the most confused pairs: truth, answer, count, share of the true class."""
    wrong_KK = judged.confusion.copy()
    np.fill_diagonal(wrong_KK, 0)
    truths, answers = np.nonzero(wrong_KK)
    counts = wrong_KK[truths, answers]
    support_K = judged.confusion.sum(axis=1)
    return [
        (int(t), int(a), int(wrong_KK[t, a]), float(wrong_KK[t, a] / support_K[t]))
        for t, a in ((truths[i], answers[i]) for i in np.argsort(-counts, kind="stable")[:PAIRS])
    ]


def _stages(report: Report) -> list[tuple[str, float, Markup]]:
    """Return every stage of the run: its name, its seconds, and them as a share of all."""
    total = sum(report.cost.seconds.values()) or 1.0
    return [
        (plain(stage, 60), seconds, charts.bar(Interval(seconds / total)))
        for stage, seconds in report.cost.seconds.items()
    ]


def _panels(course: curves.Course | None) -> list[tuple[str, Markup]]:
    """Return what is drawn of a training: each panel's name, and the panel."""
    if course is None:
        return []
    return [
        ("Loss", curves.loss_curves(course)),
        ("Right on val", curves.score_curves(course)),
        ("Learning rate", curves.rate_curve(course)),
    ]


def _cut_pictures(report: Report) -> list[tuple[str, Markup]]:
    """Return examples of what the centre crop leaves out, where that is much."""
    cut = report.data.cut_away
    if cut is None or cut.share < MUCH_CUT_AWAY:
        return []
    return [(plain(each.path), charts.crop_frame(each)) for each in cut.examples]


def _data(
    judged: Judgement, names: Sequence[str], shots: Sequence[_Shot], cards: Sequence[_Shot]
) -> dict[str, Any]:
    """Return what the script reads; a picture that is a card already is not there twice."""
    truths, answers = np.nonzero(judged.confusion)
    cells = np.stack([truths, answers, judged.confusion[truths, answers]], axis=1)
    card = {id(shot): f"card-{number}" for number, shot in enumerate(cards)}
    pictures = []
    for shot in shots:
        facts: dict[str, Any] = {
            "path": shot.path,
            "truth": shot.picture.truth,
            "answer": shot.picture.answer,
            "confidence": round(shot.picture.confidence, 4),
        }
        if id(shot) in card:
            facts["card"] = card[id(shot)]
        else:
            facts |= {"jpeg": shot.jpeg, **({"png": shot.png} if shot.png else {})}
        pictures.append(facts)
    return {"classes": names, "cells": cells.ravel().tolist(), "pictures": pictures}


def _template(name: str) -> str:
    return (files("foveal.evaluate") / "templates" / name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(
        loader=FunctionLoader(_template),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(plain=plain, percent=percent, number=number, bar=charts.bar)
    return environment

"""A judgement as text for a terminal: the metrics, what they mean, the classes that fare worst."""

from __future__ import annotations

from foveal.evaluate.glossary import SAME_AS_ANOTHER, meaning
from foveal.evaluate.interval import Interval
from foveal.evaluate.judgement import Judgement
from foveal.evaluate.wording import number, plain

Row = tuple[str, ...]

NAME_LENGTH = 40  # of a class; longer ones are shortened in the middle


def lines(judgement: Judgement) -> list[Row]:
    """Return a heading and a row per metric: name, value, interval, what was promised, baselines.

    The column of promises is there only if something was promised; a metric that has no number
    for these predictions has no row.
    """
    promised = judgement.promised
    heading = ["", "test", "95 % interval", *(["promised"] if promised else [])]
    rows = [(*heading, *(baseline.name for baseline in judgement.baselines))]
    for name, interval in judgement.metrics.items():
        if interval.value is None or name in SAME_AS_ANOTHER:
            continue
        shown = meaning(name)
        others = [promised.get(name, Interval(None))] if promised else []
        others += [baseline.metrics[name] for baseline in judgement.baselines]
        rows.append(
            (
                shown.label,
                number(interval.value, in_percent=shown.in_percent),
                _span(interval, in_percent=shown.in_percent),
                *(number(other.value, in_percent=shown.in_percent) for other in others),
            )
        )
    return rows


def sentence_lines(judgement: Judgement) -> list[str]:
    """Return what the numbers mean; what is heavy begins with a word that says so."""
    return [
        each.text if each.weight == "fact" else f"{each.weight.capitalize()}: {each.text}"
        for each in judgement.said
    ]


def class_lines(judgement: Judgement, *, most: int = 10) -> list[Row]:
    """Return a heading and a row for the ``most`` classes with the least F1, worst first.

    Classes without test images have no row: nothing is known of them.
    """
    rows: list[Row] = [("class", "images", "recall", "95 % interval", "precision", "F1")]
    tested = [row for row in judgement.per_class if row.support]
    tested.sort(key=lambda row: (row.numbers["f1"].value or 0.0, row.name))
    for row in tested[:most]:
        recall = row.numbers["recall"]
        rows.append(
            (
                plain(row.name, NAME_LENGTH),
                str(row.support),
                number(recall.value),
                _span(recall, in_percent=True),
                number(row.numbers["precision"].value),
                number(row.numbers["f1"].value),
            )
        )
    return rows


def _span(interval: Interval, *, in_percent: bool) -> str:
    if interval.low is None or interval.high is None:
        return "–"
    ends = (number(end, in_percent=in_percent) for end in (interval.low, interval.high))
    return " to ".join(ends)

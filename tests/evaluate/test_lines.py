"""The terminal's rows have one width, hide what has no number, and put the worst classes first."""

from __future__ import annotations

import numpy as np

from foveal.evaluate.interval import Interval
from foveal.evaluate.judge import Judgement, judge, majority
from foveal.evaluate.lines import class_lines, lines, sentence_lines
from foveal.model.predictions import Predictions


def judgement(*, promised: dict[str, Interval] | None = None, absent: bool = False) -> Judgement:
    rng = np.random.default_rng(0)
    labels_N = rng.integers(4, size=80)
    p_NK = rng.dirichlet(np.ones(5 if absent else 4), size=80)
    p_NK[np.arange(80), labels_N] += labels_N / 3
    given = Predictions(
        probabilities=p_NK / p_NK.sum(axis=1, keepdims=True),
        labels=labels_N,
        classes=("a" * 100, "b\n", "c", "d", "e")[: p_NK.shape[1]],
        paths=("",) * 80,
        ids=("",) * 80,
    )
    baselines = {"majority": majority(given, [9, 1, 1, 1, 1][: p_NK.shape[1]])}
    return judge(given, baselines=baselines, promised=promised, resamples=200)


def test_rows_are_as_wide_as_their_heading() -> None:
    rows = lines(judgement())
    assert rows[0] == ("", "test", "95 % interval", "majority")
    assert {len(row) for row in rows} == {4}


def test_what_was_promised_has_its_own_column() -> None:
    rows = lines(judgement(promised={"top1": Interval(0.5)}))
    assert rows[0] == ("", "test", "95 % interval", "promised", "majority")
    assert rows[1][3] == "50.0\xa0%"
    assert rows[2][3] == "–"


def test_a_metric_without_a_number_has_no_row() -> None:
    assert not any("five" in row[0] for row in lines(judgement()))


def test_values_are_the_judgements() -> None:
    found = judgement()
    right = next(row for row in lines(found) if row[0] == "Accuracy (top-1)")
    assert right[1] == f"{100 * found.metrics['top1'].value:.1f}\xa0%"
    loss = next(row for row in lines(found) if row[0] == "Log loss")
    low, high = found.metrics["log_loss"].low, found.metrics["log_loss"].high
    assert loss[2] == f"{low:.3f} to {high:.3f}"


def test_the_worst_classes_come_first_and_absent_ones_not_at_all() -> None:
    found = judgement(absent=True)
    rows = class_lines(found)[1:]
    assert len(rows) == 4
    assert not any(row[0] == "e" for row in rows)
    f1 = [float(row[5].removesuffix("\xa0%")) for row in rows]
    assert f1 == sorted(f1)
    assert class_lines(found, most=2)[1:] == rows[:2]


def test_class_names_fit_on_a_line() -> None:
    names = [row[0] for row in class_lines(judgement())[1:]]
    assert all(len(name) <= 40 and "\n" not in name for name in names)


def test_what_is_heavy_says_so_in_a_word_of_its_own() -> None:
    found = judgement(promised={"top1": Interval(0.9999, 0.999, 1.0)})
    text = sentence_lines(found)
    assert [line.split(":")[0] for line in text if "NOT kept" in line] == ["Warning"]
    for line, each in zip(text, found.said, strict=True):
        word = {"warning": "Warning: ", "note": "Note: ", "fact": ""}[each.weight]
        assert line == word + each.text

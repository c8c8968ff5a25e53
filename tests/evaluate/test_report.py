from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from foveal.core.errors import OutOfRange
from foveal.core.settings import to_json
from foveal.evaluate.curves import Course, course_in
from foveal.evaluate.report import DataSummary, Picture, Report

MakeReport = Callable[..., Report]
PICTURE = Picture(path="a.jpg", truth=0, answer=1, confidence=0.5, thumbnail=b"")


@pytest.mark.parametrize(
    "wrong",
    [
        {"confidence": 1.5},
        {"confidence": float("nan")},
        {"unexplained": -0.1},
        {"heat": np.zeros(4, np.float32)},
    ],
    ids=str,
)
def test_a_picture_refuses_shares_that_are_none_and_heat_that_is_no_map(
    wrong: dict[str, object],
) -> None:
    with pytest.raises(OutOfRange, match=r"a\.jpg"):
        replace(PICTURE, **wrong)


@pytest.mark.parametrize("wrong", [{"truth": 2}, {"answer": -1}], ids=str)
def test_a_report_refuses_pictures_of_classes_that_do_not_exist(
    wrong: dict[str, int], make_report: MakeReport
) -> None:
    with pytest.raises(OutOfRange, match=r"class numbers in \[0, 2\)"):
        replace(make_report(pictures=False), pictures=(replace(PICTURE, **wrong),))


def test_a_report_refuses_a_part_that_does_not_count_every_class(make_report: MakeReport) -> None:
    with pytest.raises(OutOfRange, match="counts of train"):
        make_report(data=DataSummary(source="", counts={"train": (1, 2, 3)}))


def test_as_json_it_has_the_metrics_on_top_and_no_bytes(make_report: MakeReport) -> None:
    report = make_report()
    values = json.loads(to_json(report.to_mapping()))
    top1 = report.judgement.metrics["top1"]
    assert values["top1"] == {"value": top1.value, "low": top1.low, "high": top1.high}
    assert values["data"]["cut_away"] == 0.43
    assert values["data"]["left_out"] == 3
    assert values["choice"][1]["chosen"] is True
    assert values["model"]["temperature"] == 1.31
    assert values["command"].startswith("foveal fit")
    first = report.pictures[0]
    assert values["pictures"][0] == {
        "path": first.path,
        "truth": report.judgement.classes[first.truth],
        "answer": report.judgement.classes[first.answer],
        "confidence": first.confidence,
    }


def test_as_json_it_tells_the_course_of_a_training(make_report: MakeReport, course: Course) -> None:
    values = json.loads(to_json(make_report(course=course).to_mapping()))
    assert values["course"]["kept"] == 9
    assert values["course"]["epochs"][8]["val_loss"] == 0.4
    assert course_in(values["course"]) == course
    assert make_report().to_mapping()["course"] is None


def test_the_record_loads_neither_the_template_engine_nor_pillow() -> None:
    code = (
        "import sys, foveal.evaluate.report, foveal.evaluate.page; "
        "print(sorted({'jinja2', 'PIL', 'polars', 'onnxruntime', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"

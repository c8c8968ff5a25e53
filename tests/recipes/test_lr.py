"""Learning rates, from photographs to a suggestion and a chart."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from foveal.core.errors import AlreadyThere, BadWeights, NotThere, OutOfRange, UnknownName
from foveal.recipes.lr import LearningRates, find_rates
from foveal.recipes.requested import FitOrder
from foveal.train.network.rate_range import RatePoint, RateRange

QUICK = {"batch": 16, "policy": "none", "smoothing": 0.0}


@pytest.fixture(scope="module")
def hard(make_photos: Callable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs that a frozen tiny network with seeded weights tells apart badly."""
    return make_photos(tmp_path_factory.mktemp("hard") / "photos", hard=True, count=12)


def order(data: Path, backbone: Path | str, **changes: object) -> FitOrder:
    return FitOrder.from_options(data, None, {**QUICK, "backbone": str(backbone), **changes})


@pytest.fixture(scope="module")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("drawn") / "new" / "lr.svg"


@pytest.fixture(scope="module")
def found(hard: Path, trainable: Path, chart: Path) -> LearningRates:
    return find_rates(order(hard, trainable), chart, steps=60)


def test_rates_from_a_thousandth_of_what_was_set_upwards_are_tried(found: LearningRates) -> None:
    points = found.to_mapping()["points"]
    assert points[0]["rate"] == pytest.approx(5e-7)
    assert [p["rate"] for p in points] == sorted(p["rate"] for p in points)
    assert 10 < len(points) <= 60
    assert points[-1]["rate"] <= 0.5 * 1.0001
    assert min(p["smoothed"] for p in points) < points[0]["smoothed"]  # it learns


def test_the_suggestion_is_for_both_rates_in_the_proportion_that_was_set(
    found: LearningRates,
) -> None:
    values = found.to_mapping()
    assert values["set"] == {"rate": 5e-4, "head_rate": 3e-3}
    if values["suggestion"] is not None:
        ratio = values["suggestion"]["head_rate"] / values["suggestion"]["rate"]
        assert ratio == pytest.approx(6.0)
    assert json.loads(json.dumps(values, allow_nan=False)) == values


def test_the_chart_shows_every_step(found: LearningRates, chart: Path) -> None:
    drawn = ElementTree.fromstring(chart.read_bytes())
    dots = [each for each in drawn.iter() if each.get("class") == "batch"]
    assert len(dots) == len(found.found.points)
    said = ["".join(each.itertext()) for each in drawn.iter() if each.tag.endswith("text")]
    assert "photos: loss over learning rate, adamw" in said
    assert "as it was set: 5e-4" in said


def test_without_a_name_nothing_is_drawn_and_the_same_is_found(
    found: LearningRates, hard: Path, trainable: Path, tmp_path: Path
) -> None:
    again = find_rates(order(hard, trainable), steps=60)
    assert again.chart is None
    assert again.found == found.found


def course(**changes: object) -> LearningRates:
    points = tuple(RatePoint(10.0**n, 1.0, 1.0) for n in range(-3, 3))
    whole = RateRange(points=points, too_high=True, steepest=0.2, tenth=0.5)
    rates = LearningRates(
        found=replace(whole, **changes),  # type: ignore[arg-type]  # a test's own words
        optimizer="adamw",
        rate=5e-4,
        head_rate=3e-3,
    )
    return replace(rates, chart=Path("lr.svg"))


def test_people_read_what_to_type_and_why() -> None:
    assert course().lines() == [
        "Suggested for adamw: --rate 2.5e-4 --head-rate 1.5e-3",
        "The loss falls fastest at 1e-4; a tenth of the rate at its least is 2.5e-4.",
        "At 5e-2 it was too high: the loss left all it had reached.",
        "lr.svg: 6 steps",
    ]


def test_where_nothing_is_suggested_it_is_said_why() -> None:
    rising = course(steepest=None, tenth=None).lines()
    assert rising[0].startswith("Nothing is suggested: the loss fell at no rate.")
    assert len(rising) == 3
    flat = course(steepest=None, tenth=None, too_high=False).lines()
    assert flat[:2] == [
        "Nothing is suggested: the loss neither fell nor rose. Try --steps 300.",
        "Not even 5e-2 was too high.",
    ]
    assert course(steepest=None, tenth=None).to_mapping()["suggestion"] is None


def test_one_mark_is_the_suggestion() -> None:
    drawn = ElementTree.fromstring(course().svg("title"))
    said = ["".join(each.itertext()) for each in drawn.iter() if each.get("class") == "said"]
    assert said == [
        "where the loss falls fastest: 1e-4",
        "a tenth of the rate at the least loss (suggested): 2.5e-4",
        "as it was set: 5e-4",
    ]
    chosen = [each for each in drawn.iter() if each.get("class") == "chosen"]
    assert len(chosen) == 2  # at its rate, and in the legend


@pytest.mark.parametrize(
    ("changes", "kind", "sentence"),
    [
        ({"policy": "lihgt"}, UnknownName, "Did you mean 'light'?"),
        ({"freeze_until": "stage9"}, UnknownName, "'stage9'"),
        ({"rate": 0.0}, OutOfRange, "rate = 0.0 cannot work."),
        ({"device": "cuda:9"}, NotThere, "is not there"),
    ],
)
def test_a_setting_that_cannot_work_is_one_sentence(
    hard: Path, trainable: Path, changes: dict, kind: type[Exception], sentence: str
) -> None:
    with pytest.raises(kind) as refused:
        find_rates(order(hard, trainable, **changes))
    assert sentence in str(refused.value)


def test_a_network_that_cannot_be_trained_is_one_sentence(hard: Path) -> None:
    with pytest.raises(BadWeights, match="classical"):
        find_rates(order(hard, "classical"))


def test_what_cannot_be_written_or_read_is_refused_before_any_work(
    hard: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foveal.recipes.lr.read", None)
    (tmp_path / "mine.svg").write_text("mine")
    with pytest.raises(AlreadyThere, match="already exists"):
        find_rates(order(hard, "resnet18"), tmp_path / "mine.svg")
    with pytest.raises(OutOfRange, match=r"ends in \.svg"):
        find_rates(order(hard, "resnet18"), tmp_path / "lr.png")
    with pytest.raises(NotThere, match="There is no dataset"):
        find_rates(order(tmp_path / "nowhere", "resnet18"))
    with pytest.raises(OutOfRange, match=r"steps = 9 cannot work\. Expected at least 10"):
        find_rates(order(hard, "resnet18"), steps=9)

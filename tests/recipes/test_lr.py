"""Learning rates, from photographs to a suggestion and a chart."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from foveal.core.errors import AlreadyThere, BadData, BadWeights, NotThere, OutOfRange, UnknownName
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
    steps = [each for each in drawn if each.get("class", "").split()[:1] == ["batch"]]
    assert len(steps) == len(found.found.points)
    said = ["".join(each.itertext()) for each in drawn.iter() if each.tag.endswith("text")]
    assert "photos: loss over learning rate, adamw" in said
    assert "--rate as it is set: 5e-4" in said


def test_without_a_name_nothing_is_drawn_and_the_same_is_found(
    found: LearningRates, hard: Path, trainable: Path, tmp_path: Path
) -> None:
    again = find_rates(order(hard, trainable), steps=60)
    assert again.chart is None
    assert again.found == found.found


def course(**changes: object) -> LearningRates:
    points = tuple(RatePoint(10.0**n, 1.0, 1.1, 1.2) for n in range(-3, 3))
    whole = RateRange(points=points, at_first=1.0, too_high=True, steepest=0.2, least=0.5)
    rates = LearningRates(
        found=replace(whole, **changes),  # type: ignore[arg-type]  # a test's own words
        optimizer="adamw",
        strategy="finetune",
        rate=5e-4,
        head_rate=3e-3,
    )
    return replace(rates, chart=Path("lr.svg"))


def test_people_read_what_to_type_and_why() -> None:
    assert course().lines() == [
        "Suggested: --rate 2.5e-4 --head-rate 1.5e-3",
        "Give these to `foveal fit --strategy finetune`, other options as here: up to this rate "
        "the loss fell, above it it rose again.",
        "If a training with them does badly: --rate 1e-4 --head-rate 6e-4, where the loss fell "
        "fastest.",
        "One short test is no training: which rate is better, only val can tell. Without these "
        "options it is --rate 5e-4 --head-rate 3e-3.",
        "Tried on a copy of the network, for adamw: 6 rates from 5e-7 to 5e-2, a training step "
        "each.",
        "lr.svg: the chart",
    ]


def test_where_no_rate_was_too_high_people_read_how_to_try_higher_ones() -> None:
    lines = course(too_high=False).lines()
    assert lines[0] == "Suggested: --rate 2.5e-4 --head-rate 1.5e-3"
    assert "the loss was least there, and no rate up to 5e-2 was too high." in lines[1]
    assert lines[3] == (
        "Higher ones may do better; to try them: foveal lr … --rate 5e-2 --head-rate 0.3"
    )
    assert not any("rose" in line for line in lines)


def test_where_nothing_is_suggested_it_is_said_why_and_what_to_do() -> None:
    rising = course(steepest=None, least=None)
    assert rising.lines()[0] == (
        "Nothing is suggested: at no rate did the loss fall by more than chance before it rose."
    )
    assert "`--strategy probe` is enough" in rising.lines()[1]
    assert "--steps 300" in rising.lines()[1]
    flat = course(steepest=None, least=None, too_high=False).lines()
    assert flat[:2] == [
        "Nothing is suggested: up to 5e-2 the loss neither fell nor rose by more than chance.",
        "Try higher rates: foveal lr … --rate 5e-2 --head-rate 0.3; or a longer test: --steps 300.",
    ]
    assert not any("Suggested" in line or "Give these" in line for line in rising.lines() + flat)
    assert rising.to_mapping()["suggestion"] is None
    assert "No fall is more than chance." in rising.svg("title")
    assert "suggested" not in rising.svg("title")


def test_one_mark_is_the_suggestion() -> None:
    drawn = ElementTree.fromstring(course().svg("title"))
    said = ["".join(each.itertext()) for each in drawn.iter() if each.get("class") == "said"]
    assert said[:3] == [
        "suggested --rate, where the loss is least: 2.5e-4",
        "where the loss falls fastest, the careful choice: 1e-4",
        "--rate as it is set: 5e-4",
    ]
    chosen = [each for each in drawn.iter() if each.get("class") == "chosen"]
    assert len(chosen) == 2  # at its rate, and in the legend


def test_scripts_get_every_step_and_what_was_taken_off() -> None:
    values = course().to_mapping()
    assert values["points"][0] == {
        "rate": pytest.approx(5e-7),
        "loss": 1.0,
        "evened": 1.1,
        "smoothed": 1.2,
    }
    assert (values["loss_at_first"], values["least"]["rate"]) == (1.0, pytest.approx(2.5e-4))


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


def test_pictures_that_nothing_can_be_learnt_from_are_one_sentence(
    make_photos: Callable, hard: Path, trainable: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadData, match="holds no picture"):
        find_rates(order(tmp_path / "empty", trainable))
    one = tmp_path / "one"
    shutil.copytree(next(each for each in hard.iterdir() if each.is_dir()), one / "only")
    with pytest.raises(BadData, match="of one class only, 'only'"):
        find_rates(order(one, trainable))
    few = make_photos(tmp_path / "few", count=1)
    with pytest.raises(BadData, match="one picture"):
        find_rates(order(few, trainable))


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
    with pytest.raises(OutOfRange, match=r"steps = 19 cannot work\. Expected at least 20"):
        find_rates(order(hard, "resnet18"), steps=19)

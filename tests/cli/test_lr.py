"""`foveal lr`: a suggestion in words or as JSON, a chart, one sentence for what cannot be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from foveal.core.listener import Listener
from foveal.recipes.lr import LearningRates
from foveal.recipes.requested import FitOrder
from foveal.train.network.rate_range import RatePoint, RateRange

POINTS = tuple(RatePoint(10.0**n, 1.0, 1.0, 1.0) for n in range(-3, 3))
FOUND = RateRange(points=POINTS, at_first=1.0, too_high=True, steepest=0.1, least=0.5)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[FitOrder, Path | None, int, bool]]:
    """What the verb asked for; the recipe has tests of its own."""
    orders: list[tuple[FitOrder, Path | None, int, bool]] = []

    def find(
        order: FitOrder, out: Path | None, *, steps: int, overwrite: bool, listener: Listener
    ) -> LearningRates:
        orders.append((order, out, steps, overwrite))
        listener.say("A word.")
        return LearningRates(
            found=FOUND, optimizer="sgd", strategy="finetune", rate=0.1, head_rate=0.2, chart=out
        )

    monkeypatch.setattr("foveal.recipes.lr.find_rates", find)
    return orders


def test_it_says_what_to_type(cli: Callable, asked: list, photos: Path) -> None:
    said = cli("lr", photos, "-o", "lr.svg")
    assert (said.code, said.err) == (0, "A word.\n")
    assert said.out.splitlines()[0] == "Suggested: --rate 5e-2 --head-rate 0.1"
    assert said.out.splitlines()[-1] == "lr.svg: the chart"


def test_json_is_one_object(cli: Callable, asked: list, photos: Path) -> None:
    values = json.loads(cli("lr", photos, "--json", "-q").out)
    assert values["suggestion"] == pytest.approx({"rate": 0.05, "head_rate": 0.1})
    assert values["chart"] is None
    assert len(values["points"]) == 6


def test_every_option_reaches_the_settings(cli: Callable, asked: list, photos: Path) -> None:
    said = cli(
        "lr", photos, "--steps", 40, "--overwrite", "--backbone", "resnet18", "--size", 96,
        "--strategy", "scratch", "--batch", 8, "--micro", 4, "--policy", "flip",
        "--optimizer", "sgd", "--rate", 0.1, "--head-rate", 0.2, "--layer-decay", 0.5,
        "--weight-decay", 0.1, "--freeze-until", "stage1", "--loss", "focal", "--smoothing", 0.2,
        "--sampling", "balanced", "--clip", 2, "--val-share", 0.3, "--device", "cpu",
        "--precision", "float32", "--workers", 1, "--class-weights", "balanced",
        "--test-share", 0.1, "--seed", 7, "--max-broken", 0.5,
    )  # fmt: skip
    assert said.code == 0, said.err
    ((order, out, steps, overwrite),) = asked
    assert (order.data, out, steps, overwrite) == (photos, None, 40, True)
    assert (order.fit.backbone.backbone, order.fit.backbone.size_px) == ("resnet18", 96)
    train = order.fit.train
    assert (train.strategy, train.batch, train.micro, train.policy) == ("scratch", 8, 4, "flip")
    assert (train.optimizer, train.rate, train.head_rate) == ("sgd", 0.1, 0.2)
    assert (train.layer_decay, train.weight_decay, train.freeze_until) == (0.5, 0.1, "stage1")
    assert (train.loss, train.smoothing, train.sampling) == ("focal", 0.2, "balanced")
    assert (train.clip, train.val_share, train.device) == (2.0, 0.3, "cpu")
    assert (train.precision, train.workers) == ("float32", 1)
    assert order.fit.probe.class_weights == "balanced"
    assert (order.fit.prepare.test_share, order.fit.prepare.seed) == (0.1, 7)
    assert order.fit.prepare.max_broken == 0.5


def test_the_base_install_is_told_which_extra_it_needs(
    refused: Callable, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foveal.recipes.training.schooling.not_installed", lambda: ["torch"])
    assert refused(1, "lr", photos, "--backbone", "classical") == (
        "Training a network needs the extra 'train'. Run: pip install 'foveal[train]'"
    )


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--steps", "19"], "--steps 19 cannot work. Expected at least 20."),
        (["--rate", "0"], "--rate 0.0 cannot work. Expected more than 0 and finite."),
        (["-o", "lr.pdf"], "Expected a file name that ends in .svg."),
        (
            ["--strategy", "probe"],
            "--strategy 'probe' cannot work. Expected finetune, scratch or auto: a probe learns at "
            "no rate.",
        ),
        (["--strategy", "fintune"], "Did you mean 'finetune'?"),
        (["--policy", "lihgt", "--backbone", "classical"], "Did you mean 'light'?"),
    ],
)
def test_an_option_that_cannot_work_is_one_sentence(
    refused: Callable, photos: Path, words: list[str], sentence: str
) -> None:
    assert sentence in refused(2, "lr", photos, *words)


def test_a_chart_that_is_there_is_left_alone(
    refused: Callable, photos: Path, tmp_path: Path
) -> None:
    chart = tmp_path / "lr.svg"
    chart.write_text("mine")
    said = refused(2, "lr", photos, "--backbone", "resnet18", "-o", chart)
    assert "already exists" in said
    assert "--overwrite" in said
    assert chart.read_text() == "mine"

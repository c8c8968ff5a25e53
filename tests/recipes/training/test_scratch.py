"""Training from scratch, and what a dry run says of it."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import foveal
from foveal.core.errors import OutOfRange, UnknownName
from foveal.recipes.model import Model
from foveal.recipes.training.diary import Diary
from foveal.recipes.workplace import Workplace

QUICK = {
    "strategy": "scratch",
    "backbone": "test_resnet",
    "size_px": 64,
    "epochs": 1,
    "batch": 16,
    "average": 0.5,
}


@pytest.fixture(scope="module")
def model(photos: Path) -> Model:
    return foveal.fit(photos, **QUICK)


def test_it_learns_from_nothing(photos: Path) -> None:
    one = foveal.fit(photos, **{**QUICK, "epochs": 10, "batch": 8, "rate": 3e-3, "policy": "none"})
    losses = [epoch["train_loss"] for epoch in one.run["course"]["epochs"]]
    assert losses[-1] < 0.8 * losses[0]
    assert one.bundle.card["promise"]["metrics"]["top1"]["value"] > 0.5


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(
    model: Model, photos: Path
) -> None:
    again, other = foveal.fit(photos, **QUICK), foveal.fit(photos, **QUICK, seed=1)
    assert again.bundle.card["sha256"] == model.bundle.card["sha256"]
    assert other.bundle.card["sha256"]["model.onnx"] != model.bundle.card["sha256"]["model.onnx"]


def test_it_is_a_model_like_any_other(model: Model, photos: Path, tmp_path: Path) -> None:
    folder = model.save(tmp_path / "model")
    card = foveal.load(folder).bundle.card
    assert card["backbone"]["weights"].startswith("chance (seed 0)")
    assert card["training"]["strategy"] == "scratch"
    judged = foveal.load(folder).test(photos)
    assert np.isfinite(judged.judgement.metrics["log_loss"].value)
    assert [baseline.name for baseline in judged.judgement.baselines] == ["majority", "classical"]


def test_a_stage_that_is_none_is_refused_before_any_work(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foveal.recipes.training.scratch.with_val", None)
    with pytest.raises(UnknownName, match="stage9"):
        foveal.fit(photos, **QUICK, freeze_until="stage9")


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"backbone": "test_resnett"}, UnknownName, "Did you mean 'test_resnet'"),
        ({"backbone": "auto"}, OutOfRange, "the name of a network"),
        ({"weights": "w.safetensors"}, OutOfRange, "nothing: from scratch"),
        ({"model_args": {"depth": 3}}, OutOfRange, "arguments that timm's test_resnet takes"),
    ],
)
def test_what_cannot_be_trained_from_scratch_costs_one_sentence(
    photos: Path, changes: dict, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        foveal.fit(photos, **{**QUICK, **changes})


def test_a_dry_run_says_what_it_takes_and_writes_nothing(
    photos: Path, tmp_path: Path, cli: Callable
) -> None:
    words = ["--strategy", "scratch", "--backbone", "test_resnet", "--size", "64"]
    said = cli("fit", photos, "-o", tmp_path / "model", *words, "--epochs", "3", "--dry-run")
    assert said.code == 0, said.err
    assert "are held out to judge the training by" in said.err
    assert "3 epochs" in said.out
    assert "will take about" in said.out
    assert list(tmp_path.iterdir()) == []


def test_a_batch_that_is_larger_than_the_set_is_said(
    photos: Path, tmp_path: Path, cli: Callable
) -> None:
    words = ["--strategy", "scratch", "--backbone", "test_resnet", "--size", "64", "--dry-run"]
    said = cli("fit", photos, "-o", tmp_path / "model", *words, "--batch", "96", "--epochs", "1")
    assert "A batch of 96 is more than the " in said.err
    said = cli("fit", photos, "-o", tmp_path / "model", *words, "--batch", "16", "--epochs", "1")
    assert "A batch of" not in said.err


def test_a_dry_run_of_what_was_cut_off_says_what_is_left(
    photos: Path, tmp_path: Path, cli: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tell(self: object, news: object) -> None:
        if type(news).__name__ == "Update" and news.step == 4:  # type: ignore[attr-defined]
            signal.raise_signal(signal.SIGINT)

    words = ["--strategy", "scratch", "--backbone", "test_resnet", "--size", "32", "--epochs", "4"]
    out = tmp_path / "model"
    with monkeypatch.context() as patched:
        patched.setattr(Diary, "tell", tell)
        assert cli("fit", photos, "-o", out, *words, "--batch", "16", "-q").code == 130
    before = sorted(tmp_path.rglob("*"))
    said = cli("fit", "-o", out, "--resume", "--dry-run")
    assert said.code == 0, said.err
    assert "of 4 epochs (5 of 12 steps) are done; the rest will take about" in said.out
    left = json.loads(cli("fit", "-o", out, "--resume", "--dry-run", "--json").out)
    assert left["total_seconds"] == pytest.approx(
        left["start_seconds"] + 7 * left["seconds_per_step"] + 3 * left["judge_seconds"]
    )
    other = cli("fit", "-o", out, "--resume", "--dry-run", "--rate", "0.1")
    assert other.code == 2
    assert "cannot be resumed: rate was 0.0005, is 0.1." in other.err
    with Workplace.of(out).held({}, resume=True):
        busy = cli("fit", "-o", out, "--resume", "--dry-run")
    assert "Another process is training" in busy.err
    assert sorted(tmp_path.rglob("*")) == before
    nothing = cli("fit", photos, "-o", tmp_path / "new", *words, "--resume", "--dry-run")
    assert "There is no training to resume" in nothing.err


def test_a_probe_has_no_training_to_forecast(photos: Path, tmp_path: Path, cli: Callable) -> None:
    words = ["--backbone", "classical", "--dry-run"]
    said = cli("fit", photos, "-o", tmp_path / "model", *words)
    assert said.code == 2
    assert said.err.startswith("foveal: --dry-run forecasts a training, and --strategy probe")

"""What a pretraining will cost, said before it is done; and as much of it as a budget allows."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from foveal.core.errors import AlreadyThere
from foveal.recipes.pretraining import pretrain, ready
from foveal.recipes.pretraining.order import FITS
from foveal.recipes.workplace import Workplace
from foveal.train.network import measuring
from foveal.train.network.forecast import Forecast

WORDS = [
    *("--model-arg", "layers=[1,1,1,1]", "--model-arg", "channels=[8,8,16,16]"),
    *("--sizes", "32,64", "--canvas", "64", "--batch", "16", "--val-share", "0.2"),
]


def everything(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps take 1 s at 32 px and 3 s at 64 px, judging 2 s; a teacher 10 s for all pictures."""
    found = measuring._found

    def as_said(*words: object) -> Forecast:
        return replace(
            found(*words),  # type: ignore[arg-type]  # whatever it takes
            seconds_at={32: 1.0, 64: 3.0},
            start_seconds=0.0,
            judge_seconds=2.0,
        )

    monkeypatch.setattr(measuring, "_found", as_said)
    monkeypatch.setattr(ready, "seconds_of", lambda *_: 10.0)


def test_a_dry_run_says_what_it_takes_and_writes_nothing(
    cli: Callable, photos: Path, tmp_path: Path, cheap: None
) -> None:
    words = [photos, "-o", tmp_path / "out", *WORDS, "--epochs", "5", "--dry-run"]
    said = cli("pretrain", *words, "--teacher", "classical")
    assert said.code == 0, said.err
    # 3 steps an epoch: 3 epochs at 32 px, 2 at 64 px
    first, second, *_ = said.out.splitlines()
    assert first.startswith("5 epochs (15 steps) will take about 47 s and ")
    assert "1.0 s at 32 px, 3.0 s at 64 px" in second
    assert "10 s for what the teacher sees" in second
    numbers = json.loads(cli("pretrain", *words, "--json").out)
    assert numbers["total_seconds"] == 3 * (3 * 1 + 2 * 3) + 5 * 2
    assert numbers["seconds_at"] == {"32": 1.0, "64": 3.0}
    assert everything(tmp_path) == []


def test_teacher_steps_and_judging_are_measured(
    cli: Callable, photos: Path, tmp_path: Path
) -> None:
    words = [photos, "-o", tmp_path / "out", *WORDS, "--epochs", "3", "--dry-run", "--json"]
    found = json.loads(cli("pretrain", *words, "--teacher", "classical").out)
    assert all(found[name] > 0 for name in ("before_seconds", "judge_seconds", "checkpoint_mb"))
    assert all(seconds > 0 for seconds in found["seconds_at"].values())
    assert found["measured"] == 4 + 3  # the last size has no more


def test_a_budget_is_worth_whole_epochs_and_they_are_kept(
    cli: Callable, photos: Path, tmp_path: Path, cheap: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [photos, "-o", tmp_path / "out", *WORDS, "--epochs", "4", "--teacher", "classical"]
    budget = ["--budget", "34s"]  # 10 s, and 5 + 5 + 11 s; of 4 epochs two would be large
    said = cli("pretrain", *words, *budget, "--dry-run")
    assert "4 epochs (12 steps) will take about 42 s" in said.err
    assert "3 of them fit into the budget of 34s." in said.err
    assert said.out.startswith("3 epochs (9 steps) will take about 31 s")
    assert everything(tmp_path) == []

    def stop(*_: object, **__: object) -> None:
        raise AlreadyThere("stopped")

    with monkeypatch.context() as patched:
        patched.setattr(pretrain, "_trained", stop)
        assert cli("pretrain", *words, *budget).code == 2
    kept = Workplace.of(tmp_path / "out").settings()
    assert (kept["settings"]["epochs"], kept["settings"]["budget"], kept[FITS]) == (4, "34s", 3)
    done = cli("pretrain", "-o", tmp_path / "out", "--resume", "--json")
    assert [epoch["size"] for epoch in json.loads(done.out)["epochs"]] == [32, 32, 64]


def test_a_budget_too_small_is_one_sentence(
    cli: Callable, photos: Path, tmp_path: Path, cheap: None
) -> None:
    words = [photos, "-o", tmp_path / "out", *WORDS, "--epochs", "4", "--budget"]
    said = cli("pretrain", *words, "15s", "-q")
    assert (said.code, said.err) == (
        2,
        "foveal: --budget '15 s' cannot work. Expected at least 16 s: that is what one epoch at "
        "each of 2 sizes takes here.\n",
    )
    assert "a duration with its unit" in cli("pretrain", *words, "10").err
    assert everything(tmp_path) == []


def test_a_dry_run_of_what_was_cut_off_says_what_is_left(
    cli: Callable, photos: Path, tmp_path: Path, cheap: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [photos, "-o", tmp_path / "out", *WORDS, "--epochs", "4", "--teacher", "classical"]
    with monkeypatch.context() as patched:
        patched.setattr(pretrain._Diary, "tell", _stopped_in_epoch_two)
        assert cli("pretrain", *words, "-q").code == 130
    before = everything(tmp_path)
    said = cli("pretrain", "-o", tmp_path / "out", "--resume", "--dry-run")
    assert said.code == 0, said.err
    begins = "1 of 4 epochs (4 of 12 steps) are done; the rest will take about 26 s"
    assert said.out.startswith(begins)
    assert "teacher" not in said.out  # it is done
    assert everything(tmp_path) == before
    with Workplace.of(tmp_path / "out").kept_out():
        busy = cli("pretrain", "-o", tmp_path / "out", "--resume", "--dry-run")
    assert "Another process is training" in busy.err


def _stopped_in_epoch_two(self: object, news: object) -> None:
    if type(news).__name__ == "Update" and news.step == 3:  # type: ignore[attr-defined]
        signal.raise_signal(signal.SIGINT)

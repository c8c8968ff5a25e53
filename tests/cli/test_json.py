"""`--json`: one object on stdout and nothing else; words go to stderr, and -q silences them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def commands(saved: Path, photos: Path, tmp_path: Path) -> dict[str, list[object]]:
    """Every verb that has ``--json`` and answers with one object."""
    return {
        "fit": ["fit", photos, "-o", tmp_path / "m", "--backbone", "classical"],
        "test": ["test", saved, photos, "-o", tmp_path / "report"],
        "doctor": ["doctor"],
        "cache": ["cache"],
        "clear": ["cache", "--clear"],
    }


@pytest.mark.parametrize("verb", ["fit", "test", "doctor", "cache", "clear"])
def test_stdout_is_exactly_one_json_object(cli: Callable, commands: dict, verb: str) -> None:
    said = cli(*commands[verb], "--json")
    assert said.code == 0
    assert said.out.count("\n") == 1
    assert isinstance(json.loads(said.out), dict)


@pytest.mark.parametrize("verb", ["fit", "test"])
def test_words_go_to_stderr_and_quiet_silences_them(
    cli: Callable, commands: dict, tmp_path: Path, verb: str
) -> None:
    loud = cli(*commands[verb])
    assert loud.err != ""
    assert loud.out != ""
    quiet = cli(*commands[verb], "-q", "--json", *(["--overwrite"] if verb == "fit" else []))
    assert quiet.code == 0
    assert quiet.err == ""


def test_a_fit_tells_what_was_chosen_and_what_it_promises(cli: Callable, commands: dict) -> None:
    values = json.loads(cli(*commands["fit"], "--json").out)
    assert values["classes"] == ["dots", "grid", "waves"]
    assert values["backbone"]["name"] == "classical"
    assert set(values["promise"]["metrics"]["top1"]) == {"value", "low", "high"}
    assert values["data"]["images"] == {"train": 48, "val": 0, "test": 12}
    assert values["seconds"]["features"] > 0
    assert Path(values["model"], "bundle.json").is_file()
    assert Path(values["run"], "run.json").is_file()


def test_a_test_tells_every_metric_with_its_interval(cli: Callable, commands: dict) -> None:
    said = cli(*commands["test"], "--json")
    values = json.loads(said.out)
    for name in (
        "top1", "top5", "balanced_accuracy", "roc_auc", "average_precision", "log_loss",
        "calibration_error",
    ):  # fmt: skip
        assert set(values[name]) == {"value", "low", "high"}, name
    assert values["top1"]["low"] < values["top1"]["value"] == 1.0
    assert "48 of 60 pictures are left out" in said.err
    assert Path(values["report"]).is_file()
    beside = json.loads(Path(values["report"]).with_name("test.json").read_bytes())
    assert {**beside, "report": values["report"]} == values


def test_the_same_numbers_are_told_to_people(cli: Callable, commands: dict) -> None:
    said = cli(*commands["test"])
    first = said.out.splitlines()[1]
    assert first.startswith("Accuracy (top-1)  ")
    assert "100.0\u00a0%" in first
    assert said.out.splitlines()[-1].startswith("Report: ")
    assert "nan" not in said.out.lower().split()


def test_a_fit_tells_people_what_to_do_next(cli: Callable, commands: dict, tmp_path: Path) -> None:
    out = cli(*commands["fit"]).out.splitlines()
    assert out[0] == f"{tmp_path}/m: 3 classes on classical"
    assert "In 5-fold cross-validation, right on" in out[1]
    assert out[-1] == f"12 pictures held out: foveal test {tmp_path}/m PHOTOS"

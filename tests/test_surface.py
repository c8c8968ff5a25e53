"""The surface people build on: public names, verbs, options. A change here is a decision."""

from __future__ import annotations

import subprocess
import sys

import pytest
import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

import foveal
from foveal.cli import app

READING = {
    "--reader", "--path-column", "--label-column", "--part-column", "--root",
    "--group-column", "--group-pattern", "--group-level", "--group-scope",
    "--max-broken", "--strict",
}  # fmt: skip
NETWORK = {
    "--weights", "--model-arg", "--size", "--mean", "--std", "--crop", "--interpolation", "--shape",
}  # fmt: skip
SAYING = {"--json", "--quiet", "-q"}
WRITING = {"--out", "-o", "--overwrite"}

TRAINING = {
    "--epochs", "--batch", "--micro", "--policy", "--val-share", "--sampling", "--patience",
    "--budget", "--optimizer", "--rate", "--head-rate", "--layer-decay", "--weight-decay",
    "--freeze-until", "--batch-norm", "--loss", "--smoothing", "--average", "--clip", "--warmup",
    "--device", "--precision", "--workers", "--compile", "--track",
}  # fmt: skip

VERBS = {
    "fit": READING | NETWORK | SAYING | WRITING | TRAINING
    | {"--backbone", "--features", "--head", "--class-weights", "--folds", "--test-share",
       "--seed", "--settings", "--strategy", "--resume", "--dry-run"},
    "test": READING | SAYING | {"--out", "-o", "--seed"},
    "predict": {"--json", "--csv", "--top", "--quiet", "-q"},
    "import": NETWORK | SAYING | WRITING | {"--classes"},
    "augment": SAYING | WRITING
    | {"--policy", "--pictures", "--variants", "--size", "--shape", "--seed",
       "--reader", "--path-column", "--label-column", "--part-column", "--root"},
    "lr": READING | NETWORK | SAYING | WRITING
    | TRAINING - {"--epochs", "--patience", "--budget", "--average", "--warmup", "--compile",
                  "--track"}
    | {"--backbone", "--class-weights", "--test-share", "--seed", "--settings", "--strategy",
       "--steps"},
    "pretrain": SAYING | WRITING
    | {"--val", "--arch", "--model-arg", "--epochs", "--sizes", "--canvas", "--batch", "--rate",
       "--optimizer", "--weight-decay", "--smoothing", "--average", "--warmup", "--hold",
       "--least-area", "--no-mirror", "--val-share", "--init", "--teacher", "--teacher-weights",
       "--teacher-arg", "--teacher-size", "--teacher-crop", "--teacher-mean", "--teacher-std",
       "--teacher-weight", "--mean", "--std", "--crop", "--device", "--precision", "--seed",
       "--resume", "--dry-run", "--budget",
       "--reader", "--path-column", "--label-column", "--part-column", "--root"},
    "demo": {"--out", "-o", "--overwrite", "--quiet", "-q"},
    "doctor": {"--json"},
    "cache": {"--json", "--clear", "--only"},
}  # fmt: skip


def commands() -> dict[str, TyperCommand]:
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    return group.commands


def test_the_verbs_are_these() -> None:
    assert set(commands()) == set(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_the_options_are_these_and_each_is_explained(verb: str) -> None:
    options = [each for each in commands()[verb].params if isinstance(each, TyperOption)]
    assert {name for option in options for name in option.opts} == VERBS[verb]
    assert all(option.help for option in options)


def test_the_public_names_are_these() -> None:
    assert set(foveal.__all__) == {"FovealError", "__version__", "fit", "load", "read"}
    assert all(hasattr(foveal, name) for name in foveal.__all__)


def foveal_says(*words: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "foveal", *words], capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["fti"], "No verb of foveal is called 'fti'. Did you mean 'fit'?"),
        (["fit", "photos"], "`foveal fit` needs --out. Folder to write the model to."),
        (["fit", "nowhere", "-o", "m"], "There is no dataset at nowhere."),
        (
            ["fit", ".", "-o", "m", "--sede", "1"],
            "`foveal fit` has no option --sede. Did you mean --seed?",
        ),
        (["fit", ".", "-o", "m", "--test-share", "2"], "--test-share 2.0 cannot work."),
        (["fit", ".", "-o", "m", "--size", "3"], "--size 3 cannot work."),
        (["test", "nowhere", "photos"], "There is no model at nowhere."),
        (["predict", "nowhere", "x.jpg"], "There is no model at nowhere."),
        (["augment", ".", "-o", "s.png", "--policy", "flop"], "Did you mean 'flip'?"),
        (["lr", "nowhere", "--steps", "9"], "--steps 9 cannot work. Expected at least 20."),
        (["lr", "nowhere", "-o", "lr.png"], "Expected a file name that ends in .svg."),
        (["predict", "nowhere", "x.jpg", "--top", "0"], "--top 0 cannot work."),
    ],
)
def test_a_mistake_costs_one_sentence_and_exit_code_two(words: list[str], sentence: str) -> None:
    code, said = foveal_says(*words)
    assert code == 2
    assert sentence in said
    assert said.count("\n") == 1

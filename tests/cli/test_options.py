"""Groups of options: what a parser sees of them, what a verb gets."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypedDict, Unpack

import pytest
import typer
from typer.testing import CliRunner

from foveal.cli import options as o
from foveal.cli.console import in_flags
from foveal.core.errors import OutOfRange


class Size(TypedDict, total=False):
    size_px: Annotated[int | None, o.option("In pixels.", "--size")]


class Whole(Size, total=False):
    loud: Annotated[bool, typer.Option("--loud", help="Shout.")]


def verb(name: str, *, quiet: o.Quiet = False, **options: Unpack[Whole]) -> None:
    """Say what was given."""
    typer.echo(f"{name} {quiet} {o.given(**options)}")


def run(*words: str) -> str:
    app = typer.Typer()
    app.command()(o.spread()(verb))
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    return done.output


def test_a_verb_gets_the_options_of_its_groups_by_the_names_of_settings() -> None:
    assert run("a", "--size", "64", "--loud") == "a False {'size_px': 64, 'loud': True}\n"
    assert run("a", "--quiet") == "a True {}\n"


def test_options_stand_before_the_flags_that_every_verb_has() -> None:
    names = [*inspect.signature(o.spread()(verb)).parameters]
    assert names == ["name", "size_px", "loud", "quiet"]
    said = run("--help")
    assert said.index("--size") < said.index("--loud") < said.index("--quiet")


def test_an_argument_of_the_network_is_said_once() -> None:
    with pytest.raises(OutOfRange, match="each argument once: pad_type was given before"):
        o.given(model_args=["pad_type=same", "bn_eps=1e-3", "pad_type=x"])


def test_what_is_said_of_a_setting_names_its_flag() -> None:
    o.spread()(verb)
    assert in_flags("size_px = 3 cannot work.") == "--size 3 cannot work."


def test_every_flag_whose_setting_is_called_otherwise_is_known() -> None:
    import foveal.cli  # noqa: F401 — declares the verbs

    known = {"size_px": "--size", "model_args": "--model-arg", "canvas_px": "--canvas"}
    assert known.items() <= o.FLAGS.items()
    assert o.FLAGS["teacher_backbone"] == "--teacher"
    assert not [name for name, flag in o.FLAGS.items() if flag == f"--{name}"]


def test_options_of_a_training_that_none_needs_are_said(
    cli: Callable, photos: Path, tmp_path: Path
) -> None:
    said = cli(
        "fit", photos, "-o", tmp_path / "m", "--backbone", "classical", "--weight-decay", 0.1
    )
    assert said.code == 0
    assert "Without --strategy finetune, or another that trains, nothing needs --weight-decay." in (
        said.err
    )

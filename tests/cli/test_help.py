"""Help: options under headings, what everybody needs first, defaults that are the records' own."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable

import pytest
import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from foveal.backbone import catalog
from foveal.cli import app
from foveal.cli import training_options as t
from foveal.cli.fit import records as fit_records
from foveal.cli.pretrain import Teacher, Weight
from foveal.cli.verb import defaults
from foveal.recipes.lr import STEPS
from foveal.recipes.orders import AUTO_BUDGET
from foveal.train.head.settings import ProbeSettings
from foveal.train.network.pretrain_settings import PretrainSettings
from foveal.train.network.settings import TrainSettings


@pytest.fixture
def sections(cli: Callable, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, str]]:
    """Return what asks a verb for help: heading -> what stands below it, on one line."""

    def ask(verb: str, width: int = 80) -> dict[str, str]:
        monkeypatch.setenv("COLUMNS", str(width))
        said = cli(verb, "--help")
        assert said.code == 0
        assert max(len(line) for line in said.out.splitlines()) <= max(width, 84)  # policies: 84
        parts = re.split(r"^(\S.*):$", said.out, flags=re.MULTILINE)
        return {
            heading: " ".join(text.split())
            for heading, text in zip(parts[1::2], parts[2::2], strict=True)
        }

    return ask


def test_what_everybody_needs_comes_first(sections: Callable) -> None:
    found = sections("fit")
    assert [*found] == [
        "Arguments",
        "Options",
        "How the photographs and their classes are found (else guessed)",
        "Which photographs belong together, and are never parted",
        "What may be wrong with the photographs",
        "The network's weights, and how they see a photograph (else as their record says)",
        "What the head on a frozen network reads, and how it is chosen",
        "How long the network is trained",
        "What the network is trained on, and for which loss",
        "What of the network learns in training, and how fast",
        "The course of the training, and where it is told",
        "Where the network is trained, and in which numbers",
    ]
    names = re.findall(r"--[a-z-]+(?= <| [A-Z])", found["Options"])
    assert names[:3] == ["--out", "--backbone", "--strategy"]
    assert "--epochs" in found["How long the network is trained"]
    assert "--compile" in found["Where the network is trained, and in which numbers"]


def test_lr_shows_its_options_under_the_same_headings(sections: Callable) -> None:
    shared = [heading for heading in sections("fit") if heading in sections("lr")]
    assert [*sections("lr")] == shared
    assert len(shared) == 9


def test_pretrain_has_headings_of_its_own(sections: Callable) -> None:
    found = sections("pretrain")
    assert "--teacher-weight <" in found["Whom the network learns from beside the labels"]
    assert "--teacher-mean <R> <G> <B>" in found["Whom the network learns from beside the labels"]
    assert "--rate <float>" in found["How fast it learns"]
    assert "--arch <str>" in found["Options"]


def test_a_wide_terminal_is_used(sections: Callable, cli: Callable) -> None:
    sections("fit", 120)
    wide = len(cli("fit", "--help").out.splitlines())
    sections("fit", 80)
    assert wide < len(cli("fit", "--help").out.splitlines()) - 10


def test_help_shows_a_default_as_the_record_has_it(
    sections: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "training pictures. [default: 16]" in sections("fit")["How long the network is trained"]

    @dataclasses.dataclass
    class Other:
        epochs: int = 77
        rate: float = 2e-5

    verbs = typer.main.get_command(app)
    assert isinstance(verbs, TyperGroup)
    monkeypatch.setattr(verbs.commands["fit"].callback, "records", lambda: (Other,))
    context = typer.Context(verbs.commands["fit"], info_name="fit")
    said = verbs.commands["fit"].get_help(context)
    assert "[default: 77]" in said
    assert "[default: 2e-05]" in " ".join(said.split())


def options() -> list[tuple[str, TyperOption]]:
    verbs = typer.main.get_command(app)
    assert isinstance(verbs, TyperGroup)
    return [
        (verb, one)
        for verb, command in verbs.commands.items()
        if isinstance(command, TyperCommand)
        for one in command.params
        if isinstance(one, TyperOption)
    ]


def test_no_default_of_a_record_is_said_by_hand() -> None:
    known = {"fit": defaults(fit_records()), "pretrain": defaults([PretrainSettings])}
    by_hand = [
        (verb, one.name)
        for verb, one in options()
        if isinstance(one.show_default, str) and one.name in known.get(verb, {})
    ]
    assert not by_hand
    assert not [one.name for _, one in options() if re.search(r"\(-?[\d.e-]+\)", one.help or "")]


def test_what_a_default_depends_on_is_said_as_it_is(sections: Callable) -> None:
    said = " ".join(sections("fit", 120).values())
    tuned, scratch = TrainSettings(strategy="finetune"), TrainSettings(strategy="scratch")
    assert f"[default: {tuned.decay_by_layer:g}; from scratch {scratch.decay_by_layer:g}]" in said
    assert f"auto ({scratch.norms} from scratch, else {tuned.norms}). [default: auto]" in said
    few, many = ProbeSettings().folds_of(999), ProbeSettings().folds_of(1000)
    assert f"[default: {few}; {many} from 1,000 pictures on]" in said
    assert f"[default: any; {AUTO_BUDGET} with --strategy auto]" in said
    either = f"{catalog.DEFAULT} where its weights can be had, else {catalog.BUILT_IN}"
    assert f"[default: {either}]" in said
    assert (
        f"Training steps of the test, each at a higher rate. [default: {STEPS}]"
        in sections("lr", 120)["Options"]
    )
    assert "[default: finetune]" in sections("lr", 120)["Options"]
    assert PretrainSettings(sizes=(70,)).side_px == 80
    assert (
        "[default: 8/7 of the last of --sizes]"
        in sections("pretrain", 120)["What the network learns from"]
    )


def test_options_that_stand_together_have_the_same_heading() -> None:
    assert t.Compiling.__doc__ == t.Machine.__doc__
    assert Weight.__doc__ == Teacher.__doc__

"""Words that the parser cannot take: one sentence of ours, exit code 2, no word of the parser's."""

from __future__ import annotations

from collections.abc import Callable

import pytest

THREE = "Expected three numbers with spaces between them, such as 0.485 0.456 0.406."
FIT = ("fit", "x", "-o", "m")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([*FIT, "--rate", "x"], "--rate 'x' cannot work. Expected a number, such as 0.05."),
        ([*FIT, "--rate", "1,5"], "--rate '1,5' cannot work. Expected a number, such as 0.05."),
        ([*FIT, "--epochs", "1.5"], "--epochs '1.5' cannot work. Expected a whole number."),
        ([*FIT, "--size", "big"], "--size 'big' cannot work. Expected a whole number."),
        (["predict", "m", "--top", "x"], "--top 'x' cannot work. Expected a whole number."),
        (["lr", "x", "--steps", "x"], "--steps 'x' cannot work. Expected a whole number."),
        ([*FIT, "--mean", "1,2"], f"--mean '1,2' cannot work. {THREE}"),
        ([*FIT, "--mean=1,2,3"], f"--mean '1,2,3' cannot work. {THREE}"),
        ([*FIT, "--mean", "1", "2"], f"--mean '1 2' cannot work. {THREE}"),
        ([*FIT, "--mean", "1", "2", "x"], f"--mean '1 2 x' cannot work. {THREE}"),
        ([*FIT, "--mean", "1", "2", "--std", "1", "1", "1"], f"--mean '1 2' cannot work. {THREE}"),
        (
            ["pretrain", "x", "-o", "m", "--sizes", "32,abc"],
            "--sizes '32,abc' cannot work. Expected whole numbers of pixels, such as 96,128.",
        ),
        (
            ["pretrain", "x", "-o", "m", "--teacher", "r", *2 * ["--teacher-arg", "a=1"]],
            "--teacher-arg 'a=1' cannot work. Expected each argument once: a was given before.",
        ),
        (
            [*FIT, "--model-arg", "pad_type=same", "--model-arg", "pad_type=x"],
            "--model-arg 'pad_type=x' cannot work. "
            "Expected each argument once: pad_type was given before.",
        ),
        (["pretrain", "x", "-o", "m", "--seed", str(2**64)], f"--seed {2**64} cannot work."),
        ([*FIT, "--json=3"], "--json '3' cannot work. Expected no value."),
        ([*FIT, "--epochs"], "--epochs needs a value. Passes over the training pictures."),
        ([*FIT, "--mean"], "--mean needs a value. Mean that the weights expect, on 0–1."),
        (["fit", "x", "--reader", "-o", "m"], "--reader needs a value. How to read it,"),
        ([*FIT, "--sede", "1"], "`foveal fit` has no option --sede. Did you mean --seed?"),
        ([*FIT, "--batch-size", "1"], "`foveal fit` has no option --batch-size. Did you mean --ba"),
        (
            [*FIT, "--learning-rate", "1"],
            "`foveal fit` has no option --learning-rate. Did you mean --rate?",
        ),
        ([*FIT, "-z"], "`foveal fit` has no option -z. `foveal fit --help` lists them."),
        (["--sede"], "`foveal` has no option --sede. `foveal --help` lists them."),
        (["fit", "x"], "`foveal fit` needs --out. Folder to write the model to."),
        (["predict"], "`foveal predict` needs MODEL. A model that `foveal fit` wrote."),
        ([*FIT, "y"], "`foveal fit` has no use for 'y'. A name with spaces needs quotes."),
        (["fti"], "No verb of foveal is called 'fti'. Did you mean 'fit'?"),
        (["xyzzy"], "No verb of foveal is called 'xyzzy'. Known: augment, cache, demo, "),
    ],
)
def test_it_is_refused_in_one_sentence(
    refused: Callable[..., str], words: list[str], sentence: str
) -> None:
    assert refused(2, *words).startswith(sentence)


def test_values_that_fit_are_taken(cli: Callable) -> None:
    said = cli(*FIT, "--mean", "0.5", "0.5", "0.5", "--rate", "1e-3", "--epochs", "3", "-q")
    assert said.err.startswith("foveal: There is no dataset at x.")


def test_no_words_at_all_are_answered_with_the_help(cli: Callable) -> None:
    said = cli()
    assert said.code == 2
    assert said.err.startswith("Usage: foveal [OPTIONS] COMMAND")

"""`foveal predict`: answers for files, folders, globs or a list on standard input."""

from __future__ import annotations

import csv
import glob
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foveal.cli.console import console, put, show, write
from foveal.cli.options import Quiet
from foveal.core.errors import OutOfRange

if TYPE_CHECKING:
    from foveal.model.predictor import Answer

ModelFolder = Annotated[Path, typer.Argument(help="A model that `foveal fit` wrote.")]
Files = Annotated[
    list[str] | None,
    typer.Argument(help="Files, folders or globs; '-' or nothing: paths on standard input."),
]
Top = Annotated[int, typer.Option("--top", help="How many classes each answer names.")]
JsonLines = Annotated[bool, typer.Option("--json", help="JSON Lines: one object a file.")]
Csv = Annotated[bool, typer.Option("--csv", help="CSV with a header line.")]

FORMULA = frozenset("=+-@\t\r\n")  # what a cell may not begin with


def predict(
    model: ModelFolder,
    files: Files = None,
    top: Top = 1,
    json_lines: JsonLines = False,
    as_csv: Csv = False,
    quiet: Quiet = False,
) -> None:
    """Say what is on pictures. A file that cannot be read is answered with the reason.

    Exit code 1 if there was no file that could be read.

    Example: foveal predict model/ new/*.jpg --json
    """
    if top < 1:
        raise OutOfRange("--top", top, "at least 1")
    if json_lines and as_csv:
        raise OutOfRange("--csv", True, "one of --json and --csv")
    from foveal.recipes.model import load

    loaded = load(model)
    answer = _json if json_lines else _csv if as_csv else _text
    with console(quiet=quiet) as heard:
        if not files and sys.stdin.isatty():
            heard.say("Paths are read from standard input, a line each.")
        paths = _paths(files or ["-"])
        shown = min(top, len(loaded.classes))
        answers = loaded.stream(paths, top=shown, listener=heard)
        right, broken = answer(answers, shown)
        if broken:
            heard.say(f"{broken} of {right + broken} files could not be read.")
        elif not right:
            heard.say("There was no picture to answer.")
    if not right:
        raise typer.Exit(1)


def _paths(names: Iterable[str]) -> Iterator[Path]:
    """Yield paths; '-' stands for the lines of standard input; a glob for what it finds."""
    for name in names:
        if name == "-":
            yield from (Path(line.rstrip("\r\n")) for line in sys.stdin if line.strip())
        elif glob.has_magic(name) and not os.path.lexists(name):
            from foveal.data.matching import matching

            yield from map(Path, list(matching(name)) or [name])
        else:
            yield Path(name)


def _json(answers: Iterable[Answer], _top: int) -> tuple[int, int]:
    counts = [0, 0]
    for answer in answers:
        counts[bool(answer.error)] += 1
        if answer.error:
            values: dict[str, object] = {"path": answer.path, "error": answer.error}
        else:
            values = {
                "path": answer.path,
                "label": answer.label,
                "probability": answer.probability,
                "top": [{"label": label, "probability": p} for label, p in answer.top],
            }
        put(values)
    return counts[0], counts[1]


class _Stdout:
    """What the CSV writer takes for a file."""

    write = staticmethod(write)


def _csv(answers: Iterable[Answer], top: int) -> tuple[int, int]:
    counts = [0, 0]
    writer = csv.writer(_Stdout(), lineterminator="\n")
    more = [f"{name}{n}" for n in range(2, top + 1) for name in ("label", "probability")]
    writer.writerow(["path", "label", "probability", *more, "error"])
    for answer in answers:
        counts[bool(answer.error)] += 1
        said = [text for label, p in answer.top for text in (label, f"{p:.6g}")]
        said += [""] * (2 * top - len(said))
        writer.writerow([_cell(text) for text in (answer.path, *said, answer.error)])
    return counts[0], counts[1]


def _text(answers: Iterable[Answer], _top: int) -> tuple[int, int]:
    counts = [0, 0]
    for answer in answers:
        counts[bool(answer.error)] += 1
        if answer.error:
            show(f"{answer.path}: not read: {answer.error}")
        else:
            said = ", ".join(f"{label} {100 * p:.1f} %" for label, p in answer.top)
            show(f"{answer.path}: {said}")
    return counts[0], counts[1]


def _cell(text: str) -> str:
    """Return a cell that no spreadsheet takes for a formula.

    >>> _cell("=cmd()"), _cell("cat"), _cell("-5"), _cell("-2+3")
    ("'=cmd()", 'cat', '-5', "'-2+3")
    """
    number = text.removeprefix("-").replace(".", "", 1).isdecimal()
    return f"'{text}" if text[:1] in FORMULA and not number else text

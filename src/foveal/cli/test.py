"""`foveal test`: numbers with intervals, and report.html."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Unpack

import typer

from foveal.cli import options as o
from foveal.cli.console import console, result

ModelFolder = Annotated[Path, typer.Argument(help="A model that `foveal fit` wrote.")]
Data = Annotated[Path, typer.Argument(help="Labelled photographs, read as `fit` reads them.")]
ReportFolder = Annotated[
    Path | None,
    o.option(
        "Folder for report.html and test.json.",
        "--out",
        "-o",
        otherwise="beside the model: MODEL.run",
    ),
]


class Judging(o.Reading, total=False):
    """Everything that decides a test."""

    seed: Annotated[int | None, o.option("Of the bootstrap.", "--seed")]


def records() -> tuple[type, ...]:
    """Return the settings that the options are of; those of reading have no defaults."""
    from foveal.recipes.orders import JudgeSettings

    return (JudgeSettings,)


@o.spread(records)
def judge(
    model: ModelFolder,
    data: Data,
    out: ReportFolder = None,
    *,
    as_json: o.AsJson = False,
    quiet: o.Quiet = False,
    **options: Unpack[Judging],
) -> None:
    """Judge a model on pictures it was not trained on.

    Numbers, intervals and pictures come as one page, report.html.

    Example: foveal test model/ photos/
    """
    from foveal.recipes.requested import JudgeOrder
    from foveal.recipes.story import judge_and_save

    order = JudgeOrder.from_options(data, o.given(**options))
    with console(quiet=quiet) as heard:
        done = judge_and_save(order, model, out, listener=heard)
    result(done, as_json=as_json)

"""`foveal test`: numbers with intervals, and report.html."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from foveal.cli import options as o
from foveal.cli.console import AsJson, Quiet, console, put, show

ModelFolder = Annotated[Path, typer.Argument(help="A model that `foveal fit` wrote.")]
Data = Annotated[Path, typer.Argument(help="Labelled photographs, read as `fit` reads them.")]
ReportFolder = Annotated[
    Path | None,
    o.option("Folder for report.html and test.json (beside the model: MODEL.run).", "--out", "-o"),
]


def judge(  # noqa: PLR0913 — one parameter per option
    model: ModelFolder,
    data: Data,
    out: ReportFolder = None,
    group_column: o.GroupColumn = None,
    group_pattern: o.GroupPattern = None,
    group_level: o.GroupLevel = None,
    group_scope: o.GroupScope = None,
    path_column: o.PathColumn = None,
    label_column: o.LabelColumn = None,
    part_column: o.PartColumn = None,
    root: o.Root = None,
    reader: o.Reader = None,
    max_broken: o.MaxBroken = None,
    strict: o.Strict = False,
    seed: Annotated[int | None, o.option("Of the bootstrap (0).", "--seed")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Judge a model on pictures it was not trained on, and write report.html.

    Example: foveal test model/ photos/
    """
    from foveal.recipes.requested import JudgeOrder
    from foveal.recipes.story import judge_and_save

    order = JudgeOrder.from_options(
        data,
        o.given(
            group_column=group_column,
            group_pattern=group_pattern,
            group_level=group_level,
            group_scope=group_scope,
            path_column=path_column,
            label_column=label_column,
            part_column=part_column,
            root=root,
            reader=reader,
            max_broken=max_broken,
            strict=strict,
            seed=seed,
        ),
    )
    with console(quiet=quiet) as heard:
        done = judge_and_save(order, model, out, listener=heard)
    if as_json:
        put(done.to_mapping())
        return
    for line in done.lines():
        show(line)

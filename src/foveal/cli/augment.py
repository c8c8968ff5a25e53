"""`foveal augment`: what an augmentation policy makes of your pictures, on one sheet."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from foveal.cli import options as o
from foveal.cli.console import AsJson, Quiet, console, put, show

Data = Annotated[Path, typer.Argument(help="Labelled photographs, read as `fit` reads them.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="Picture to write: a .png file.")]


def augment(  # noqa: PLR0913 — one parameter per option
    data: Data,
    out: Out,
    policy: Annotated[str | None, o.option("One of the above (standard).", "--policy")] = None,
    pictures: Annotated[int | None, o.option("How many, one a row (6).", "--pictures")] = None,
    variants: Annotated[int | None, o.option("Of each picture (8).", "--variants")] = None,
    size: Annotated[int | None, o.option("Of a picture, in pixels (160).", "--size")] = None,
    shape: o.Shape = None,
    seed: Annotated[int | None, o.option("Of all that is drawn (0).", "--seed")] = None,
    path_column: o.PathColumn = None,
    label_column: o.LabelColumn = None,
    part_column: o.PartColumn = None,
    root: o.Root = None,
    reader: o.Reader = None,
    overwrite: o.Overwrite = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Show what an augmentation policy makes of your pictures.

    Example: foveal augment photos/ --policy standard -o sheet.png

    \b
    Policies:
      none            the whole picture, always the same
      flip            mirrored half of the time
      light           random crops, mirrored
      standard        random crops, turned up to 15°, mirrored; colours
      strong          small crops, mirrored, TrivialAugment, erasing; MixUp or CutMix
      text-and-signs  moved, scaled, turned up to 12°, never mirrored; colours, erasing
      texture         any way up, mirrored, mild crops; light
      microscope      any way up, mirrored, mild crops; light, stain
      xray            turned up to 7°, never mirrored; brightness, contrast
    """  # noqa: D301 — click wants the character, not a backslash
    from foveal.core.settings import from_mapping
    from foveal.data.reading import ReadSettings
    from foveal.recipes.sheet import SheetSettings, write_sheet

    where = "the options"
    wanted = o.given(
        policy=policy, pictures=pictures, variants=variants, size_px=size, shape=shape, seed=seed
    )
    reading = o.given(
        path_column=path_column,
        label_column=label_column,
        part_column=part_column,
        root=root,
        reader=reader,
    )
    settings = from_mapping(SheetSettings, wanted, where=where)
    with console(quiet=quiet) as heard:
        done = write_sheet(
            data,
            out,
            settings,
            reading=from_mapping(ReadSettings, reading, where=where),
            overwrite=overwrite,
            listener=heard,
        )
    if as_json:
        put(done.to_mapping())
        return
    for line in done.lines():
        show(line)

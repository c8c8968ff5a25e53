"""`foveal augment`: what an augmentation policy makes of your pictures, on one sheet."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypedDict, Unpack

import typer

from foveal.cli import options as o
from foveal.cli.console import console, result

Data = Annotated[Path, typer.Argument(help="Labelled photographs, read as `fit` reads them.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="Picture to write: a .png file.")]


class Sheet(TypedDict, total=False):
    """What is on the sheet."""

    policy: Annotated[str | None, o.option("One of the above, as for `fit`.", "--policy")]
    pictures: Annotated[int | None, o.option("How many, one a row.", "--pictures")]
    variants: Annotated[int | None, o.option("Of each picture.", "--variants")]
    size_px: Annotated[int | None, o.option("Of a picture, in pixels.", "--size")]
    shape: o.Shape
    seed: Annotated[int | None, o.option("Of all that is drawn.", "--seed")]


class Everything(Sheet, o.Files, total=False):
    """Everything that decides a sheet."""


def records() -> tuple[type, ...]:
    """Return the settings that the options are of; those of reading have no defaults."""
    from foveal.recipes.sheet_settings import SheetSettings

    return (SheetSettings,)


@o.spread(records)
def augment(
    data: Data,
    out: Out,
    *,
    overwrite: o.Overwrite = False,
    as_json: o.AsJson = False,
    quiet: o.Quiet = False,
    **options: Unpack[Everything],
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
    from foveal.recipes.sheet import write_sheet
    from foveal.recipes.sheet_settings import SheetSettings

    where = "the options"
    settings = from_mapping(SheetSettings, o.given(**o.of(Sheet, options)), where=where)
    reading = from_mapping(ReadSettings, o.given(**o.of(o.Files, options)), where=where)
    with console(quiet=quiet) as heard:
        done = write_sheet(
            data, out, settings, reading=reading, overwrite=overwrite, listener=heard
        )
    result(done, as_json=as_json)

"""`foveal import`: a ready classifier of other origin becomes a model like any other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Unpack

import typer

from foveal.cli import options as o
from foveal.cli.console import console, result

Name = Annotated[
    str, typer.Argument(help="A timm name, torchvision:NAME, or an .onnx file with logits.")
]
Classes = Annotated[
    Path | None,
    o.option("Class names in the network's order: a line each, or JSON.", "--classes"),
]


@o.spread()
def bring(
    name: Name,
    out: o.Out,
    classes: Classes = None,
    *,
    overwrite: o.Overwrite = False,
    as_json: o.AsJson = False,
    quiet: o.Quiet = False,
    **options: Unpack[o.Weights],
) -> None:
    """Make a model of a classifier that was trained elsewhere.

    It keeps the head it has.

    Example: foveal import resnet18 --weights resnet18.safetensors --classes wnids.txt -o r18/
    """
    from foveal.recipes.story import bring_and_save

    wanted = o.given(backbone=name, **options)
    with console(quiet=quiet) as heard:
        done = bring_and_save(wanted, classes, out, overwrite=overwrite, listener=heard)
    result(done, as_json=as_json)

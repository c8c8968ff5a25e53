"""`foveal import`: a ready classifier of other origin becomes a model like any other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from foveal.cli import options as o
from foveal.cli.console import AsJson, Quiet, console, put, show

Name = Annotated[
    str, typer.Argument(help="A timm name, torchvision:NAME, or an .onnx file with logits.")
]
Classes = Annotated[
    Path | None,
    o.option("Class names in the network's order: a line each, or JSON.", "--classes"),
]


def bring(  # noqa: PLR0913 — one parameter per option
    name: Name,
    out: o.Out,
    classes: Classes = None,
    weights: o.Weights = None,
    model_arg: o.ModelArg = None,
    size: o.Size = None,
    mean: o.Mean = None,
    std: o.Std = None,
    crop: o.Crop = None,
    interpolation: o.Interpolation = None,
    shape: o.Shape = None,
    overwrite: o.Overwrite = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Make a model of a classifier that was trained elsewhere, with the head it has.

    Example: foveal import resnet18 --weights resnet18.safetensors --classes wnids.txt -o r18/
    """
    from foveal.recipes.story import bring_and_save

    wanted = o.given(
        backbone=name,
        weights=weights,
        model_args=o.model_arguments(model_arg) if model_arg else None,
        size_px=size,
        mean=mean,
        std=std,
        crop=crop,
        interpolation=interpolation,
        shape=shape,
    )
    with console(quiet=quiet) as heard:
        done = bring_and_save(wanted, classes, out, overwrite=overwrite, listener=heard)
    if as_json:
        put(done.to_mapping())
        return
    for line in done.lines():
        show(line)

"""`foveal pretrain`: a network learns from scratch and becomes a backbone folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypedDict, Unpack

import typer

from foveal.cli import options as o
from foveal.cli import training_options as t
from foveal.cli.console import console, result

if TYPE_CHECKING:
    from foveal.recipes.pretraining.pretrain import Pretrained
    from foveal.train.network.forecast import Forecast

Data = Annotated[
    list[Path] | None, typer.Argument(help="Tar shards, folders of them, or what `fit` reads.")
]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder to write the backbone to.")]
Val = Annotated[list[Path] | None, o.option("What judges: shards likewise.", "--val")]
Sizes = Annotated[str | None, o.option("Of the input, rising, in pixels (80,96,128).", "--sizes")]
NoMirror = Annotated[bool, typer.Option("--no-mirror", help="Never swap left and right.")]


class Pretraining(TypedDict, total=False):
    """How the network learns."""

    arch: Annotated[str | None, o.option("A name of timm's (resnet18).", "--arch")]
    model_args: o.ModelArgs
    epochs: Annotated[int | None, o.option("Passes over the pictures (11).", "--epochs")]
    budget: Annotated[
        str | None, o.option("Wall time for teacher and training: 90s, 10m, 2h.", "--budget")
    ]
    canvas_px: Annotated[
        int | None, o.option("Side that pictures are held at (8/7 of the last size).", "--canvas")
    ]
    batch: Annotated[int | None, o.option("Pictures an update (128).", "--batch")]
    rate: Annotated[float | None, o.option("Peak learning rate (0.15).", "--rate")]
    optimizer: Annotated[str | None, o.option("sgd or adamw (sgd).", "--optimizer")]
    weight_decay: Annotated[
        float | None, o.option("Of weights, not of biases (0.0002).", "--weight-decay")
    ]
    smoothing: Annotated[float | None, o.option("Of labels (0.1).", "--smoothing")]
    average: Annotated[
        float | None, o.option("Decay of the average of weights (0.998).", "--average")
    ]
    warmup: Annotated[
        float | None, o.option("Share of the run in which the rate rises (0.05).", "--warmup")
    ]
    hold: Annotated[
        float | None, o.option("Share of the run at the peak rate, after that (0).", "--hold")
    ]
    least_area: Annotated[
        float | None, o.option("Least share of a picture that is shown (0.5).", "--least-area")
    ]
    val_share: Annotated[
        float | None, o.option("Held out where there is no val part (0.05).", "--val-share")
    ]
    init: Annotated[Path | None, o.option("Weights to begin with.", "--init")]
    teacher_weight: Annotated[
        float | None, o.option("Of the teacher's word beside the labels (3).", "--teacher-weight")
    ]
    mean: o.Mean
    std: o.Std
    crop: o.Crop
    device: Annotated[str | None, o.option("cpu, cuda, cuda:1 (auto).", "--device")]
    precision: Annotated[str | None, o.option("float32, bf16 or fp16 (auto).", "--precision")]
    seed: Annotated[int | None, o.option("Of all that is drawn (0).", "--seed")]


class Teacher(TypedDict, total=False):
    """Whom the network learns from beside the labels."""

    teacher_backbone: Annotated[str | None, o.option("A backbone to learn from.", "--teacher")]
    teacher_weights: Annotated[Path | None, o.option("Its .safetensors file.", "--teacher-weights")]
    teacher_model_args: Annotated[
        list[str] | None, o.option("An argument of timm's for it.", "--teacher-arg")
    ]
    teacher_size_px: Annotated[
        int | None, o.option("Of what it sees, in pixels.", "--teacher-size")
    ]
    teacher_crop: Annotated[
        float | None, o.option("Share of the resized side it sees.", "--teacher-crop")
    ]
    teacher_mean: Annotated[o.Triple | None, o.option("Mean it expects.", "--teacher-mean")]
    teacher_std: Annotated[o.Triple | None, o.option("Deviation.", "--teacher-std")]


class Everything(Pretraining, Teacher, o.Files, total=False):
    """Everything that decides a pretraining."""


@o.spread
def pretrain(  # noqa: PLR0913 — one parameter per option
    out: Out,
    data: Data = None,
    val: Val = None,
    sizes: Sizes = None,
    *,
    no_mirror: NoMirror = False,
    resume: t.Resume = False,
    dry_run: t.DryRun = False,
    overwrite: o.Overwrite = False,
    as_json: o.AsJson = False,
    quiet: o.Quiet = False,
    **options: Unpack[Everything],
) -> None:
    """Train a network from scratch, beside a teacher if there is one.

    Example: foveal pretrain shards/*.tar.gz --val val.tar.gz -o small --epochs 11
    """
    from foveal.core.errors import OutOfRange
    from foveal.core.machine import rank
    from foveal.recipes.pretraining.order import TEACHER, PretrainOrder
    from foveal.recipes.pretraining.pretrain import dry_run as forecast
    from foveal.recipes.pretraining.pretrain import pretrain_and_save
    from foveal.recipes.workplace import Workplace

    place = Workplace.of(out)
    each = None if sizes is None else sizes.split(",")
    if each is not None and not all(side.strip().isdecimal() for side in each):
        raise OutOfRange("sizes", sizes, "whole numbers of pixels, such as 96,128")
    wanted = o.given(**o.of(Pretraining, options), sizes=each)
    if no_mirror:
        wanted["mirror"] = False
    teacher = {name.removeprefix(TEACHER): value for name, value in o.of(Teacher, options).items()}
    said = {"settings": wanted, "reading": o.given(**o.of(o.Files, options))}
    try:
        said["teacher"] = o.given(**teacher)
    except OutOfRange as refused:
        raise OutOfRange(TEACHER + refused.field, refused.got, refused.expected) from None
    order = (
        PretrainOrder.resumed(place, data or (), val or (), said)
        if resume
        else PretrainOrder.from_options(data or (), val or (), said)
    )
    leads = rank() == 0
    with console(quiet=quiet or not leads) as heard:
        if dry_run:
            done: Forecast | Pretrained = forecast(order, place, heard, resume=resume)
        else:
            done = pretrain_and_save(order, out, overwrite=overwrite, resume=resume, listener=heard)
    if leads:
        result(done, as_json=as_json)

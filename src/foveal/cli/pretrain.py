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
Val = Annotated[
    list[Path] | None, o.option("What judges: shards likewise.", "--val", metavar="<path>")
]
Sizes = Annotated[str | None, o.option("Of the input, rising, in pixels.", "--sizes")]
NoMirror = Annotated[bool, typer.Option("--no-mirror", help="Never swap left and right.")]


class Start(TypedDict, total=False):
    """Which network, and from where."""

    arch: Annotated[str | None, o.option("A name of timm's.", "--arch")]
    model_args: o.ModelArgs
    init: Annotated[
        Path | None, o.option("Weights to begin with.", "--init", otherwise="chance draws them")
    ]
    epochs: Annotated[int | None, o.option("Passes over the pictures.", "--epochs")]
    budget: Annotated[
        str | None,
        o.option("Wall time for teacher and training: 90s, 10m, 2h.", "--budget", otherwise="any"),
    ]
    seed: Annotated[int | None, o.option("Of all that is drawn.", "--seed")]


@o.headed
class Lessons(TypedDict, total=False):
    """What the network learns from."""

    batch: Annotated[int | None, o.option("Pictures an update.", "--batch")]
    canvas_px: Annotated[
        int | None,
        o.option(
            "Side that pictures are held at.", "--canvas", otherwise="8/7 of the last of --sizes"
        ),
    ]
    least_area: Annotated[
        float | None, o.option("Least share of a picture that is shown.", "--least-area")
    ]
    smoothing: Annotated[float | None, o.option("Of labels.", "--smoothing")]
    val_share: Annotated[
        float | None, o.option("Held out where there is no val part.", "--val-share")
    ]


@o.headed
class Rates(TypedDict, total=False):
    """How fast it learns."""

    rate: Annotated[float | None, o.option("Peak learning rate.", "--rate")]
    optimizer: Annotated[str | None, o.option("sgd or adamw.", "--optimizer")]
    weight_decay: Annotated[float | None, o.option("Of weights, not of biases.", "--weight-decay")]
    average: Annotated[float | None, o.option("Decay of the average of weights.", "--average")]
    warmup: Annotated[
        float | None, o.option("Share of the run in which the rate rises.", "--warmup")
    ]
    hold: Annotated[
        float | None, o.option("Share of the run at the peak rate, after that.", "--hold")
    ]


@o.headed
class Machine(TypedDict, total=False):
    """On which machine, in which numbers."""

    device: Annotated[str | None, o.option("auto, cpu, cuda or cuda:N.", "--device")]
    precision: Annotated[str | None, o.option("auto, float32, bf16 or fp16.", "--precision")]


@o.headed
class Use(TypedDict, total=False):
    """How the network will see a photograph when it is used."""

    mean: o.Mean
    std: o.Std
    crop: o.Crop


@o.headed  # the heading of ``Teacher``: they stand together, but are of different records
class Weight(TypedDict, total=False):
    """Whom the network learns from beside the labels."""

    teacher_weight: Annotated[
        float | None, o.option("Of the teacher's word beside the labels.", "--teacher-weight")
    ]


class Pretraining(Start, Lessons, Rates, Machine, Use, Weight, total=False):
    """How the network learns."""


@o.headed
class Teacher(TypedDict, total=False):
    """Whom the network learns from beside the labels."""

    teacher_backbone: Annotated[str | None, o.option("A backbone to learn from.", "--teacher")]
    teacher_weights: Annotated[Path | None, o.option("Its .safetensors file.", "--teacher-weights")]
    teacher_model_args: Annotated[
        list[str] | None,
        o.option("An argument of timm's for it.", "--teacher-arg", metavar="<KEY=VALUE>"),
    ]
    teacher_size_px: Annotated[
        int | None, o.option("Of what it sees, in pixels.", "--teacher-size")
    ]
    teacher_crop: Annotated[
        float | None, o.option("Share of the resized side it sees.", "--teacher-crop")
    ]
    teacher_mean: Annotated[
        o.Triple | None, o.option("Mean it expects.", "--teacher-mean", metavar=o.COLOURS)
    ]
    teacher_std: Annotated[
        o.Triple | None, o.option("Deviation.", "--teacher-std", metavar=o.COLOURS)
    ]


class Everything(Pretraining, Teacher, o.Files, total=False):
    """Everything that decides a pretraining."""


def records() -> tuple[type, ...]:
    """Return the settings that the options are of."""
    from foveal.train.network.pretrain_settings import PretrainSettings

    return (PretrainSettings,)


@o.spread(records)
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

"""`foveal pretrain`: a network learns from scratch and becomes a backbone folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from foveal.cli import options as o
from foveal.cli.console import AsJson, Quiet, console, put, show

Data = Annotated[
    list[Path], typer.Argument(help="Tar shards, folders of them, or what `fit` reads.")
]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder to write the backbone to.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run that was cut off.")]


def pretrain(  # noqa: PLR0913 — one parameter per option
    data: Data,
    out: Out,
    val: Annotated[list[Path] | None, o.option("What judges: shards likewise.", "--val")] = None,
    arch: Annotated[str | None, o.option("A name of timm's (resnet18).", "--arch")] = None,
    model_arg: o.ModelArg = None,
    epochs: Annotated[int | None, o.option("Passes over the pictures (11).", "--epochs")] = None,
    sizes: Annotated[
        str | None, o.option("Of the input, rising, in pixels (80,96,128).", "--sizes")
    ] = None,
    canvas: Annotated[
        int | None, o.option("Side that pictures are held at (8/7 of the last size).", "--canvas")
    ] = None,
    batch: Annotated[int | None, o.option("Pictures an update (128).", "--batch")] = None,
    rate: Annotated[float | None, o.option("Peak learning rate (0.15).", "--rate")] = None,
    optimizer: Annotated[str | None, o.option("sgd or adamw (sgd).", "--optimizer")] = None,
    weight_decay: Annotated[
        float | None, o.option("Of weights, not of biases (0.0002).", "--weight-decay")
    ] = None,
    smoothing: Annotated[float | None, o.option("Of labels (0.1).", "--smoothing")] = None,
    average: Annotated[
        float | None, o.option("Decay of the average of weights (0.998).", "--average")
    ] = None,
    warmup: Annotated[
        float | None, o.option("Share of the run in which the rate rises (0.05).", "--warmup")
    ] = None,
    hold: Annotated[
        float | None, o.option("Share of the run at the peak rate, after that (0).", "--hold")
    ] = None,
    least_area: Annotated[
        float | None, o.option("Least share of a picture that is shown (0.5).", "--least-area")
    ] = None,
    no_mirror: Annotated[
        bool, typer.Option("--no-mirror", help="Never swap left and right.")
    ] = False,
    val_share: Annotated[
        float | None, o.option("Held out where there is no val part (0.05).", "--val-share")
    ] = None,
    init: Annotated[Path | None, o.option("Weights to begin with.", "--init")] = None,
    teacher: Annotated[str | None, o.option("A backbone to learn from.", "--teacher")] = None,
    teacher_weights: Annotated[
        Path | None, o.option("Its .safetensors file.", "--teacher-weights")
    ] = None,
    teacher_arg: Annotated[
        list[str] | None, o.option("An argument of timm's for it.", "--teacher-arg")
    ] = None,
    teacher_size: Annotated[
        int | None, o.option("Of what it sees, in pixels.", "--teacher-size")
    ] = None,
    teacher_crop: Annotated[
        float | None, o.option("Share of the resized side it sees.", "--teacher-crop")
    ] = None,
    teacher_mean: Annotated[o.Triple | None, o.option("It expects.", "--teacher-mean")] = None,
    teacher_std: Annotated[o.Triple | None, o.option("It expects.", "--teacher-std")] = None,
    teacher_weight: Annotated[
        float | None, o.option("Of its word beside the labels (3).", "--teacher-weight")
    ] = None,
    mean: o.Mean = None,
    std: o.Std = None,
    crop: o.Crop = None,
    device: Annotated[str | None, o.option("cpu, cuda, cuda:1 (auto).", "--device")] = None,
    precision: Annotated[
        str | None, o.option("float32, bf16 or fp16 (auto).", "--precision")
    ] = None,
    seed: Annotated[int | None, o.option("Of all that is drawn (0).", "--seed")] = None,
    path_column: o.PathColumn = None,
    label_column: o.LabelColumn = None,
    part_column: o.PartColumn = None,
    root: o.Root = None,
    reader: o.Reader = None,
    resume: Resume = False,
    overwrite: o.Overwrite = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Train a network from scratch, beside a teacher if there is one.

    Example: foveal pretrain shards/*.tar.gz --val val.tar.gz -o small --epochs 11
    """
    from foveal.backbone.settings import BackboneSettings
    from foveal.core.errors import OutOfRange
    from foveal.core.settings import from_mapping
    from foveal.data.reading import ReadSettings
    from foveal.recipes.pretraining.pretrain import PretrainOrder, pretrain_and_save
    from foveal.train.network.pretrain_settings import PretrainSettings

    where = "the options"
    wanted = o.given(
        arch=arch, epochs=epochs, batch=batch, rate=rate, optimizer=optimizer,
        weight_decay=weight_decay, smoothing=smoothing, average=average, warmup=warmup,
        hold=hold, least_area=least_area, val_share=val_share, init=init,
        teacher_weight=teacher_weight, mean=mean, std=std, crop=crop, device=device,
        precision=precision, seed=seed, canvas_px=canvas,
        sizes=None if sizes is None else sizes.split(","),
        model_args=o.model_arguments(model_arg) if model_arg else None,
    )  # fmt: skip
    if no_mirror:
        wanted["mirror"] = False
    teaching = o.given(
        weights=teacher_weights, size_px=teacher_size, crop=teacher_crop,
        mean=teacher_mean, std=teacher_std,
        model_args=o.model_arguments(teacher_arg) if teacher_arg else None,
    )  # fmt: skip
    if teaching and teacher is None:
        raise OutOfRange("teacher", None, "a name, where something is said of a teacher")
    reading = o.given(
        path_column=path_column,
        label_column=label_column,
        part_column=part_column,
        root=root,
        reader=reader,
    )
    order = PretrainOrder(
        data=tuple(data),
        val=tuple(val or ()),
        settings=from_mapping(PretrainSettings, wanted, where=where),
        reading=from_mapping(ReadSettings, reading, where=where),
        teacher=None
        if teacher is None
        else from_mapping(BackboneSettings, {"backbone": teacher, **teaching}, where=where),
    )
    with console(quiet=quiet) as heard:
        done = pretrain_and_save(order, out, overwrite=overwrite, resume=resume, listener=heard)
    if as_json:
        put(done.facts)
        return
    for line in done.lines():
        show(line)

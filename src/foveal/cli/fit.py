"""`foveal fit`: from labelled photographs to a saved classifier."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foveal.cli import options as o
from foveal.cli import training_options as t
from foveal.cli.console import AsJson, Quiet, console, put, show

if TYPE_CHECKING:
    from foveal.recipes.story import Saved
    from foveal.train.network.forecast import Forecast

Data = Annotated[
    Path | None,
    typer.Argument(help="A folder CLASS/*.jpg or {train,val,test}/CLASS/*, or a table of files."),
]
Settings = Annotated[
    Path | None, o.option("Repeat the run of this run.json; further options win.", "--settings")
]
Features = Annotated[
    str | None,
    o.option("What the head reads: auto (chosen), last, or blocks by name, a,b,c.", "--features"),
]
Head = Annotated[str | None, o.option("probe, prototype, or auto.", "--head")]
ClassWeights = Annotated[
    str | None, o.option("none, or balanced: rare classes count as much.", "--class-weights")
]
Folds = Annotated[
    int | None,
    o.option("Folds of the cross-validation (5; 3 from 1,000 pictures on).", "--folds"),
]
Strategy = Annotated[
    str | None,
    o.option("probe (the network stays frozen), finetune, scratch, or auto.", "--strategy"),
]
TestShare = Annotated[
    float | None, o.option("Share held out for `foveal test` (0.2); 0: none.", "--test-share")
]
Seed = Annotated[int | None, o.option("Of every random choice (0).", "--seed")]


def fit(  # noqa: PLR0913 — one parameter per option
    out: o.Out,
    data: Data = None,
    settings: Settings = None,
    backbone: o.Backbone = None,
    weights: o.Weights = None,
    model_arg: o.ModelArg = None,
    size: o.Size = None,
    mean: o.Mean = None,
    std: o.Std = None,
    crop: o.Crop = None,
    interpolation: o.Interpolation = None,
    shape: o.Shape = None,
    features: Features = None,
    head: Head = None,
    class_weights: ClassWeights = None,
    folds: Folds = None,
    test_share: TestShare = None,
    seed: Seed = None,
    strategy: Strategy = None,
    epochs: t.Epochs = None,
    batch: t.Batch = None,
    micro: t.Micro = None,
    policy: t.Policy = None,
    optimizer: t.Optimizer = None,
    rate: t.Rate = None,
    head_rate: t.HeadRate = None,
    layer_decay: t.LayerDecay = None,
    weight_decay: t.WeightDecay = None,
    freeze_until: t.FreezeUntil = None,
    batch_norm: t.BatchNorm = None,
    loss: t.Loss = None,
    smoothing: t.Smoothing = None,
    sampling: t.Sampling = None,
    average: t.Average = None,
    clip: t.Clip = None,
    warmup: t.Warmup = None,
    val_share: t.ValShare = None,
    patience: t.Patience = None,
    device: t.Device = None,
    precision: t.Precision = None,
    workers: t.Workers = None,
    compiled: t.Compile = False,
    budget: t.Budget = None,
    track: t.Track = None,
    resume: t.Resume = False,
    dry_run: t.DryRun = False,
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
    overwrite: o.Overwrite = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Make a classifier from labelled photographs and save it.

    Example: foveal fit photos/ -o model/ --backbone mobilenetv2_100
    """
    from foveal.core.machine import rank
    from foveal.recipes.requested import FitOrder
    from foveal.recipes.story import fit_and_save
    from foveal.recipes.workplace import Workplace

    given = o.given(
        backbone=backbone,
        weights=weights,
        model_args=o.model_arguments(model_arg) if model_arg else None,
        size_px=size,
        mean=mean,
        std=std,
        crop=crop,
        interpolation=interpolation,
        shape=shape,
        features=features,
        head=head,
        class_weights=class_weights,
        folds=folds,
        test_share=test_share,
        seed=seed,
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
        strategy=strategy,
        epochs=epochs,
        batch=batch,
        micro=micro,
        policy=policy,
        optimizer=optimizer,
        rate=rate,
        head_rate=head_rate,
        layer_decay=layer_decay,
        weight_decay=weight_decay,
        freeze_until=freeze_until,
        batch_norm=batch_norm,
        loss=loss,
        smoothing=smoothing,
        sampling=sampling,
        average=average,
        clip=clip,
        warmup=warmup,
        val_share=val_share,
        patience=patience,
        device=device,
        precision=precision,
        workers=workers,
        compile=compiled,
        budget=budget,
        track=track,
    )
    order = (
        FitOrder.resumed(Workplace.of(out), data, given)
        if resume
        else FitOrder.from_options(data, settings, given)
    )
    leads = rank() == 0
    with console(quiet=quiet or not leads) as heard:
        if dry_run:
            from foveal.recipes.dry import dry_run as forecast

            done: Forecast | Saved = forecast(order, heard)
        else:
            done = fit_and_save(order, out, overwrite=overwrite, resume=resume, listener=heard)
    if not leads:
        return
    if as_json:
        put(done.to_mapping())
        return
    for line in done.lines():
        show(line)

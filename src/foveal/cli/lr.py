"""`foveal lr`: which learning rate fits these pictures and this network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from foveal.cli import options as o
from foveal.cli import training_options as t
from foveal.cli.console import AsJson, Quiet, console, put, show

Data = Annotated[
    Path | None, typer.Argument(help="Labelled photographs, read as `fit` reads them.")
]
Out = Annotated[
    Path | None,
    typer.Option("--out", "-o", help="Chart to write: an .svg file.", show_default=False),
]
Settings = Annotated[
    Path | None, o.option("For the run of this run.json; further options win.", "--settings")
]
ClassWeights = Annotated[
    str | None, o.option("none, or balanced: rare classes count as much.", "--class-weights")
]
TestShare = Annotated[float | None, o.option("Share held out, as for `fit` (0.2).", "--test-share")]
Seed = Annotated[int | None, o.option("Of every random choice (0).", "--seed")]
Strategy = Annotated[
    str | None, o.option("finetune, or scratch for a network that knows nothing yet.", "--strategy")
]
Steps = Annotated[int | None, o.option("Of the test (100).", "--steps")]


def lr(  # noqa: PLR0913 — one parameter per option
    data: Data = None,
    out: Out = None,
    settings: Settings = None,
    steps: Steps = None,
    strategy: Strategy = None,
    backbone: o.Backbone = None,
    weights: o.Weights = None,
    model_arg: o.ModelArg = None,
    size: o.Size = None,
    mean: o.Mean = None,
    std: o.Std = None,
    crop: o.Crop = None,
    interpolation: o.Interpolation = None,
    shape: o.Shape = None,
    class_weights: ClassWeights = None,
    test_share: TestShare = None,
    seed: Seed = None,
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
    clip: t.Clip = None,
    val_share: t.ValShare = None,
    device: t.Device = None,
    precision: t.Precision = None,
    workers: t.Workers = None,
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
    """Find the learning rates for training a network: try ever higher ones, draw the loss.

    Example: foveal lr photos/ --backbone mobilenetv2_100 -o lr.svg
    """
    from foveal.recipes.lr import STEPS, find_rates
    from foveal.recipes.requested import FitOrder

    order = FitOrder.from_options(
        data,
        settings,
        o.given(
            strategy=strategy,
            backbone=backbone,
            weights=weights,
            model_args=o.model_arguments(model_arg) if model_arg else None,
            size_px=size,
            mean=mean,
            std=std,
            crop=crop,
            interpolation=interpolation,
            shape=shape,
            class_weights=class_weights,
            test_share=test_share,
            seed=seed,
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
            clip=clip,
            val_share=val_share,
            device=device,
            precision=precision,
            workers=workers,
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
        ),
    )
    with console(quiet=quiet) as heard:
        done = find_rates(
            order, out, steps=STEPS if steps is None else steps, overwrite=overwrite, listener=heard
        )
    if as_json:
        put(done.to_mapping())
        return
    for line in done.lines():
        show(line)

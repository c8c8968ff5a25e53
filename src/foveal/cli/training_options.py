"""The options of training a network: one declaration each, shared by the verbs that train."""

from __future__ import annotations

from typing import Annotated

import typer

from foveal.cli.options import option

# How long, on what
Epochs = Annotated[int | None, option("Passes over the training pictures (16).", "--epochs")]
Batch = Annotated[int | None, option("Pictures an update, over all ranks (32).", "--batch")]
Micro = Annotated[
    int | None,
    option("Pictures at a time, where a batch does not fit; same gradient.", "--micro"),
]
Policy = Annotated[
    str | None,
    option("Augmentation, such as none, light, standard; `foveal augment` shows it.", "--policy"),
]
ValShare = Annotated[
    float | None,
    option("Share of train held out to choose the epoch by, without val part.", "--val-share"),
]
Sampling = Annotated[
    str | None, option("natural, or balanced: every class is shown as often.", "--sampling")
]
Patience = Annotated[
    int | None, option("Epochs without a better one after which it ends.", "--patience")
]
Budget = Annotated[str | None, option("Wall time for the training: 90s, 10m, 2h.", "--budget")]

# How it learns
Optimizer = Annotated[str | None, option("adamw or sgd.", "--optimizer")]
Rate = Annotated[float | None, option("Peak learning rate of the deepest stage (5e-4).", "--rate")]
HeadRate = Annotated[float | None, option("… of the classifier (3e-3).", "--head-rate")]
LayerDecay = Annotated[
    float | None,
    option(
        "A stage's rate as a share of the next deeper one's (0.75; scratch 1).", "--layer-decay"
    ),
]
WeightDecay = Annotated[float | None, option("Of weights, not biases (0.05).", "--weight-decay")]
FreezeUntil = Annotated[
    str | None,
    option("Stage up to which nothing is learnt: stem, stage1, stage2, ….", "--freeze-until"),
]
BatchNorm = Annotated[
    str | None,
    option("Statistics: kept (as they are), batch (of each batch), auto.", "--batch-norm"),
]
Loss = Annotated[str | None, option("cross_entropy or focal.", "--loss")]
Smoothing = Annotated[float | None, option("Of labels, from 0 to less than 1.", "--smoothing")]
Average = Annotated[
    float | None, option("Decay of the moving average that is kept; 0: none.", "--average")
]
Clip = Annotated[float | None, option("Largest norm of the gradient (1); 0: any.", "--clip")]
Warmup = Annotated[float | None, option("Share of the steps in which rates rise.", "--warmup")]

# On what machine
Device = Annotated[str | None, option("auto, cpu, cuda or cuda:N.", "--device")]
Precision = Annotated[str | None, option("auto, float32, bf16 or fp16.", "--precision")]
Workers = Annotated[
    int | None, option("Processes that augment beside the network (0).", "--workers")
]
Compile = Annotated[
    bool, typer.Option("--compile", help="Let torch compile the network: faster, a minute later.")
]
Track = Annotated[
    str | None, option("Where scores go besides metrics.jsonl: tensorboard, mlflow.", "--track")
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the training that was cut off.")]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Say what the training will take, and do not do it."),
]

"""The options of training a network: one declaration each, shared by the verbs that train."""

from __future__ import annotations

from typing import Annotated, TypedDict

import typer

from foveal.cli.options import option

ClassWeights = Annotated[
    str | None, option("none, or balanced: rare classes count as much.", "--class-weights")
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the training that was cut off.")]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Say what the training will take, and do not do it."),
]


class Length(TypedDict, total=False):
    """How long a training takes at most."""

    epochs: Annotated[int | None, option("Passes over the training pictures (16).", "--epochs")]
    budget: Annotated[str | None, option("Wall time for the training: 90s, 10m, 2h.", "--budget")]
    patience: Annotated[
        int | None, option("Epochs without a better one after which it ends.", "--patience")
    ]


class Learning(TypedDict, total=False):
    """What one step of a training is: its pictures, its loss, its rates, its machine."""

    batch: Annotated[int | None, option("Pictures an update, over all ranks (32).", "--batch")]
    micro: Annotated[
        int | None,
        option("Pictures at a time, where a batch does not fit; same gradient.", "--micro"),
    ]
    policy: Annotated[
        str | None,
        option(
            "Augmentation, such as none, light, standard; `foveal augment` shows it.", "--policy"
        ),
    ]
    optimizer: Annotated[str | None, option("adamw or sgd.", "--optimizer")]
    rate: Annotated[
        float | None, option("Peak learning rate of the deepest stage (5e-4).", "--rate")
    ]
    head_rate: Annotated[float | None, option("… of the classifier (3e-3).", "--head-rate")]
    layer_decay: Annotated[
        float | None,
        option(
            "A stage's rate as a share of the next deeper one's (0.75; scratch 1).",
            "--layer-decay",
        ),
    ]
    weight_decay: Annotated[
        float | None, option("Of weights, not biases (0.05).", "--weight-decay")
    ]
    freeze_until: Annotated[
        str | None,
        option("Stage up to which nothing is learnt: stem, stage1, stage2, ….", "--freeze-until"),
    ]
    batch_norm: Annotated[
        str | None,
        option("Statistics: kept (as they are), batch (of each batch), auto.", "--batch-norm"),
    ]
    loss: Annotated[str | None, option("cross_entropy or focal.", "--loss")]
    smoothing: Annotated[float | None, option("Of labels, from 0 to less than 1.", "--smoothing")]
    sampling: Annotated[
        str | None, option("natural, or balanced: every class is shown as often.", "--sampling")
    ]
    clip: Annotated[float | None, option("Largest norm of the gradient (1); 0: any.", "--clip")]
    val_share: Annotated[
        float | None,
        option("Share of train held out to choose the epoch by, without val part.", "--val-share"),
    ]
    device: Annotated[str | None, option("auto, cpu, cuda or cuda:N.", "--device")]
    precision: Annotated[str | None, option("auto, float32, bf16 or fp16.", "--precision")]
    workers: Annotated[
        int | None, option("Processes that augment beside the network (0).", "--workers")
    ]


class Training(Length, Learning, total=False):
    """A whole training: what is kept of it, how its rates go, where it is told."""

    average: Annotated[
        float | None, option("Decay of the moving average that is kept; 0: none.", "--average")
    ]
    warmup: Annotated[float | None, option("Share of the steps in which rates rise.", "--warmup")]
    compile: Annotated[
        bool,
        typer.Option("--compile", help="Let torch compile the network: faster, a minute later."),
    ]
    track: Annotated[
        str | None,
        option("Where scores go besides metrics.jsonl: tensorboard, mlflow.", "--track"),
    ]

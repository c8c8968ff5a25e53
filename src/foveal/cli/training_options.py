"""The options of training a network: one declaration each, shared by the verbs that train."""

from __future__ import annotations

from typing import Annotated, TypedDict

import typer

from foveal.cli.options import headed, option

ClassWeights = Annotated[
    str | None, option("none, or balanced: rare classes count as much.", "--class-weights")
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the training that was cut off.")]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Say what the training will take, and do not do it."),
]


@headed
class Length(TypedDict, total=False):
    """How long the network is trained."""

    epochs: Annotated[int | None, option("Passes over the training pictures.", "--epochs")]
    budget: Annotated[
        str | None,
        option(
            "Wall time for the training: 90s, 10m, 2h.",
            "--budget",
            otherwise="any; 10m with --strategy auto",
        ),
    ]
    patience: Annotated[
        int | None,
        option(
            "Epochs without a better one after which it ends.",
            "--patience",
            otherwise="it goes on to the last",
        ),
    ]


@headed
class Lessons(TypedDict, total=False):
    """What the network is trained on, and for which loss."""

    batch: Annotated[int | None, option("Pictures an update, over all ranks.", "--batch")]
    policy: Annotated[
        str | None,
        option("Augmentation: none, light, strong, …; see `foveal augment --help`.", "--policy"),
    ]
    sampling: Annotated[
        str | None, option("natural, or balanced: every class is shown as often.", "--sampling")
    ]
    val_share: Annotated[
        float | None,
        option("Share of train held out to choose the epoch by, without val part.", "--val-share"),
    ]
    loss: Annotated[str | None, option("cross_entropy or focal.", "--loss")]
    smoothing: Annotated[float | None, option("Of labels, from 0 to less than 1.", "--smoothing")]


@headed
class Rates(TypedDict, total=False):
    """What of the network learns in training, and how fast."""

    freeze_until: Annotated[
        str | None,
        option(
            "Stage up to which nothing is learnt: stem, stage1, stage2, ….",
            "--freeze-until",
            otherwise="everything learns",
        ),
    ]
    batch_norm: Annotated[
        str | None,
        option(
            "Statistics: kept (as they are), batch (of each batch), auto (batch from scratch, "
            "else kept).",
            "--batch-norm",
        ),
    ]
    optimizer: Annotated[str | None, option("adamw or sgd.", "--optimizer")]
    rate: Annotated[float | None, option("Peak learning rate of the deepest stage.", "--rate")]
    head_rate: Annotated[float | None, option("… of the classifier.", "--head-rate")]
    layer_decay: Annotated[
        float | None,
        option(
            "A stage's rate as a share of the next deeper one's.",
            "--layer-decay",
            otherwise="0.75; from scratch 1",
        ),
    ]
    weight_decay: Annotated[float | None, option("Of weights, not biases.", "--weight-decay")]
    clip: Annotated[float | None, option("Largest norm of the gradient; 0: any.", "--clip")]


@headed
class Course(TypedDict, total=False):
    """The course of the training, and where it is told."""

    warmup: Annotated[float | None, option("Share of the steps in which rates rise.", "--warmup")]
    average: Annotated[
        float | None, option("Decay of the moving average that is kept; 0: none.", "--average")
    ]
    track: Annotated[
        str | None,
        option(
            "Where scores go besides metrics.jsonl: tensorboard, mlflow.",
            "--track",
            otherwise="nowhere",
        ),
    ]


@headed
class Machine(TypedDict, total=False):
    """Where the network is trained, and in which numbers."""

    device: Annotated[str | None, option("auto, cpu, cuda or cuda:N.", "--device")]
    precision: Annotated[str | None, option("auto, float32, bf16 or fp16.", "--precision")]
    workers: Annotated[
        int | None, option("Processes that augment beside the network.", "--workers")
    ]
    micro: Annotated[
        int | None,
        option(
            "Pictures at a time, where a batch does not fit; same gradient.",
            "--micro",
            otherwise="as many as fit",
        ),
    ]


class Learning(Lessons, Rates, Machine, total=False):
    """What one step of a training is: its pictures, its loss, its rates, its machine."""


@headed  # the heading of ``Machine``: they stand together, though ``lr`` has nothing of it
class Compiling(TypedDict, total=False):
    """Where the network is trained, and in which numbers."""

    compile: Annotated[
        bool,
        typer.Option("--compile", help="Let torch compile the network: faster, a minute later."),
    ]


class Training(Length, Lessons, Rates, Course, Machine, Compiling, total=False):
    """A whole training."""

"""`TrainSettings`: what a person may decide about the training of a network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Any

from foveal.core.duration import parse_duration
from foveal.core.errors import OutOfRange

_RANGES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "epochs batch micro patience": (lambda value: value >= 1, "at least 1"),
    "rate head_rate": (lambda value: 0 < value < inf, "more than 0 and finite"),
    "weight_decay clip workers": (lambda value: 0 <= value < inf, "0 or more and finite"),
    "smoothing average warmup": (lambda value: 0 <= value < 1, "a share from 0 to less than 1"),
    "layer_decay": (lambda value: 0 < value <= 1, "a share in (0, 1]"),
    "val_share": (lambda value: 0 < value <= 0.5, "a share of more than 0 and at most one half"),
    "batch_norm": (lambda value: value in {"auto", "kept", "batch"}, "'auto', 'kept' or 'batch'"),
    "sampling": (lambda value: value in {"natural", "balanced"}, "'natural' or 'balanced'"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSettings:
    """How long, how fast, with what a network is trained.

    Defaults are for fine-tuning a network of ImageNet's on some hundred to some ten thousand
    pictures; ``docs/decisions`` has what they were measured on. Names of strategies, policies,
    losses, optimisers and stages are looked up in their tables, before any work is done.

    Raises:
        OutOfRange: for a value that cannot work.
    """

    strategy: str = "probe"  # a name of the table in ``recipes.strategies``
    epochs: int = 16  # passes over the training pictures
    batch: int = 32  # pictures an update, over all ranks
    rate: float = 5e-4  # peak learning rate of the deepest stage
    head_rate: float = 3e-3  # of the classifier
    layer_decay: float | None = None  # a stage's rate as a share of the next deeper one's, (0, 1]
    batch_norm: str = "auto"  # statistics: "kept" as they are, or of each "batch"; see ``norms``
    freeze_until: str | None = None  # stage up to which, inclusive, nothing is learnt
    policy: str = "light"  # of augmentation: a name of ``foveal augment --help``
    optimizer: str = "adamw"  # or sgd
    weight_decay: float = 0.05
    loss: str = "cross_entropy"  # or focal
    smoothing: float = 0.1  # of labels, in [0, 1)
    sampling: str = "natural"  # or balanced: every class as often
    average: float = 0.98  # decay of the moving average of weights, in [0, 1); 0: none
    clip: float = 1.0  # largest norm of the gradient; 0: any
    warmup: float = 0.1  # share of the steps in which the rate rises, in [0, 1)
    micro: int | None = None  # pictures at a time, where a batch does not fit at once
    val_share: float = 0.2  # held out of the train part to choose the epoch by, without val part
    patience: int | None = None  # epochs without a better one after which it stops
    device: str = "auto"  # cpu, cuda, cuda:1
    precision: str = "auto"  # float32, bf16, fp16
    workers: int = 0  # processes that augment beside the network
    compile: bool = False  # let torch.compile make steps faster; it takes a minute first
    budget: str | None = None  # wall time for the training, such as 10m; None: any
    track: str = ""  # where else scores are written: tensorboard, mlflow, or both

    @property
    def decay_by_layer(self) -> float:
        """The layer decay; where none was said, what knows nothing yet learns alike everywhere.

        >>> TrainSettings(strategy="finetune").decay_by_layer
        0.75
        >>> TrainSettings(strategy="scratch").decay_by_layer
        1.0
        """
        if self.layer_decay is not None:
            return self.layer_decay
        return 1.0 if self.strategy == "scratch" else 0.75

    @property
    def norms(self) -> str:
        """What BatchNorm goes by: "kept" statistics, or those of each "batch", as from scratch.

        >>> TrainSettings(strategy="finetune").norms, TrainSettings(strategy="scratch").norms
        ('kept', 'batch')
        """
        if self.batch_norm != "auto":
            return self.batch_norm
        return "batch" if self.strategy == "scratch" else "kept"

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        for names, (fits, expected) in _RANGES.items():
            for name in names.split():
                value = getattr(self, name)
                if value is not None and not fits(value):
                    raise OutOfRange(name, value, expected)
        if self.budget is not None:
            parse_duration(self.budget)

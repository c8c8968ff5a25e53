"""`PretrainSettings`: what a person may decide about training a network from scratch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any

from foveal.core.duration import parse_duration
from foveal.core.errors import OutOfRange
from foveal.image.preprocess import RGB, Preprocess
from foveal.train.network.schedule import size_in

_RANGES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "epochs batch": (lambda value: value >= 1, "at least 1"),
    "rate": (lambda value: 0 < value < inf, "more than 0 and finite"),
    "weight_decay clip teacher_weight": (lambda value: 0 <= value < inf, "0 or more and finite"),
    "seed": (lambda value: 0 <= value < 2**64, "0 or a positive whole number of at most 64 bits"),
    "smoothing average warmup hold": (
        lambda value: 0 <= value < 1,
        "a share from 0 to less than 1",
    ),
    "least_area": (lambda value: 0 < value <= 1, "a share in (0, 1]"),
    "val_share": (lambda value: 0 < value < 1, "a share between 0 and 1"),
    "canvas_px": (lambda value: value >= 16, "at least 16 pixels"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainSettings:
    """Which network is trained from scratch, how long, how fast, on pictures of which size.

    Defaults are what ``foveal-s`` was trained with; docs/decisions/0010-foveal-s.md has what
    they were measured on.

    Raises:
        OutOfRange: for a value that cannot work.
    """

    arch: str = "resnet18"  # a name of timm's
    model_args: Mapping[str, Any] = field(default_factory=dict)  # timm's: {"layers": [1, 1, 1, 1]}
    epochs: int = 11  # passes over the training pictures
    sizes: tuple[int, ...] = (80, 96, 128)  # of the input, in pixels; each for as many epochs
    canvas_px: int | None = None  # side that pictures are held at; None: 8/7 of the last size
    batch: int = 128  # pictures an update, over all ranks
    rate: float = 0.15  # peak learning rate
    optimizer: str = "sgd"  # or adamw
    weight_decay: float = 2e-4
    loss: str = "cross_entropy"
    smoothing: float = 0.1  # of labels, in [0, 1)
    likeness: str = "cosine"  # how the student's guess of the teacher's features is judged
    teacher_weight: float = 3.0  # of that beside the labels; 0: the teacher is not listened to
    least_area: float = 0.5  # smallest share of a picture that is shown
    mirror: bool = True  # half of the pictures, each time others
    average: float = 0.998  # decay of the moving average of weights, in [0, 1); 0: none
    clip: float = 5.0  # largest norm of the gradient; 0: any
    warmup: float = 0.05  # share of the steps in which the rate rises, in [0, 1)
    hold: float = 0.0  # share of the steps at the peak before it falls, in [0, 1)
    val_share: float = 0.05  # held out of the pictures, where no val part is given
    init: Path | None = None  # weights to begin with; None: chance
    seed: int = 0
    mean: RGB = Preprocess().mean  # of R G B, on 0-1
    std: RGB = Preprocess().std
    crop: float = 1.0  # share of the resized side that is kept when the network is used
    device: str = "auto"  # cpu, cuda, cuda:1
    precision: str = "auto"  # float32, bf16, fp16
    budget: str | None = None  # wall time for teacher and training, such as 10m; None: any

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        for names, (fits, expected) in _RANGES.items():
            for name in names.split():
                value = getattr(self, name)
                if value is not None and not fits(value):
                    raise OutOfRange(name, value, expected)
        if self.budget is not None:
            parse_duration(self.budget)
        if self.warmup + self.hold >= 1:
            raise OutOfRange("hold", self.hold, f"less than 1 - warmup = {1 - self.warmup:g}")
        if not self.sizes or min(self.sizes) < 16:
            raise OutOfRange("sizes", list(self.sizes), "sizes of at least 16 pixels")
        if sorted(self.sizes) != list(self.sizes):
            raise OutOfRange("sizes", list(self.sizes), "rising sizes: the last is that of use")
        if len(self.sizes) > self.epochs:
            raise OutOfRange("sizes", list(self.sizes), f"at most as many as epochs, {self.epochs}")

    @property
    def preprocess(self) -> Preprocess:
        """How pictures reach the network when it is used: at the size it was trained with last."""
        return Preprocess(size_px=self.sizes[-1], crop=self.crop, mean=self.mean, std=self.std)

    @property
    def side_px(self) -> int:
        """Side of the square that a picture is held at, in pixels."""
        return self.canvas_px or round(self.sizes[-1] * 8 / 7)

    def size_in(self, epoch: int) -> int:
        """Return the side of the input in an epoch, from 0."""
        return size_in(epoch, self.epochs, self.sizes)

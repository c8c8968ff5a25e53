"""`Classifier`: a frozen backbone, the blocks its head reads, the head, the class names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from foveal.backbone.spec import Backbone
from foveal.core.errors import OutOfRange
from foveal.image.preprocess import Preprocess
from foveal.model.linear import LinearHead

OWN_LOGITS = "logits"  # the block of a ready classifier's own answers, temperature 1
CLASSICAL = "classical"  # the block of oriented gradients and colours, read from the host's pixels


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Classifier:
    """Everything that turns pixels into probabilities, and nothing about how it was found.

    ``head`` reads the ``blocks``, plainly joined in this order, and its logits are already
    divided by ``temperature``: softmax of them is the answer. ``centre_D`` is the mean of the
    joined features over the training pictures; heat maps count evidence from there.

    Raises:
        OutOfRange: if head, blocks, centre and class names do not fit each other.
    """

    host: Backbone
    classical: Backbone | None  # set exactly when "classical" is among the blocks of another host
    blocks: tuple[str, ...]
    head: LinearHead
    centre_D: NDArray[np.float32]
    classes: tuple[str, ...]
    temperature: float = 1.0
    names: Mapping[str, str] = field(default_factory=dict)  # class -> what to show people

    def __post_init__(self) -> None:
        """Refuse parts that do not fit."""
        k, d = self.head.weights_KD.shape
        if k != len(self.classes):
            raise OutOfRange("classes", len(self.classes), f"{k} names, one per row of the head")
        if d != len(self.centre_D):
            raise OutOfRange("centre_D", len(self.centre_D), f"{d} numbers, one per feature")
        if d != sum(self.widths.values()):
            raise OutOfRange("blocks", self.blocks, f"blocks with {d} features together")
        if (CLASSICAL in self.blocks) != (self.classical is not None):
            raise OutOfRange("classical", self.classical, "a backbone where the block is read")

    @property
    def preprocess(self) -> Preprocess:
        """How a picture becomes the pixels it sees."""
        return self.host.spec.preprocess

    @property
    def widths(self) -> dict[str, int]:
        """Number of features of each block the head reads, in order."""
        own = self.host.spec.widths()
        if self.host.spec.classes is not None:
            own[OWN_LOGITS] = self.host.spec.classes
        if self.classical is not None:
            own[CLASSICAL] = self.classical.spec.features
        return {block: own[block] for block in self.blocks}

"""`ProbeSettings`: what a person may decide about the head and how it is chosen."""

from __future__ import annotations

from dataclasses import dataclass

from foveal.core.errors import OutOfRange
from foveal.train.head.class_weights import ClassWeights

AUTO = "auto"

_MANY = 1000  # images from which a third of them is enough to judge by


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeSettings:
    """Which heads and blocks are compared, and on how much.

    Raises:
        OutOfRange: for a value that cannot work.
        UnknownName: for a head that the table does not hold.
    """

    head: str = "probe"  # a name of the head table; "auto" compares all of them
    features: str = AUTO  # "auto", "last", or blocks by name, a,b,c
    class_weights: ClassWeights = "none"  # "balanced": rare classes count as much
    folds: int | None = None  # of the cross-validation without val part; None: see ``folds_of``
    choice_rows: int = 2000  # images that blocks are compared on; strength then on all of them

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if self.head != AUTO:
            from foveal.train.head.heads import HEADS  # numpy would load here, never for --help

            HEADS.pick(self.head)
        if self.class_weights not in {"none", "balanced"}:
            raise OutOfRange("class_weights", self.class_weights, "'none' or 'balanced'")
        if self.folds is not None and self.folds < 2:
            raise OutOfRange("folds", self.folds, "at least 2")
        if self.choice_rows < 100:
            raise OutOfRange("choice_rows", self.choice_rows, "at least 100 images")
        if not self.features.strip():
            raise OutOfRange("features", self.features, "'auto', 'last', or names of blocks: a,b,c")

    def folds_of(self, images: int) -> int:
        """Return how many folds that many images are cut into.

        Five where images are few and each counts; three from 1,000 on, at three fifths of the cost.
        """
        return self.folds or (5 if images < _MANY else 3)

    def heads(self) -> tuple[str, ...]:
        """Return the heads to compare, the simplest first."""
        from foveal.train.head.heads import HEADS

        return tuple(HEADS.names()) if self.head == AUTO else (self.head,)

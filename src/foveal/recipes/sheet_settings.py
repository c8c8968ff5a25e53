"""`SheetSettings`: what a person may decide about the sheet of an augmentation policy."""

from __future__ import annotations

from dataclasses import dataclass

from foveal.core.errors import OutOfRange
from foveal.image.preprocess import Shape
from foveal.train.network.settings import TrainSettings

LARGEST = 1024  # pixels a side
MEGAPIXELS = 100  # at most: what viewers still open


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetSettings:
    """What a sheet shows.

    Raises:
        OutOfRange: for a value that cannot work.
        UnknownName: for a policy with a typo.
    """

    policy: str = TrainSettings().policy  # a name in the table of policies: what `fit` would use
    pictures: int = 6  # rows, spread over the classes
    variants: int = 8  # columns: epochs
    size_px: int = 160  # side of the square the network would see
    shape: Shape = "crop"  # what happens to other aspects
    seed: int = 0  # of the choice of pictures, and of the run that is looked at

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        from foveal.train.network.pictures.augment import POLICIES

        POLICIES.pick(self.policy)
        for name in ("pictures", "variants"):
            if getattr(self, name) < 1:
                raise OutOfRange(name, getattr(self, name), "at least 1")
        if self.seed < 0:
            raise OutOfRange("seed", self.seed, "0 or more")
        if not 16 <= self.size_px <= LARGEST:
            raise OutOfRange("size_px", self.size_px, f"16 to {LARGEST:,} pixels")
        if self.pictures * self.variants * self.size_px**2 > MEGAPIXELS * 10**6:
            wanted = f"{self.pictures} × {self.variants} pictures of {self.size_px} pixels"
            raise OutOfRange("sheet", wanted, f"at most {MEGAPIXELS} megapixels")

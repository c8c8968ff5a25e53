"""The augmentation policies: how a canvas becomes another picture of the same thing each epoch.

Which changes leave the class as it is depends on the pictures: a mirrored cat is a cat, a mirrored
"no left turn" is another sign, a mirrored chest has its heart on the wrong side. So a policy says
what it does as data. torchvision v2 does the work, but for ``Resampled``; see there for why.
Colours are changed without hue: it takes four times as long as all others together, and with it
go what tells many classes apart. No policy gives a grey picture a colour.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from foveal.core.table import Table
from foveal.image.pixels import GREY

if TYPE_CHECKING:
    from torch import Tensor

Change = Callable[["Tensor"], "Tensor"]  # uint8 (3, S, S) -> uint8 (3, size, size)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A way to change pictures, and what it may do to them.

    What ``make`` returns can be pickled, does not change its input, and draws from torch's
    global generator on the processor, and from no other: see ``augmented``.
    """

    make: Callable[[int], Change]  # from the side of the picture, in pixels
    mirrors: bool  # left may become right
    mixes: bool = False  # batches are to be mixed too, see ``mixing``
    says: str  # one line for people


def augmented(change: Change, canvas: Tensor, *, seed: int, epoch: int, index: int) -> Tensor:
    """Return the picture that an epoch shows of a canvas: the same bits in any process and order.

    ``functools.partial(augmented, change)`` is a transform for the ``feed``.

    Args:
        change: what a policy made.
        canvas: (3, S, S) uint8 RGB; not changed.
        seed: of the run.
        epoch: from 0.
        index: of the picture within the epoch.

    Returns:
        (3, size, size) uint8. torch's generator is as it was before.
    """
    from foveal.train.network.seeding import random_from

    with random_from("augment", seed, epoch, index):
        return change(canvas)


def _none(size_px: int) -> Change:
    from torchvision.transforms import v2

    return _chain(v2.Resize([size_px, size_px], antialias=True))


def _flip(size_px: int) -> Change:
    from torchvision.transforms import v2

    return _chain(_none(size_px), v2.RandomHorizontalFlip())


def _light(size_px: int) -> Change:
    from torchvision.transforms import v2

    return _chain(
        v2.RandomResizedCrop([size_px, size_px], scale=(0.5, 1.0), antialias=True),
        v2.RandomHorizontalFlip(),
    )


def _standard(size_px: int) -> Change:
    from torchvision.transforms import v2

    from foveal.train.network.pictures.resampling import Resampled

    return _chain(
        Resampled(
            size_px=size_px,
            area=(0.4, 1.0),
            aspect=4 / 3,
            turn=15,
            mirror=True,
            beyond="reflection",
        ),
        v2.ColorJitter(brightness=0.3, contrast=0.3, saturation=0.3),
    )


def _strong(size_px: int) -> Change:
    """Müller and Hutter, "TrivialAugment", ICCV 2021; Zhong et al., "Random Erasing", AAAI 2020."""
    from torchvision.transforms import v2

    return _chain(
        v2.RandomResizedCrop([size_px, size_px], scale=(0.25, 1.0), antialias=True),
        v2.RandomHorizontalFlip(),
        v2.TrivialAugmentWide(interpolation=v2.InterpolationMode.BILINEAR, fill=GREY),
        v2.RandomErasing(p=0.25, value=GREY),
    )


def _text_and_signs(size_px: int) -> Change:
    from torchvision.transforms import v2

    from foveal.train.network.pictures.resampling import Resampled

    return _chain(
        Resampled(
            size_px=size_px,
            area=(0.7, 1.4),
            aspect=1.15,
            shift=0.05,
            turn=12,
            shear=8,
            beyond="border",
        ),
        v2.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.3),
        v2.RandomErasing(p=0.25, scale=(0.02, 0.2), value=GREY),
    )


def _texture(size_px: int) -> Change:
    from torchvision.transforms import v2

    return _chain(_any_way_up(size_px), v2.ColorJitter(brightness=0.2, contrast=0.2))


def _microscope(size_px: int) -> Change:
    from torchvision.transforms import v2

    light_and_stain = v2.ColorJitter(brightness=0.2, contrast=0.2, saturation=0.3)
    return _chain(_any_way_up(size_px), light_and_stain)


def _any_way_up(size_px: int) -> Change:
    from foveal.train.network.pictures.resampling import Resampled

    return Resampled(size_px=size_px, area=(0.6, 1.0), turn=180, mirror=True, beyond="reflection")


def _xray(size_px: int) -> Change:
    from torchvision.transforms import v2

    from foveal.train.network.pictures.resampling import Resampled

    return _chain(
        Resampled(size_px=size_px, area=(0.8, 1.1), shift=0.02, turn=7, beyond="border"),
        v2.ColorJitter(brightness=0.1, contrast=0.2),
    )


def _chain(*steps: Change) -> Change:
    from torchvision.transforms import v2

    chain: Change = v2.Compose(steps)
    return chain


POLICIES: Table[Policy] = Table(
    "policy",
    {
        "none": Policy(make=_none, mirrors=False, says="the whole picture, always the same"),
        "flip": Policy(make=_flip, mirrors=True, says="mirrored half of the time"),
        "light": Policy(make=_light, mirrors=True, says="random crops, mirrored"),
        "standard": Policy(
            make=_standard, mirrors=True, says="random crops, turned up to 15°, mirrored; colours"
        ),
        "strong": Policy(
            make=_strong,
            mirrors=True,
            mixes=True,
            says="small crops, mirrored, TrivialAugment, erasing; MixUp or CutMix",
        ),
        "text-and-signs": Policy(
            make=_text_and_signs,
            mirrors=False,
            says="moved, scaled, turned up to 12°, never mirrored; colours, erasing",
        ),
        "texture": Policy(
            make=_texture, mirrors=True, says="any way up, mirrored, mild crops; light"
        ),
        "microscope": Policy(
            make=_microscope, mirrors=True, says="any way up, mirrored, mild crops; light, stain"
        ),
        "xray": Policy(
            make=_xray, mirrors=False, says="turned up to 7°, never mirrored; brightness, contrast"
        ),
    },
)

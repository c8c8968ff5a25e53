"""The sheet of an augmentation policy: what training would see of some of your pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from io import BytesIO
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from foveal.core.errors import BadData, BrokenImage, MissingExtra
from foveal.core.files import check_file, write_file
from foveal.core.listener import SILENT, Listener
from foveal.data.manifest import Manifest
from foveal.data.readers import read
from foveal.data.reading import ReadSettings
from foveal.image.pixels import pixels_of_file
from foveal.image.preprocess import Preprocess
from foveal.recipes.contact import Row, contact_sheet
from foveal.recipes.sheet_settings import SheetSettings
from foveal.train.network.pictures.augment import POLICIES

UNREADABLE = 20  # files after which the others are taken to be no better


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """A sheet that was written."""

    file: Path
    settings: SheetSettings
    shown: tuple[tuple[str, str], ...]  # (path, class) of every row
    left_out: tuple[tuple[str, str], ...] = field(default=())  # (path, reason)

    def to_mapping(self) -> dict[str, Any]:
        """Return it for scripts."""
        policy = POLICIES.pick(self.settings.policy)
        return {
            "sheet": str(self.file),
            "policy": {
                "name": self.settings.policy,
                "says": policy.says,
                "mirrors": policy.mirrors,
                "mixes": policy.mixes,
            },
            "pictures": [{"path": path, "label": label} for path, label in self.shown],
            "left_out": [{"path": path, "error": reason} for path, reason in self.left_out],
            "variants": self.settings.variants,
            "size_px": self.settings.size_px,
            "seed": self.settings.seed,
        }

    def lines(self) -> list[str]:
        """Return it for people."""
        says = POLICIES.pick(self.settings.policy).says
        count, variants = len(self.shown), self.settings.variants
        return [f"{self.settings.policy}: {says}.", f"{self.file}: {count} × {variants} pictures"]


def write_sheet(
    data: Path,
    out: Path,
    settings: SheetSettings,
    *,
    reading: ReadSettings | None = None,
    overwrite: bool = False,
    listener: Listener = SILENT,
) -> Sheet:
    """Read labelled pictures, change some as training would, and write them as one PNG.

    Where the data names its parts, pictures to train on are shown.

    Args:
        data: whatever the readers read.
        out: the file, written whole or not at all; ``.png``.
        settings: what is shown.
        reading: what the data leaves open.
        overwrite: whether a file there is replaced.
        listener: hears of pictures that are left out.

    Raises:
        MissingExtra: in a base install.
        OutOfRange, NotThere, AlreadyThere: for an ``out`` that cannot be written.
        BadData: if there is no picture that can be read.
    """
    if find_spec("torchvision") is None:
        raise MissingExtra("Augmentation", "train")
    check_file(out, ending=".png", overwrite=overwrite)
    manifest = _to_train_on(read(data, settings=reading or ReadSettings()))

    from foveal.train.network.pictures.canvas import canvas_side

    canvas = Preprocess(size_px=canvas_side(settings.size_px), crop=1.0, shape=settings.shape)
    found, left_out = _found(manifest, canvas, settings, listener)
    paths = manifest.paths
    labels = [", ".join(names) or "no label" for names in manifest.table["labels"].to_list()]
    numbers = sorted(found, key=lambda number: (labels[number], paths[number]))
    shown = tuple((paths[number], labels[number]) for number in numbers)
    canvases = np.stack([found[number] for number in numbers])
    write_file(out, _drawn(settings, canvases, shown, data.absolute().name))
    return Sheet(file=out, settings=settings, shown=shown, left_out=left_out)


def _to_train_on(manifest: Manifest) -> Manifest:
    train = manifest.table["part"] == "train"
    return manifest.rows(train.arg_true().to_numpy()) if train.any() else manifest


def _found(
    manifest: Manifest, canvas: Preprocess, settings: SheetSettings, listener: Listener
) -> tuple[dict[int, NDArray[np.uint8]], tuple[tuple[str, str], ...]]:
    """Return canvases by row number, and (path, reason) of what could not be read on the way."""
    found: dict[int, NDArray[np.uint8]] = {}
    left_out: list[tuple[str, str]] = []
    paths = manifest.paths
    for number in islice(_spread(manifest, settings.seed), settings.pictures + UNREADABLE):
        try:
            found[number] = pixels_of_file(manifest.file(paths[number]), canvas)
        except BrokenImage as error:
            left_out.append((paths[number], error.what))
            listener.say(f"{paths[number]} is left out: {error.what}")
        if len(found) == settings.pictures:
            break
    if not found:
        path, reason = left_out[0]
        raise BadData(
            f"None of the {len(left_out)} pictures tried of {manifest.source or manifest.root} "
            "can be read.",
            hint=f"The first, {path}: {reason}.",
        )
    return found, tuple(left_out)


def _spread(manifest: Manifest, seed: int) -> Iterator[int]:
    """Yield all row numbers, shuffled: one of each class, then a second of each, and so on."""
    rng = np.random.default_rng(seed)
    members: dict[tuple[str, ...], list[int]] = {}
    for number, labels in enumerate(manifest.table["labels"].to_list()):
        members.setdefault(tuple(labels), []).append(number)
    of_class = [rng.permutation(rows).tolist() for rows in members.values()]
    for some in zip_longest(*(of_class[number] for number in rng.permutation(len(of_class)))):
        yield from (number for number in some if number is not None)


def _drawn(
    settings: SheetSettings,
    canvases: NDArray[np.uint8],
    shown: tuple[tuple[str, str], ...],
    source: str,
) -> bytes:
    """Return the sheet as PNG."""
    from foveal.train.network.pictures.looks import looks, mixed_looks

    policy, size = POLICIES.pick(settings.policy), settings.size_px
    pictures = looks(policy, canvases, size_px=size, epochs=settings.variants, seed=settings.seed)
    rows = [
        Row(label, path, np.asarray(Image.fromarray(canvas).resize((size, size))), changed)
        for (path, label), canvas, changed in zip(shown, canvases, pictures, strict=True)
    ]
    if policy.mixes and len(rows) > 1:
        both = mixed_looks(pictures, seed=settings.seed)
        rows.append(Row("mixed", "one of each batch, after MixUp or CutMix", None, both))
    about = f"{source}: as epochs of training would show them, {size} pixels a side"
    epochs = [f"epoch {number + 1}" for number in range(settings.variants)]
    sheet = contact_sheet(
        settings.policy,
        [f"{policy.says[0].upper()}{policy.says[1:]}.", about],
        ["original", *epochs],
        rows,
    )
    file = BytesIO()
    sheet.save(file, "PNG", optimize=True)
    return file.getvalue()

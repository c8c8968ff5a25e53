"""The demo set: a folder of rendered inspection photographs with known, documented faults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.random import Generator
from PIL import Image

from foveal.core.errors import OutOfRange
from foveal.core.files import write_folder
from foveal.data.surface import CLEAN, DEFECTS, photograph, render_part

PHOTOS = "photos"  # the folder of class folders, below the demo's own
SHOTS = 2  # photographs of each part
WRONG_PARTS = 3  # sorted into the box of another class, with both their photographs
DUPLICATES = 5
JPEG_QUALITY = 88
GROUP_PATTERN = r"^(part\d+)_"


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoKey:
    """What was written, and every fault that was planted; paths are relative to ``photos``."""

    photos: Path  # holds the class folders
    classes: tuple[str, ...]  # sorted
    images: int  # files that can be read
    wrong_labels: Mapping[str, str]  # path -> the class it should be in
    duplicates: Mapping[str, str]  # path -> the path of which it is an exact copy
    broken: tuple[str, ...]  # files that cannot be read
    group_pattern: str = GROUP_PATTERN  # what a file name says about its part


def write_demo(folder: Path, *, seed: int = 0, per_class: int = 50) -> DemoKey:
    """Write the demo set: ``folder/photos/CLASS/PART_SHOT.jpg`` and ``folder/README.txt``.

    Two photographs of every part are taken; the same arguments write the same bytes (on the
    same versions of numpy and Pillow).

    Args:
        folder: must not exist yet, or be empty.
        seed: another set for every number from 0.
        per_class: parts of each kind of defect, at least 5; of clean ones there are twice as many.

    Returns:
        The faults that were planted, as ``README.txt`` tells them too.

    Raises:
        AlreadyThere: if ``folder`` has something in it.
        DiskFull: when there is no room; nothing is left behind.
        OutOfRange: for a seed below 0 or too few parts.
    """
    if seed < 0:
        raise OutOfRange("seed", seed, "0 or more")
    if per_class < 5:
        raise OutOfRange("per_class", per_class, "at least 5 parts")
    rng = np.random.default_rng(seed)
    kinds = _kinds(rng, per_class)
    boxes, wrong, copied, halved = _faults(rng, kinds)

    files: dict[str, bytes] = {}
    for part, kind in enumerate(kinds):
        for shot, content in enumerate(_photographs(seed, part, kind), 1):
            files[_path(boxes[part], part, shot)] = content
    duplicates = {_path(boxes[p], p, SHOTS + 1): _path(boxes[p], p, SHOTS) for p in copied}
    for copy, original in duplicates.items():
        files[copy] = files[original]
    images = len(files)
    broken = _path(boxes[halved], halved, SHOTS + 1)
    whole = files[_path(boxes[halved], halved, SHOTS)]
    files[broken] = whole[: len(whole) // 2]

    key = DemoKey(
        photos=folder / PHOTOS,
        classes=tuple(sorted({CLEAN, *DEFECTS})),
        images=images,
        wrong_labels={
            _path(boxes[part], part, shot): kinds[part]
            for part in wrong
            for shot in range(1, SHOTS + 1)
        },
        duplicates=duplicates,
        broken=(broken,),
    )
    with write_folder(folder) as draft:
        for path, content in files.items():
            (draft / PHOTOS / path).parent.mkdir(parents=True, exist_ok=True)
            (draft / PHOTOS / path).write_bytes(content)
        (draft / "README.txt").write_text(_readme(key, kinds), encoding="utf-8")
    return key


def _kinds(rng: Generator, per_class: int) -> list[str]:
    """Return the true class of every part, in no order."""
    kinds = [CLEAN] * (2 * per_class) + [kind for kind in DEFECTS for _ in range(per_class)]
    return [kinds[place] for place in rng.permutation(len(kinds))]


def _faults(rng: Generator, kinds: list[str]) -> tuple[list[str], list[int], list[int], int]:
    """Return the box every part lies in, and the parts to sort wrongly, to copy and to halve."""
    chosen = rng.permutation(len(kinds))[: WRONG_PARTS + DUPLICATES + 1].tolist()
    wrong = sorted(chosen[:WRONG_PARTS])
    boxes = list(kinds)
    for part in wrong:
        others = [kind for kind in (CLEAN, *DEFECTS) if kind != kinds[part]]
        boxes[part] = others[int(rng.integers(len(others)))]
    return boxes, wrong, sorted(chosen[WRONG_PARTS:-1]), chosen[-1]


def _photographs(seed: int, part: int, kind: str) -> list[bytes]:
    """Return the photographs of one part as JPEG files; no part depends on another."""
    rng = np.random.default_rng([seed, part])
    rendered = render_part(rng, kind)
    return [_jpeg(photograph(rng, rendered)) for _ in range(SHOTS)]


def _jpeg(picture: Image.Image) -> bytes:
    file = BytesIO()
    picture.save(file, "JPEG", quality=JPEG_QUALITY)
    return file.getvalue()


def _path(box: str, part: int, shot: int) -> str:
    return f"{box}/part{part:04d}_{shot}.jpg"


def _readme(key: DemoKey, kinds: list[str]) -> str:
    """Return what a person should know who opens the folder."""
    counts = "\n".join(f"  {name:<10}{kinds.count(name):>4} parts" for name in key.classes)
    wrong = "\n".join(f"  {path} (shows: {kind})" for path, kind in key.wrong_labels.items())
    copies = "\n".join(f"  {path} = {original}" for path, original in key.duplicates.items())
    return f"""Foveal's demo set: close-ups of metal parts, clean or with one of five defects.

Every picture is rendered by `foveal demo`; none is a photograph of a real part. They may be used
under the licence of Foveal (MIT). {key.images} pictures, {SHOTS} of every part, each under another
light:

{counts}

photos/CLASS/PART_SHOT.jpg: pictures of one part share the part's number and belong together
(--group-pattern '{key.group_pattern}').

Faults planted on purpose, for an audit to find:

{len(key.wrong_labels)} pictures in the wrong class folder:
{wrong}
{len(key.duplicates)} exact duplicates:
{copies}
{len(key.broken)} file that is cut off in the middle:
  {key.broken[0]}
"""

"""What a teacher sees in pictures: its last features, computed once and kept beside the run."""

from __future__ import annotations

import time
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from foveal.backbone.spec import LAST, Backbone
from foveal.core.files import disk_full_is_said, write_file
from foveal.core.listener import Listener
from foveal.core.settings import read_json, to_json
from foveal.image.stream import stream
from foveal.recipes.pretraining.pictures import Pictures
from foveal.recipes.workplace import TEACHER

SEEN, FACTS = TEACHER, "teacher.json"
_BATCH = 64
_MEASURED = 2 * _BATCH  # pictures that a forecast is made from


def seen_by(
    teacher: Backbone, pictures: Pictures, folder: Path, listener: Listener
) -> NDArray[np.float16]:
    """Return the teacher's last features of every picture (N, D), zeros where one is broken.

    They are computed from whole pictures, made as the teacher wants them, and kept in ``folder``
    as float16: another run over the same pictures finds them there.

    Args:
        teacher: any backbone.
        pictures: N.
        folder: where they are kept; made if it is not there.
        listener: hears the stage ``teacher``.

    Raises:
        DiskFull: when there is no room for them.
    """
    facts = facts_of(teacher, pictures)
    if is_kept(teacher, pictures, folder):
        listener.say(f"What the teacher sees is taken from {folder / SEEN}.")
        return np.load(folder / SEEN, mmap_mode="r")  # type: ignore[no-any-return]  # of a file
    count = len(pictures.sources)
    draft = folder / f".{SEEN}.draft"
    with disk_full_is_said(folder):
        folder.mkdir(parents=True, exist_ok=True)
        seen_ND = np.lib.format.open_memmap(draft, "w+", np.float16, (count, teacher.spec.features))
        listener.progress("teacher", 0, count)
        done = 0
        for batch in stream(pictures.sources, teacher.spec.preprocess, batch=_BATCH):
            seen_ND[batch.rows] = teacher.embed(batch.pixels, [LAST])[LAST]
            done += len(batch.rows) + len(batch.broken)
            listener.progress("teacher", done, count)
        seen_ND.flush()
        draft.replace(folder / SEEN)
    write_file(folder / FACTS, to_json(facts))
    return seen_ND


def is_kept(teacher: Backbone, pictures: Pictures, folder: Path) -> bool:
    """Return whether what the teacher sees in the pictures is in ``folder`` already."""
    return _facts_in(folder) == facts_of(teacher, pictures)


def seconds_of(teacher: Backbone, pictures: Pictures) -> float:
    """Return about how many seconds the teacher needs for the pictures, from a few of them."""
    count = min(len(pictures.sources), _MEASURED)
    start = time.perf_counter()
    for batch in stream(islice(pictures.sources, count), teacher.spec.preprocess, batch=_BATCH):
        teacher.embed(batch.pixels, [LAST])
    return (time.perf_counter() - start) * len(pictures.sources) / count


def facts_of(teacher: Backbone, pictures: Pictures) -> dict[str, object]:
    """Return what decides the features: the teacher's graph and the pictures."""
    return {
        "teacher": teacher.spec.fingerprint,
        "pictures": pictures.digest,
        "count": len(pictures.sources),
    }


def _facts_in(folder: Path) -> Mapping[str, object]:
    path = folder / FACTS
    if not path.is_file() or not (folder / SEEN).is_file():
        return {}
    return read_json(path.read_bytes(), where=str(path))

"""What a teacher sees in pictures: its last features, computed once and kept beside the run."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from foveal.backbone.spec import LAST, Backbone
from foveal.core.files import disk_full_is_said, sha256_of, write_file
from foveal.core.listener import Listener
from foveal.core.settings import read_json, to_json
from foveal.image.stream import stream
from foveal.recipes.pretraining.pictures import Pictures
from foveal.recipes.workplace import TEACHER

SEEN, FACTS, DIGEST = TEACHER, "teacher.json", "sha256"
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
    if is_kept(teacher, pictures, folder):
        listener.say(f"What the teacher sees is taken from {folder / SEEN}.")
    else:
        draft = folder / f".{SEEN}.draft"
        with disk_full_is_said(folder):
            folder.mkdir(parents=True, exist_ok=True)
            try:
                _write(draft, teacher, pictures, listener)
                digest = sha256_of(draft)
                draft.replace(folder / SEEN)
            except BaseException:
                draft.unlink(missing_ok=True)
                raise
        write_file(folder / FACTS, to_json({**facts_of(teacher, pictures), DIGEST: digest}))
    return np.load(folder / SEEN, mmap_mode="r")  # type: ignore[no-any-return]  # of a file


def _write(path: Path, teacher: Backbone, pictures: Pictures, listener: Listener) -> None:
    """Write the features batch by batch: a map onto a full disk would end the process at once."""
    count, features = len(pictures.sources), teacher.spec.features
    head = {"descr": "<f2", "fortran_order": False, "shape": (count, features)}
    listener.progress("teacher", 0, count)
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, head)
        done = 0
        for batch in stream(pictures.sources, teacher.spec.preprocess, batch=_BATCH):
            new = len(batch.rows) + len(batch.broken)
            seen_nD = np.zeros((new, features), "<f2")
            seen_nD[batch.rows - done] = teacher.embed(batch.pixels, [LAST])[LAST]
            file.write(seen_nD.data)
            done += new
            listener.progress("teacher", done, count)
        file.flush()
        os.fsync(file.fileno())


def is_kept(teacher: Backbone, pictures: Pictures, folder: Path) -> bool:
    """Return whether what the teacher sees in the pictures is in ``folder`` already, whole."""
    facts = _facts_in(folder)
    same = {**facts_of(teacher, pictures), DIGEST: facts.get(DIGEST)} == facts
    return same and facts[DIGEST] == sha256_of(folder / SEEN)


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
